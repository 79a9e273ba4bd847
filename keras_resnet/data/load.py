"""Loads a dataset by its name. Imports TensorFlow for TFDS datasets only."""

import os
import pathlib
import re
from collections.abc import Mapping

from keras_resnet.data.dataset import Dataset
from keras_resnet.data.sources.digits import digits_dataset
from keras_resnet.data.sources.folder import folder_dataset
from keras_resnet.data.sources.tfds import tfds_dataset
from keras_resnet.errors import UserError, format_value

_TABLES = (".csv", ".json", ".jsonl", ".parquet", ".tsv", ".txt", ".xls", ".xlsx")
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
    require_disjoint: bool = False,
) -> Dataset:
    """Loads a dataset: "digits" (embedded), a folder of images, or any image classification dataset of TFDS.

    Args:
        name: the name, or the path of the folder.
        data_dir: where TFDS keeps its datasets; None: its own default.
        download: whether a TFDS dataset that is not prepared is downloaded and prepared.
        train_split: training images of a TFDS dataset in its own notation, as "train[:80%]"; None: "train".
        validation_split: images that choose learning rate drops and the best epoch; None: "validation", or
            "test" where there is no other, or else a part of "train" that is held out.
        test_split: images for the reported figure only; None: "test" if it is labeled and not used otherwise.
        validation_fraction: fraction of the training images held out where the dataset itself holds out none.
        require_disjoint: whether to refuse splits that share images.

    Raises:
        UserError: there is no such dataset or split, the dataset does not hold images with one label each, or
            its splits share images and must not.
    """
    tfds_options = {
        "data_dir": data_dir,
        "download": download or None,
        "train_split": train_split,
        "validation_split": validation_split,
        "test_split": test_split,
    }
    if not 0 < validation_fraction < 1:
        raise UserError(
            "must be between 0 and 1, as 0.1.", parameter="validation_fraction", value=validation_fraction
        )
    if name not in ("", "digits") and os.path.isdir(name):
        _refuse_tfds_options(name, tfds_options)
        return folder_dataset(name, validation_fraction, require_disjoint=require_disjoint)
    if name.startswith((".", "/", "~")) or _is_file(name):
        raise UserError(
            f"{_why_no_folder(name)}; use a folder that holds a subfolder of images for each class.",
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


def _is_file(name: str) -> bool:
    """Whether the name is that of a file or a broken link; a word is a name of the catalog all the same."""
    is_word = re.fullmatch(r"\w*", name) is not None
    return os.path.lexists(name) and not (is_word and os.path.exists(name)) and name != "digits"


def _why_no_folder(name: str) -> str:
    suffix = pathlib.Path(name).suffix.lower()
    if suffix in _ARCHIVES and os.path.isfile(name):
        return "is an archive, which has to be unpacked"
    if suffix in _TABLES and os.path.isfile(name):
        return "is a file, not a folder, and tables of labels are not read"
    if os.path.exists(name):
        return "is a file, not a folder"
    if os.path.islink(name):
        return f"is a link to {format_value(os.readlink(name))}, which is not there"
    if name.startswith("~") and os.path.isdir(os.path.expanduser(name)):
        return f"the shell did not replace ~, by which this folder is {os.path.expanduser(name)}"
    return "there is no such folder"


def _refuse_tfds_options(name: str, options: Mapping[str, object]) -> None:
    for parameter, value in options.items():
        if value is not None:
            raise UserError(
                f"applies to TFDS datasets only; leave it out for dataset={name}.",
                parameter=parameter,
                value=value,
            )
