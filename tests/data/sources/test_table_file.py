import csv
import datetime
import sys

import pyarrow
import pyarrow.parquet
import pytest
from helpers.errors import refused

from keras_resnet.data.sources.table_file import Row, TableFile

ROWS = [("straße/é.jpg", 'a "b", c'), ("2.jpg", "two\nlines"), ("3.jpg", "")]


def _written(path, dialect="excel", encoding="utf-8", **options):
    with path.open("w", encoding=encoding, newline="") as file:
        writer = csv.writer(file, dialect, **options)
        writer.writerows([("path", "label"), *ROWS])
    return str(path)


def _cells(table, *columns):
    return [row.cells for row in table.rows(columns)]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "cp1252"])
@pytest.mark.parametrize(
    ("name", "options", "note"),
    [
        ("a.csv", {}, ()),
        ("a.CSV", {"delimiter": ";"}, ("separated by semicolons",)),
        ("a.csv", {"delimiter": "\t"}, ("separated by tabs",)),
        ("a.csv", {"quoting": csv.QUOTE_ALL, "lineterminator": "\n"}, ()),
        ("a.csv", {"dialect": "unix"}, ()),
        ("a.tsv", {"dialect": "excel-tab"}, ()),
    ],
)
def test_text_in_every_encoding_and_dialect(tmp_path, encoding, name, options, note):
    table = TableFile(_written(tmp_path / name, encoding=encoding, **options))
    assert table.columns == ("path", "label")
    assert _cells(table, "path", "label") == ROWS
    assert _cells(table, "label") == [(label,) for _, label in ROWS]
    usual = {"utf-16": ("encoded as UTF-16",), "cp1252": ("encoded as Windows-1252",)}
    assert table.notes == usual.get(encoding, ()) + note


def test_rows_are_numbered_as_spreadsheets_number_them(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("\n path , label\n\na.jpg, cat \nb.jpg\n , \nc.jpg,dog,x\n")
    table = TableFile(str(path))
    assert table.columns == ("path", "label")
    assert list(table.rows(("path", "label"))) == [
        Row(4, ("a.jpg", "cat"), 2),
        Row(5, None, 1),
        Row(7, None, 3),
    ]


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "is empty"),
        (b"\xef\xbb\xbf\r\n \n", "is empty"),
        (b'""', "is empty"),
        (b'path,label\na,b\nc,"d\ne,f\n', "row 3"),
        (b'path,label\n"a"b,c\n', "row 2"),
        (b"path,label,label\na,b,c\n", "'label'"),
        (b"PK\x03\x04\0\0workbook", "UTF-8"),
        ("path,label\na,b\n".encode("utf-16-le"), "UTF-16"),
        (b"path,label\na.jpg,\x81\n", "UTF-8"),
    ],
)
def test_what_is_no_table_is_refused(tmp_path, content, says):
    path = tmp_path / "a.csv"
    path.write_bytes(content)
    with refused("dataset", str(path)) as caught:
        list(TableFile(str(path)).rows(()))
    assert says in caught.value.reason


def test_a_table_that_is_not_there_is_refused(tmp_path):
    for suffix in ("csv", "parquet"):
        with refused("dataset", str(tmp_path / f"none.{suffix}")):
            TableFile(str(tmp_path / f"none.{suffix}"))


def test_parquet_of_every_usual_type(tmp_path):
    columns = {
        "path": pyarrow.array(["a.jpg", None, " b.jpg"]),
        "large": pyarrow.array(["x", "", "y"], pyarrow.large_string()),
        "category": pyarrow.array(["cat", None, "dog"]).dictionary_encode(),
        "integer": pyarrow.array([1, None, 10], pyarrow.int32()),
        "float": pyarrow.array([1.0, float("nan"), 2.5]),
        "bool": pyarrow.array([True, None, False]),
        "__index_level_0__": pyarrow.array([5, 6, 7]),
        "nested": pyarrow.array([{"bytes": b""}] * 3),
        "day": pyarrow.array([datetime.date(2020, 1, 1)] * 3),
    }
    path = str(tmp_path / "a.parquet")
    pyarrow.parquet.write_table(pyarrow.table(columns), path, row_group_size=2)
    table = TableFile(path)
    assert table.columns == tuple(name for name in columns if name != "__index_level_0__")
    assert list(table.rows(("float", "path", "large", "category", "integer", "bool"))) == [
        Row(1, ("1.0", "a.jpg", "x", "cat", "1", "True"), 8),
        Row(3, ("2.5", "b.jpg", "y", "dog", "10", "False"), 8),
    ]
    for name in ("nested", "day"):
        with refused("dataset", path) as caught:
            list(table.rows((name,)))
        assert f"'{name}'" in caught.value.reason


def test_damaged_parquet_is_refused(tmp_path):
    path = tmp_path / "a.parquet"
    path.write_bytes(b"PAR1 is not enough")
    with refused("dataset", str(path)):
        TableFile(str(path))
    text = pyarrow.array([b"a.jpg", b"\xff\xfe"]).view(pyarrow.string())
    pyarrow.parquet.write_table(pyarrow.table({"path": text}), path)
    with refused("dataset", str(path)):
        list(TableFile(str(path)).rows(("path",)))


def test_without_pyarrow_its_name_is_told(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with refused("dataset", "a.parquet") as caught:
        TableFile("a.parquet")
    assert "keras-resnet-applications[parquet]" in caught.value.reason
