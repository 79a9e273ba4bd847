"""A table of paths and labels as a dataset. Imports no TensorFlow."""

import collections
import hashlib
import itertools
import logging
import os
import pathlib
import re
from collections.abc import Collection, Iterable, Mapping, Sequence

from keras_resnet.data.dataset import Dataset, max_left_out
from keras_resnet.data.sources.hold_out import hold_out
from keras_resnet.data.sources.hold_out_multi_label import hold_out_multi_label
from keras_resnet.data.sources.labeled_files import (
    LabeledFile,
    common_shape,
    split_of_files,
    warn_of_missing_classes,
)
from keras_resnet.data.sources.split_names import SPLIT_NAMES, split_role
from keras_resnet.data.sources.table_columns import TableColumns
from keras_resnet.data.sources.table_file import refusal
from keras_resnet.data.sources.table_rows import Entry, RowFault, TableRows, describe_rows, read_table
from keras_resnet.errors import UserError, format_value

_LOG = logging.getLogger(__name__)
# Faults that a message lists.
_MAX_LISTED = 10


def table_dataset(
    name: str,
    validation_fraction: float,
    *,
    columns: TableColumns | None = None,
    images_dir: str | None = None,
    bad_images: str = "raise",
    max_bad_images: float = 0.01,
) -> Dataset:
    """Describes the images of a table: each row has a path and a label, and perhaps a split and a group.

    Without rows for validation, those for tests are the validation split. Where all rows are for training, a
    part of each class is held out for validation, whole groups together. Images with several labels are held
    out so that each label is in both parts in proportion, by iterative stratification.

    Args:
        name: path of the table.
        validation_fraction: fraction of each class that is held out where the table is not divided; which
            images depends on their paths alone, or on their groups.
        columns: names of the columns, where they are not obvious.
        images_dir: folder that the paths start from; None: the table's own.
        bad_images: "raise" refuses a table with unusable rows; "skip" leaves these out with a warning.
        max_bad_images: largest fraction of the rows, 0..1, that may be left out; one row may be in any case.

    Raises:
        UserError: the table is not such a table, or has unusable rows.
    """
    rows = read_table(name, columns or TableColumns(), images_dir)
    _report_faults(rows, bad_images, max_bad_images)
    _report_repeated(rows)
    class_names, splits, split_names = divide(rows, validation_fraction)
    for role, files in splits.items():
        warn_of_missing_classes(files, class_names, f"{format_value(name)}: the split {split_names[role]}")
    multi_label = rows.labels.multi_label
    num_labels = len(class_names) if multi_label else None
    made = {role: split_of_files(split_names[role], files, num_labels) for role, files in splits.items()}
    counts = collections.Counter(label for file in splits["train"] for label in file.labels)
    return Dataset(
        name=name,
        class_names=class_names,
        image_shape=common_shape([*splits["train"], *splits["validation"]]),
        train=made["train"],
        validation=made["validation"],
        hflip=True,
        test=made.get("test"),
        fingerprint=_fingerprint(splits, name),
        multi_label=multi_label,
        label_counts=tuple(counts[label] for label in range(len(class_names))) if multi_label else (),
    )


def divide(
    rows: TableRows, validation_fraction: float
) -> tuple[tuple[str, ...], dict[str, list[LabeledFile]], dict[str, str]]:
    """Returns the class names, the files of each split by its role, and what each split is called.

    Raises:
        UserError: there are no images to train or to validate on, a class has none to train on, or a group is
            in two splits.
    """
    by_role: dict[str, list[Entry]] = collections.defaultdict(list)
    for entry in rows.entries:
        by_role[split_role(entry.split) or "train"].append(entry)
    split_names = {role: _usual_name(entries) or role for role, entries in by_role.items()}
    if "train" not in by_role:
        why = f": its column {rows.columns['split']!r} says train nowhere" if "split" in rows.columns else ""
        raise refusal(rows.name, f"has no images to train on{why}.")
    _check_groups(by_role, split_names, rows)
    class_names = _class_names(by_role["train"], rows)
    labels = {name: index for index, name in enumerate(class_names)}
    _check_classes(rows, by_role["train"], labels)
    if set(by_role) == {"train"}:
        held_out = _hold_out(by_role["train"], labels, validation_fraction, rows)
        by_role = {
            "train": [entry for entry, held in zip(rows.entries, held_out, strict=True) if not held],
            "validation": list(itertools.compress(rows.entries, held_out)),
        }
        whole = f", {rows.columns['group']} by {rows.columns['group']}" if "group" in rows.columns else ""
        split_names["validation"] = f"{validation_fraction:.0%} of each class{whole}"
    elif "validation" not in by_role:
        by_role["validation"], split_names["validation"] = by_role.pop("test"), split_names.pop("test")
    splits = {
        role: [_labeled_file(entry, labels) for entry in by_role[role]]
        for role in SPLIT_NAMES
        if role in by_role
    }
    return class_names, splits, split_names


def _labeled_file(entry: Entry, labels: Mapping[str, int]) -> LabeledFile:
    own = tuple(sorted(labels[name] for name in entry.labels))
    return LabeledFile(pathlib.Path(entry.path), own, entry.identity)


def _report_faults(rows: TableRows, bad_images: str, max_bad_images: float) -> None:
    """Refuses unusable rows, or logs that they are left out."""
    if rows.unlabeled:
        _LOG.warning(
            "%s: none of the %s test images has a label: there will be no test figure.",
            format_value(rows.name),
            f"{rows.unlabeled:,}",
        )
    if not rows.faults:
        return
    count = len({row for fault in rows.faults for row in fault.rows})
    counted = f"{count:,} of {rows.num_rows:,} rows"
    if bad_images != "skip":
        raise refusal(
            rows.name,
            f"{counted} cannot be used: {_listed(rows.faults)}. Correct them (`keras-resnet data validate` "
            "names all), or leave them out with bad_images=skip.",
        )
    if count > max_left_out(rows.num_rows, max_bad_images):
        raise UserError(
            f"{counted} of {format_value(rows.name)} cannot be used: {_listed(rows.faults)}; at most this "
            "fraction of the rows, or one row, may be left out.",
            parameter="max_bad_images",
            value=max_bad_images,
        )
    _LOG.warning("%s: left out %s: %s.", format_value(rows.name), counted, _listed(rows.faults))


def _listed(faults: Sequence[RowFault]) -> str:
    rest = len(faults) - _MAX_LISTED
    more = f"; and {rest:,} more" if rest > 0 else ""
    return "; ".join(map(str, faults[:_MAX_LISTED])) + more


def _report_repeated(rows: TableRows) -> None:
    if rows.repeated:
        numbers = [row for row, _ in rows.repeated]
        _LOG.warning(
            "%s: %s repeat%s earlier rows; each image is used once.",
            format_value(rows.name),
            describe_rows(numbers),
            "s" if len(numbers) == 1 else "",
        )


def _usual_name(entries: Iterable[Entry]) -> str:
    """Returns the split's most frequent name; "" where there is no column for it."""
    return collections.Counter(entry.split for entry in entries).most_common(1)[0][0]


def _check_groups(
    by_role: Mapping[str, Sequence[Entry]], split_names: Mapping[str, str], rows: TableRows
) -> None:
    first: dict[str, tuple[str, Entry]] = {}
    for role, entries in by_role.items():
        for entry in entries:
            other_role, other = first.setdefault(entry.group, (role, entry))
            if entry.group and role != other_role:
                raise UserError(
                    f"{entry.group!r} is divided: row {other.row:,} is in {split_names[other_role]} and row "
                    f"{entry.row:,} in {split_names[role]}; put all images of a {rows.columns['group']} into "
                    "one split, or use group_column= if they may be divided.",
                    parameter="group_column",
                    value=rows.columns["group"],
                )


def _class_names(train: Sequence[Entry], rows: TableRows) -> tuple[str, ...]:
    """Returns the labels in the order of their columns, or of their numbers if all are numbers, or sorted."""
    names = {name for entry in train for name in entry.labels}
    if rows.labels.is_binary:
        _check_columns(names, rows)
        return rows.labels.columns
    column = rows.labels.columns[0]
    if len(names) < 2:
        what = "label" if rows.labels.multi_label else "class"
        raise refusal(
            rows.name,
            f"its column {column!r} has {len(names)} {what} to train on, {min(names, default='')!r}, and "
            "needs two or more.",
        )
    if not rows.labels.multi_label and len(names) > 2 and len(names) == len(rows.entries):
        raise UserError(
            f"each of the {len(names):,} images has a class of its own; name the column of the class.",
            parameter="label_column",
            value=column,
        )
    similar: dict[str, str] = {}
    for name in sorted(names):
        other = similar.setdefault(name.casefold(), name)
        if other != name:
            _LOG.warning(
                "%s: the classes %r and %r differ only in case.", format_value(rows.name), other, name
            )
    are_numbers = all(re.fullmatch(r"[+-]?\d+(\.\d*)?", name, re.ASCII) for name in names)
    return tuple(sorted(names, key=(lambda name: (float(name), name)) if are_numbers else None))


def _check_columns(names: Collection[str], rows: TableRows) -> None:
    """Refuses a column of a label that no training image has."""
    for column in rows.labels.columns:
        if column not in names:
            raise UserError(
                f"{column!r} is 1 for no training image; add images of it, or leave it out.",
                parameter="label_columns",
                value=",".join(rows.labels.columns),
            )


def _check_classes(rows: TableRows, train: Sequence[Entry], labels: Mapping[str, int]) -> None:
    """Refuses a class that is only in other splits."""
    for entry in rows.entries:
        for label in entry.labels:
            if label in labels:
                continue
            raise refusal(
                rows.name,
                f"the class {label!r} of row {entry.row:,} is in {entry.split} and not in "
                f"{_usual_name(train)}; add training images of it, or remove it.",
            )


def _hold_out(
    entries: Sequence[Entry], labels: Mapping[str, int], fraction: float, rows: TableRows
) -> list[bool]:
    """Returns which entries are held out: whole groups, where there are any."""
    # What a folder of the same files would hold out.
    names = [os.path.relpath(entry.path, rows.images).replace(os.sep, "/") for entry in entries]
    groups = [entry.group or name for entry, name in zip(entries, names, strict=True)]
    if rows.labels.multi_label:
        held_out = hold_out_multi_label(
            [[labels[name] for name in entry.labels] for entry in entries], groups, fraction
        )
    else:
        held_out = hold_out([labels[entry.labels[0]] for entry in entries], groups, fraction)
    if not any(held_out):
        unit = rows.columns.get("group", "image")
        raise refusal(
            rows.name,
            f"each class has one {unit}, and needs two or more for one to be held out; add some.",
        )
    return held_out


def _fingerprint(splits: Mapping[str, Iterable[LabeledFile]], name: str) -> str:
    """Returns a hash of which file is of which class and split, wherever table and files lie together."""
    digest, folder = hashlib.sha256(), os.path.dirname(os.path.abspath(name))
    for role, files in splits.items():
        for file in files:
            path = os.path.relpath(file.path, folder).replace(os.sep, "/")
            own = ",".join(map(str, file.labels))
            digest.update(f"{role}\0{path}\0{own}\n".encode(errors="surrogateescape"))
    return digest.hexdigest()[:16]
