"""Loads a dataset by its name. Imports TensorFlow for TFDS datasets only."""

import os
import pathlib
import re
from collections.abc import Mapping, Sequence

from keras_resnet.data.dataset import Dataset
from keras_resnet.data.sources.digits import digits_dataset
from keras_resnet.data.sources.folder import folder_dataset
from keras_resnet.data.sources.table import table_dataset
from keras_resnet.data.sources.table_columns import TableColumns
from keras_resnet.data.sources.table_file import SUFFIXES as TABLE_SUFFIXES
from keras_resnet.data.sources.tfds import tfds_dataset
from keras_resnet.errors import UserError, format_value

_OTHER_TABLES = (".feather", ".json", ".jsonl", ".ods", ".txt", ".xls", ".xlsx")
_ARCHIVES = (".7z", ".bz2", ".gz", ".rar", ".tar", ".tgz", ".xz", ".zip")


def load_dataset(
    name: str,
    data_dir: str | None = None,
    *,
    download: bool = False,
    train_split: str | None = None,
    validation_split: str | None = None,
    test_split: str | None = None,
    validation_fraction: float = 0.1,
    images_dir: str | None = None,
    path_column: str | None = None,
    label_column: str | None = None,
    split_column: str | None = None,
    group_column: str | None = None,
    label_columns: Sequence[str] = (),
    label_separator: str | None = None,
    bad_images: str = "raise",
    max_bad_images: float = 0.01,
    require_disjoint: bool = False,
) -> Dataset:
    """Loads "digits" (embedded), a folder or table of images, or an image classification dataset of TFDS.

    Args:
        name: the name, or the path of the folder or of the table: .csv, .tsv or .parquet.
        data_dir: where TFDS keeps its datasets; None: its own default.
        download: whether a TFDS dataset that is not prepared is downloaded and prepared.
        train_split: training images of a TFDS dataset in its own notation, as "train[:80%]"; None: "train".
        validation_split: images that choose learning rate drops and the best epoch; None: "validation", or
            "test" where there is no other, or else a part of "train" that is held out.
        test_split: images for the reported figure only; None: "test" if it is labeled and not used otherwise.
        validation_fraction: fraction of the training images held out where the dataset itself holds out none.
        images_dir: folder that the paths of a table start from; None: the table's own.
        path_column: column of a table with the paths of images, or their names without suffix; None, as for
            the other columns: recognized by its name.
        label_column: column with their classes.
        split_column: column that says train, validation or test; "": there is none.
        group_column: column of groups that are not divided between splits, as patients; "": there is none.
        label_columns: columns of 0 and 1, one for each label, where an image may have several; instead of
            `label_column`.
        label_separator: what separates several labels of an image in a cell; None: recognized; "": each cell
            is one class.
        bad_images: what happens to rows of a table that cannot be used: "raise", or "skip" to leave them out
            with a warning.
        max_bad_images: largest fraction of a table's rows, 0..1, that may be left out.
        require_disjoint: whether to refuse splits that share images; those of a table never may.

    Raises:
        UserError: there is no such dataset or split, the dataset does not hold labeled images, or its splits
            share images and must not.
    """
    tfds_options = {
        "data_dir": data_dir,
        "download": download or None,
        "train_split": train_split,
        "validation_split": validation_split,
        "test_split": test_split,
    }
    table_options = {
        "images_dir": images_dir,
        "path_column": path_column,
        "label_column": label_column,
        "split_column": split_column,
        "group_column": group_column,
        "label_columns": ",".join(label_columns) or None,
        "label_separator": label_separator,
    }
    if not 0 < validation_fraction < 1:
        raise UserError(
            "must be between 0 and 1, as 0.1.", parameter="validation_fraction", value=validation_fraction
        )
    if is_table(name) and os.path.isfile(name):
        _refuse_tfds_options(name, tfds_options)
        return table_dataset(
            name,
            validation_fraction,
            columns=TableColumns(
                path_column,
                label_column,
                split_column,
                group_column,
                tuple(label_columns),
                label_separator,
            ),
            images_dir=images_dir,
            bad_images=bad_images,
            max_bad_images=max_bad_images,
        )
    if not is_table(name):
        refuse_options(name, table_options, "tables")
    if name not in ("", "digits") and os.path.isdir(name):
        _refuse_tfds_options(name, tfds_options)
        return folder_dataset(name, validation_fraction, require_disjoint=require_disjoint)
    if name.startswith((".", "/", "~")) or _is_file(name):
        raise UserError(
            f"{_why_no_folder(name)}; use a folder that holds a subfolder of images for each class, or a "
            f"table ({', '.join(TABLE_SUFFIXES)}).",
            parameter="dataset",
            value=name,
        )
    if name == "digits":
        _refuse_tfds_options(name, tfds_options)
        return digits_dataset()
    return tfds_dataset(
        name,
        data_dir=data_dir,
        download=download,
        train_split=train_split,
        validation_split=validation_split,
        test_split=test_split,
        validation_fraction=validation_fraction,
        require_disjoint=require_disjoint,
    )


def is_table(name: str) -> bool:
    """Whether a dataset's name is the path of a table, by its suffix; a folder is none, whatever its name."""
    return name.lower().endswith(TABLE_SUFFIXES) and not os.path.isdir(name)


def is_folder_or_table(name: str) -> bool:
    """Whether a dataset's name is the path of a folder or table that exists, not a word of a catalog."""
    path = pathlib.Path(name)
    return name not in ("", "digits") and (path.is_dir() or (is_table(name) and path.is_file()))


def absolute_name(name: str) -> str:
    """Returns the absolute path of a folder or table, and any other name of a dataset as it is."""
    return str(pathlib.Path(name).resolve()) if is_folder_or_table(name) else name


def _is_file(name: str) -> bool:
    """Whether the name is that of a table, a file or a broken link, and not a word of the catalog."""
    is_word = re.fullmatch(r"\w*", name) is not None
    is_there = os.path.lexists(name) and not (is_word and os.path.exists(name)) and name != "digits"
    return is_there or is_table(name)


def _why_no_folder(name: str) -> str:
    suffix = pathlib.Path(name).suffix.lower()
    if suffix in _ARCHIVES and os.path.isfile(name):
        return "is an archive, which has to be unpacked"
    if suffix in _OTHER_TABLES and os.path.isfile(name):
        return "is a file, not a folder, and no table that is read: save it as .csv"
    if os.path.exists(name):
        return "is a file, not a folder"
    if os.path.islink(name):
        return f"is a link to {format_value(os.readlink(name))}, which is not there"
    kind = "file" if is_table(name) else "folder"
    if name.startswith("~") and os.path.exists(os.path.expanduser(name)):
        return f"the shell did not replace ~, by which this {kind} is {os.path.expanduser(name)}"
    return f"there is no such {kind}"


def _refuse_tfds_options(name: str, options: Mapping[str, object]) -> None:
    refuse_options(name, options, "TFDS datasets")


def refuse_options(name: str, options: Mapping[str, object], subject: str) -> None:
    """Refuses options that are given for a dataset of another kind.

    Args:
        name: of the dataset.
        options: values by parameter; None for those that are not given.
        subject: what they apply to.

    Raises:
        UserError: one is given.
    """
    for parameter, value in options.items():
        if value is not None:
            raise UserError(
                f"applies to {subject} only; leave it out for dataset={name}.",
                parameter=parameter,
                value=value,
            )
