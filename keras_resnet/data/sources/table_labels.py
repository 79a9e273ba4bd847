"""How the cells of a table say which labels an image has: one class, several in a cell, or 0/1 columns."""

import dataclasses
import unicodedata
from collections.abc import Iterable, Mapping, Sequence

from keras_resnet.data.sources.table_columns import TableColumns, find_columns, is_index, named_column
from keras_resnet.data.sources.table_file import LIST_SEPARATOR, TableFile
from keras_resnet.errors import UserError

# Separators that are recognized, as they are hardly a part of a name; others have to be named.
_RECOGNIZED = ("|", ";")
# Names of columns, in lower case, whose cells may hold several labels.
_PLURALS = ("labels", "tags", "classes", "categories")
_ONES = frozenset(("1", "1.0", "true"))
_ZEROS = frozenset(("0", "0.0", "false"))


@dataclasses.dataclass(frozen=True)
class TableLabels:
    """Where the labels of an image are in a table.

    Args:
        columns: of which the cells are read: one with the labels, or one of 0 and 1 for each label.
        separator: of the labels in a cell; "": a cell is one class.
        is_binary: whether there is a column of 0 and 1 for each label.
        multi_label: whether an image may have several labels, or none.
    """

    columns: tuple[str, ...]
    separator: str = ""
    is_binary: bool = False
    multi_label: bool = False

    def read(self, cells: Mapping[str, str]) -> tuple[str, ...]:
        """Returns the labels of a row, each once; none where its cells are empty.

        Raises:
            ValueError: a cell is neither 0 nor 1; with the reason.
        """
        if not self.is_binary:
            parts = split_labels(cells[self.columns[0]], self.separator)
            return tuple(dict.fromkeys(filter(None, map(composed, parts))))
        for column in self.columns:
            if cells[column].lower() not in _ONES | _ZEROS:
                raise ValueError(f"its {column!r} is {cells[column]!r}, and must be 0 or 1")
        return tuple(column for column in self.columns if cells[column].lower() in _ONES)

    def describe(self) -> str:
        """Returns where the labels are, for messages."""
        if self.is_binary:
            several = "" if self.multi_label else ", one of which is 1 in each row"
            return f"labels in {len(self.columns)} columns of 0 and 1{several}"
        if not self.separator:
            return f"label in column {self.columns[0]!r}"
        kind = "lists" if self.separator == LIST_SEPARATOR else f"separated by {self.separator!r}"
        return f"several labels an image in column {self.columns[0]!r}, {kind}"


def composed(label: str) -> str:
    """Returns a label as one class, whatever program has written it: composed, with single spaces."""
    return " ".join(unicodedata.normalize("NFC", label).split())


def split_labels(cell: str, separator: str) -> list[str]:
    """Returns the parts of a cell; any run of spaces counts as one where the separator is a space."""
    if not separator:
        return [cell]
    return cell.split(separator if separator.strip() or separator == LIST_SEPARATOR else None)


def find_labels(table: TableFile, wanted: TableColumns) -> tuple[dict[str, str], TableLabels]:
    """Returns the column of each other role, as of `find_columns`, and where the labels are.

    Raises:
        UserError: a column is missing, or it is not clear which one is meant, or how labels are separated.
    """
    if wanted.labels:
        return _given_columns(table, wanted)
    try:
        found = find_columns(table.columns, wanted)
    except UserError as error:
        if error.parameter != "label_column" or wanted.label is not None or wanted.separator:
            raise
        others = find_columns(table.columns, wanted, label_columns=())
        free = tuple(
            column for column in table.columns if column not in others.values() and not is_index(column)
        )
        multi_label = _binary_kind(table, free)
        if multi_label is None:
            raise
        return others, TableLabels(free, is_binary=True, multi_label=multi_label)
    column = found.pop("label")
    if wanted.separator is not None:
        return found, TableLabels((column,), wanted.separator, multi_label=bool(wanted.separator))
    cells = {row.cells[0] for row in table.rows([column]) if row.cells is not None}
    separator = _separator(column, cells)
    return found, TableLabels((column,), separator, multi_label=bool(separator))


def _given_columns(table: TableFile, wanted: TableColumns) -> tuple[dict[str, str], TableLabels]:
    for parameter, value in (("label_column", wanted.label), ("label_separator", wanted.separator)):
        if value is not None:
            raise UserError(
                "cannot be combined with label_columns, a column of 0 and 1 for each label; use one of them.",
                parameter=parameter,
                value=value,
            )
    columns = tuple(named_column(name, "label", table.columns, "label_columns") for name in wanted.labels)
    if len(set(columns)) < max(2, len(columns)):
        raise UserError(
            "must be two or more different columns, one for each label; for one label, use label_column with "
            "two classes.",
            parameter="label_columns",
            value=",".join(wanted.labels),
        )
    found = find_columns(table.columns, wanted, label_columns=columns)
    return found, TableLabels(columns, is_binary=True, multi_label=True)


def _binary_kind(table: TableFile, columns: Sequence[str]) -> bool | None:
    """Returns whether rows of these columns of 0 and 1 have other than one 1; None for other columns."""
    if len(columns) < 2:
        return None
    rows = [[cell.lower() for cell in row.cells] for row in table.rows(columns) if row.cells is not None]
    if not rows or not all(cell in _ONES or cell in _ZEROS for row in rows for cell in row):
        return None
    return any(sum(cell in _ONES for cell in row) != 1 for row in rows)


def _separator(column: str, cells: set[str]) -> str:
    """Returns what separates the labels in the cells of a column; "" where each is one class."""
    if any(LIST_SEPARATOR in cell for cell in cells):
        return LIST_SEPARATOR
    likely = [separator for separator in _RECOGNIZED if any(separator in cell for cell in cells)]
    if len(likely) == 1 and _is_list(cells, likely[0]):
        return likely[0]
    if column.lower() not in _PLURALS:
        return ""
    for separator in (*_RECOGNIZED, ",", " "):
        if _is_list(cells, separator):
            example = next(cell for cell in sorted(cells) if len(split_labels(cell, separator)) > 1)
            raise UserError(
                f"is not clear: {example!r} in the column {column!r} may be several labels; use "
                f"label_separator={separator!r}, or label_separator= if each is one class.",
                parameter="label_separator",
            )
    return ""


def _is_list(cells: Iterable[str], separator: str) -> bool:
    """Whether the cells combine fewer labels than there are different cells."""
    lists = {tuple(map(composed, split_labels(cell, separator))) for cell in cells if cell}
    several = any(len(parts) > 1 for parts in lists)
    return several and len({part for parts in lists for part in parts if part}) < len(lists)
