"""The rows of a table of labeled images, and what is wrong with some: all commands read them here.

Imports no TensorFlow.
"""

import collections
import dataclasses
import logging
import os
import pathlib
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from keras_resnet.data.sources.file_finder import FileFinder, NotFound
from keras_resnet.data.sources.image_files import SUFFIXES as IMAGE_SUFFIXES
from keras_resnet.data.sources.image_files import Identity
from keras_resnet.data.sources.split_names import SPLIT_NAMES, split_role
from keras_resnet.data.sources.table_columns import TableColumns
from keras_resnet.data.sources.table_file import Row, TableFile, refusal
from keras_resnet.data.sources.table_labels import TableLabels, find_labels
from keras_resnet.errors import UserError, format_value

_LOG = logging.getLogger(__name__)
# Rows and names that a message lists.
_MAX_LISTED = 5


class Entry(NamedTuple):
    """An image of a table.

    Args:
        row: number of the row that names it, the first of several.
        path: of the file.
        identity: equal for two paths of the same file.
        labels: name of its class, composed, with single spaces; of a multi-label table of any number.
        split: as the table writes it; "" where it has no column for it.
        group: "" where there is none.
    """

    row: int
    path: str
    identity: Identity
    labels: tuple[str, ...]
    split: str
    group: str


class RowFault(NamedTuple):
    """What is wrong with one row, or with several that contradict each other.

    Args:
        rows: their numbers.
        kind: one or two words, the same for all faults of this kind.
        reason: without a period.
    """

    rows: tuple[int, ...]
    kind: str
    reason: str

    def __str__(self) -> str:
        return f"{describe_rows(self.rows)}: {' '.join(self.reason.split())}"  # a cell may have several lines


@dataclasses.dataclass(frozen=True)
class TableRows:
    """What a table holds.

    Args:
        name: path of the table.
        images: folder that its paths start from.
        columns: name of the column of "path", "split" and "group", as far as there are such columns.
        labels: where the labels are.
        num_rows: number of its rows, without empty ones.
        entries: its images, each file once, in the order of the rows.
        faults: rows that are not among the entries, in their order.
        repeated: (row, earlier row) where a row says again what the earlier one says.
        unlabeled: number of test images without a label, where no test image has one.
    """

    name: str
    images: str
    columns: dict[str, str]
    labels: TableLabels
    num_rows: int
    entries: tuple[Entry, ...]
    faults: tuple[RowFault, ...]
    repeated: tuple[tuple[int, int], ...]
    unlabeled: int


def read_table(name: str, columns: TableColumns, images_dir: str | None = None) -> TableRows:
    """Reads a table and finds its files; logs which columns were understood as what.

    Args:
        name: path of the table.
        columns: names of its columns.
        images_dir: folder that its paths start from; None: the table's own.

    Raises:
        UserError: it is not such a table, its columns are not clear, or none of its files is there.
    """
    table = TableFile(name)
    images = _images_folder(name, images_dir)
    _check_header(table, images)
    found, labels = find_labels(table, columns)
    # Cells by their role, and those of labels by their column.
    roles = [*found, *labels.columns]
    rows = list(table.rows([*found.values(), *labels.columns]))
    if not rows:
        raise refusal(name, f"has a header ({', '.join(table.columns)}) and no rows.")
    _log_understood(table, found, labels, images_dir, len(rows))
    values = [dict(zip(roles, row.cells, strict=True)) if row.cells is not None else None for row in rows]
    splits = [cells["split"] for cells in values if cells is not None and "split" in cells]
    if splits and not any(map(split_role, splits)):
        raise _no_splits(found["split"], splits)
    tests = [cells for cells in values if cells is not None and split_role(cells.get("split", "")) == "test"]
    any_labeled = any(cells[column] for cells in tests for column in labels.columns)
    unlabeled = len(tests) if tests and not any_labeled else 0
    finder = FileFinder(images)
    faults: list[RowFault] = []
    entries: list[Entry] = []
    for row, cells in zip(rows, values, strict=True):
        if unlabeled and cells is not None and split_role(cells.get("split", "")) == "test":
            continue
        entry = _entry(row, cells, labels, finder, len(table.columns))
        if isinstance(entry, RowFault):
            faults.append(entry)
        else:
            entries.append(entry)
    if not entries and faults:
        raise _no_files(name, faults, images, images_dir)
    kept, contradictions, repeated = _without_repetitions(entries)
    faults = sorted([*faults, *contradictions])
    return TableRows(
        name, images, found, labels, len(rows), tuple(kept), tuple(faults), tuple(repeated), unlabeled
    )


def describe_rows(rows: Sequence[int]) -> str:
    """Returns "row 3", "rows 3 and 5" or "rows 3, 5, 6 and 4 more"."""
    if len(rows) == 1:
        return f"row {rows[0]:,}"
    named = [f"{row:,}" for row in rows[:_MAX_LISTED]]
    rest = len(rows) - len(named)
    last = f"{rest:,} more" if rest else named.pop()
    return f"rows {', '.join(named)} and {last}"


def _images_folder(name: str, images_dir: str | None) -> str:
    if images_dir is None:
        return os.path.dirname(name)
    if not os.path.isdir(images_dir):
        raise UserError(
            "there is no such folder; use the one that the paths of the table start from.",
            parameter="images_dir",
            value=images_dir,
        )
    return images_dir


def _check_header(table: TableFile, images: str) -> None:
    """Refuses a first row that is one of the images."""
    for cell in table.columns:
        is_image = cell.lower().endswith(IMAGE_SUFFIXES)
        if is_image or (os.sep in cell and os.path.isfile(os.path.join(images, cell))):
            row = ", ".join(table.columns)
            raise refusal(
                table.name, f"its first row ({row}) names no columns; put a header above it, as path,label."
            )


def _log_understood(
    table: TableFile, found: dict[str, str], labels: TableLabels, images_dir: str | None, num_rows: int
) -> None:
    described = [f"{role} in column {column!r}" for role, column in found.items()]
    roles = ", ".join([*described[:1], labels.describe(), *described[1:]])
    notes = f" ({', '.join(table.notes)})" if table.notes else ""
    unread = len(table.columns) - len(found) - len(labels.columns)
    others = f"; {unread} other column{'s' if unread > 1 else ''} not read" if unread else ""
    _LOG.info(
        "%s%s: %s rows, %s%s; paths start from %s.",
        format_value(table.name),
        notes,
        f"{num_rows:,}",
        roles,
        others,
        "the table's folder" if images_dir is None else format_value(images_dir),
    )


def _entry(
    row: Row, cells: dict[str, str] | None, labels: TableLabels, finder: FileFinder, width: int
) -> Entry | RowFault:
    number = (row.number,)
    if cells is None:
        return RowFault(number, "damaged", f"it has {row.width} cells, and the header has {width}")
    if not cells["path"]:
        return RowFault(number, "no path", "its path is empty")
    try:
        own = labels.read(cells)
    except ValueError as error:
        return RowFault(number, "no label", f"{error}, for {format_value(cells['path'])}")
    if not own and not labels.multi_label:
        return RowFault(number, "no label", f"the label of {format_value(cells['path'])} is empty")
    split = cells.get("split", "")
    if "split" in cells and split_role(split) is None:
        names = ", ".join(name for names in SPLIT_NAMES.values() for name in names)
        return RowFault(number, "no split", f"its split {split!r} is none of {names}")
    found = finder.find(cells["path"])
    if isinstance(found, NotFound):
        return RowFault(number, *found)
    return Entry(row.number, *found, own, split, cells.get("group", ""))


def _without_repetitions(
    entries: Iterable[Entry],
) -> tuple[list[Entry], list[RowFault], list[tuple[int, int]]]:
    """Returns each file once, those of contradictory rows as faults, and the rows that say nothing new."""
    by_file: dict[Identity, list[Entry]] = collections.defaultdict(list)
    for entry in entries:
        by_file[entry.identity].append(entry)
    kept: list[Entry] = []
    faults: list[RowFault] = []
    repeated: list[tuple[int, int]] = []
    for same in by_file.values():
        first = same[0]
        for role in ("label", "split", "group"):
            values = list(dict.fromkeys(_said(entry, role) for entry in same))
            if role == "split":
                values = list({split_role(split): split for split in values}.values())
            if len(values) > 1:
                rows = tuple(entry.row for entry in same)
                listed = " and ".join(repr(one) for one in values[:_MAX_LISTED])
                reason = f"they give {format_value(first.path)} the {role}s {listed}"
                faults.append(RowFault(rows, "contradictory", reason))
                break
        else:
            kept.append(first)
            repeated.extend((entry.row, first.row) for entry in same[1:])
    return kept, faults, sorted(repeated)


def _said(entry: Entry, role: str) -> str:
    return ", ".join(sorted(entry.labels)) if role == "label" else getattr(entry, role)


def _no_splits(column: str, splits: Sequence[str]) -> UserError:
    values = list(dict.fromkeys(splits))
    listed = ", ".join(repr(value) for value in values[:_MAX_LISTED])
    more = ", ..." if len(values) > _MAX_LISTED else ""
    names = ", ".join(name for names in SPLIT_NAMES.values() for name in names)
    return UserError(
        f"this column holds {listed}{more}, and splits are {names}; write these, or use split_column= to "
        "have a part of each class held out.",
        parameter="split_column",
        value=column,
    )


def _no_files(name: str, faults: Sequence[RowFault], images: str, images_dir: str | None) -> UserError:
    if all(fault.kind == "missing" for fault in faults):
        folder = format_value(pathlib.Path(images).resolve())
        return UserError(
            f"none of the {len(faults):,} files of {format_value(name)} is there, as {faults[0]}, in "
            f"{folder}; use the folder that the paths start from, or another path_column.",
            parameter="images_dir",
            value=images_dir,
        )
    return refusal(name, f"none of its rows can be used, as {faults[0]}.")
