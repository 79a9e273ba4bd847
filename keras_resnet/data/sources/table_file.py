"""The cells of a table as text: .csv and .tsv by the standard library's csv, .parquet by pyarrow."""

import codecs
import csv
import importlib.util
import io
import os
import pathlib
import unicodedata
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from keras_resnet.errors import UserError, first_line, format_value

# What is read, by suffix.
SUFFIXES = (".csv", ".tsv", ".parquet")
# Delimiters of .csv files: the standard's, and those of spreadsheets where a comma is the decimal point.
_DELIMITERS = {",": "commas", ";": "semicolons", "\t": "tabs"}
# Values of these types are text, or become text.
_SCALARS = (str, bool, int, float)
# Between the values of a list, which Parquet may hold in a cell: a control character that no label has.
LIST_SEPARATOR = "\x1f"
_INSTALL = "pip install 'keras-resnet-applications[parquet]'"


class Row(NamedTuple):
    """A row of a table.

    Args:
        number: as spreadsheets count, with the header as row 1; in Parquet files, without header, from 1 on.
        cells: text of the columns that were selected, without spaces around it; None where the row has
            another number of cells than the header.
        width: number of its cells.
    """

    number: int
    cells: tuple[str, ...] | None
    width: int


class TableFile:
    """A table: its columns, and rows of some of them.

    Args:
        name: path of the file.

    Raises:
        UserError: it cannot be read, is no table, or has no header.
    """

    def __init__(self, name: str):
        self.name = name
        is_parquet = pathlib.Path(name).suffix.lower() == ".parquet"
        reader: _Text | _Parquet = _Parquet(name) if is_parquet else _Text(name)
        self._reader = reader
        self.notes = reader.notes  # how it was read, where that is not obvious
        self.columns = tuple(unicodedata.normalize("NFC", " ".join(one.split())) for one in reader.columns)
        doubled = sorted({column for column in self.columns if column and self.columns.count(column) > 1})
        if doubled:
            raise refusal(name, f"has several columns {doubled[0]!r}; rename them.")

    def rows(self, columns: Sequence[str]) -> Iterator[Row]:
        """Yields the cells of these columns, row by row, without empty rows."""
        return self._reader.rows([self.columns.index(column) for column in columns])


class _Text:
    """A .csv or .tsv file."""

    def __init__(self, name: str):
        self._name = name
        text, encoding = _decode(_read(name), name)
        is_tsv = pathlib.Path(name).suffix.lower() == ".tsv"
        headers = {
            delimiter: self._header(text, delimiter) for delimiter in (["\t"] if is_tsv else _DELIMITERS)
        }
        delimiter = max(headers, key=lambda one: len(headers[one][1]))
        self._text, self._delimiter = text, delimiter
        self._header_number, self.columns = headers[delimiter]
        if not self.columns:
            raise refusal(name, "is empty; its first row must name the columns, as path,label.")
        self.notes: tuple[str, ...] = (f"encoded as {encoding}",) if encoding != "UTF-8" else ()
        if not is_tsv and delimiter != ",":
            self.notes += (f"separated by {_DELIMITERS[delimiter]}",)

    def rows(self, indices: Sequence[int]) -> Iterator[Row]:
        for number, cells in self._records(self._text, self._delimiter):
            if number <= self._header_number or not any(map(str.strip, cells)):
                continue
            width = len(cells)
            selected = (
                tuple(cells[index].strip() for index in indices) if width == len(self.columns) else None
            )
            yield Row(number, selected, width)

    def _header(self, text: str, delimiter: str) -> tuple[int, list[str]]:
        """Returns the number and the cells of the first row that is not empty; no cells without one."""
        # Not strict: with the wrong delimiter, quotes stand where none may.
        records = self._records(text, delimiter, strict=False)
        return next(((number, cells) for number, cells in records if any(map(str.strip, cells))), (0, []))

    def _records(self, text: str, delimiter: str, *, strict: bool = True) -> Iterator[tuple[int, list[str]]]:
        lines = io.StringIO(text, newline="")
        reader = csv.reader(lines, delimiter=delimiter, strict=strict, skipinitialspace=delimiter != "\t")
        number = 0
        try:
            for number, cells in enumerate(reader, start=1):
                yield number, cells
        except csv.Error as error:
            raise refusal(self._name, f"row {number + 1:,} is damaged ({first_line(error)}).") from error


class _Parquet:
    """A .parquet file."""

    def __init__(self, name: str):
        if importlib.util.find_spec("pyarrow") is None:
            raise refusal(
                name,
                f"is read by the package pyarrow, which is not installed: {_INSTALL}, or save it as .csv.",
            )
        import pyarrow
        import pyarrow.parquet

        self._name = name
        self.notes: tuple[str, ...] = ()
        try:
            self._file: Any = pyarrow.parquet.ParquetFile(name)
        except (OSError, pyarrow.ArrowException, UnicodeDecodeError) as error:
            raise refusal(name, f"cannot be read as Parquet ({first_line(error)}).") from error
        # Without the index that pandas adds.
        self.columns = [one for one in self._file.schema_arrow.names if not one.startswith("__index_level_")]

    def rows(self, indices: Sequence[int]) -> Iterator[Row]:
        import pyarrow

        names = [self.columns[index] for index in indices]
        number = 0
        try:
            for batch in self._file.iter_batches(columns=names):
                columns = [batch.column(batch.schema.get_field_index(name)).to_pylist() for name in names]
                for values in zip(*columns, strict=True):
                    number += 1
                    cells = tuple(map(self._as_text, values, names))
                    if any(cells):
                        yield Row(number, cells, len(self.columns))
        except (OSError, pyarrow.ArrowException, UnicodeDecodeError) as error:
            raise refusal(self._name, f"cannot be read as Parquet ({first_line(error)}).") from error

    def _as_text(self, value: Any, column: str) -> str:
        if value is None or value != value:  # NaN, as pandas has it for no value
            return ""
        if isinstance(value, list) and all(isinstance(one, _SCALARS) for one in value):
            return "".join(f"{one}{LIST_SEPARATOR}" for one in value) or LIST_SEPARATOR
        if not isinstance(value, _SCALARS):
            raise refusal(
                self._name,
                f"the column {column!r} holds {type(value).__name__} objects; paths, labels, splits and "
                "groups must be text or numbers, and images files of their own.",
            )
        return str(value).strip()


def refusal(name: str, reason: str) -> UserError:
    """Returns the error for a file that is not a table of images."""
    return UserError(reason, parameter="dataset", value=name)


def _read(name: str) -> bytes:
    try:
        return pathlib.Path(name).read_bytes()
    except OSError as error:
        raise refusal(name, f"cannot be read ({error.strerror}).") from error


def _decode(content: bytes, name: str) -> tuple[str, str]:
    """Returns the text and the name of its encoding."""
    if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        encodings = {"utf-16": "UTF-16"}
    else:
        encodings = {"utf-8-sig": "UTF-8", "cp1252": "Windows-1252"}
    for encoding, usual in encodings.items():
        try:
            text = content.decode(encoding)
        except UnicodeDecodeError:
            continue
        if "\0" in text:
            break
        return text, usual
    raise refusal(
        name,
        f"is not the text of a table in {', '.join(encodings.values())} or UTF-16 with a byte order mark; "
        f"save it as UTF-8 from what has written it, as {format_value(os.path.basename(name))}.",
    )
