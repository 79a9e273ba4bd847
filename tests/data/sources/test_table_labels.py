import csv

import numpy as np
import pytest
from helpers.digit_pairs import digit_pairs, write_digit_pairs
from helpers.errors import refused
from helpers.pictures import write_files

from keras_resnet.data.load import load_dataset


def _write(folder, header, rows, name="labels.csv"):
    write_files(folder, *(row[0] for row in rows))
    with (folder / name).open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([header, *rows])
    return str(folder / name)


def _labels(split):
    return {
        split.describe(index)[-7:]: label.tolist() if np.ndim(label) else int(label)
        for index, _, label in split.read(None).as_numpy_iterator()
    }


@pytest.mark.parametrize("separator", [";", "|", ",", " / ", None])
def test_labels_in_a_cell_or_in_columns_are_the_same_vectors(tmp_path, separator):
    options = {"label_separator": separator} if separator in (",", " / ") else {}
    dataset = load_dataset(write_digit_pairs(tmp_path, separator=separator), **options)
    assert dataset.multi_label
    assert dataset.class_names == tuple(f"digit {digit}" for digit in range(4))
    _, labels = digit_pairs(120)
    found = _labels(dataset.train) | _labels(dataset.validation)
    assert [found[f"{index:03}.png"] for index in range(120)] == labels.tolist()
    assert [0.0] * 4 in found.values()
    train = np.array(list(_labels(dataset.train).values()))
    assert dataset.label_counts == tuple(train.sum(axis=0))
    assert dataset.train.size + dataset.validation.size == 120
    assert f"{train.sum() / len(train):.2f} an image" in dataset.summary()
    assert f"digit 3 {int(train[:, 3].sum())}" in dataset.summary()


def test_lists_of_parquet_are_labels(tmp_path):
    pyarrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    lists = [["b"], ["a", "b"], [], ["a"], None, ["c", "a"], ["c"], ["b"]]
    names = [f"00{index}.png" for index in range(8)]
    write_files(tmp_path, *names)
    table = pyarrow.table({"path": names, "label": lists})
    parquet.write_table(table, tmp_path / "labels.parquet")
    dataset = load_dataset(str(tmp_path / "labels.parquet"))
    found = _labels(dataset.train) | _labels(dataset.validation)
    assert dataset.class_names == ("a", "b", "c")
    assert [found[name] for name in names] == [
        [float(label in (own or ())) for label in "abc"] for own in lists
    ]


def test_columns_with_a_single_1_in_each_row_are_classes_unless_they_are_named(tmp_path):
    rows = [[f"00{index}.png", int(index % 2 == 0), int(index % 2)] for index in range(8)]
    name = _write(tmp_path, ["image", "mole", "MEL"], rows)
    dataset = load_dataset(name)
    assert not dataset.multi_label
    assert dataset.class_names == ("mole", "MEL")
    assert _labels(dataset.train)["000.png"] == 0
    named = load_dataset(name, label_columns=("MEL", "mole"))
    assert named.multi_label
    assert named.class_names == ("MEL", "mole")
    found = _labels(named.train) | _labels(named.validation)
    assert found["000.png"] == [0.0, 1.0]
    assert named.fingerprint != dataset.fingerprint


def test_a_separator_in_a_name_does_not_make_it_a_list(tmp_path):
    rows = [[f"00{index}.png", "cat|dog" if index % 2 else "bird"] for index in range(8)]
    name = _write(tmp_path, ["path", "label"], rows)
    assert load_dataset(name).class_names == ("bird", "cat|dog")
    assert load_dataset(name, label_separator="|").class_names == ("bird", "cat", "dog")
    lists = [[f"00{index}.png", cell] for index, cell in enumerate(["a;b", "a", "b", "c", "c", "c;a"])]
    listed = _write(tmp_path, ["path", "label"], lists)
    assert load_dataset(listed).class_names == ("a", "b", "c")
    assert load_dataset(listed, label_separator="").class_names == ("a", "a;b", "b", "c", "c;a")


def test_words_in_a_column_of_tags_are_asked_about(tmp_path):
    cells = ["haze primary", "primary", "clear primary", "clear", "haze", "clear road primary", "road"]
    rows = [[f"00{index}.png", cell] for index, cell in enumerate(cells)]
    name = _write(tmp_path, ["image_name", "tags"], rows)
    with refused("label_separator") as caught:
        load_dataset(name)
    assert "label_separator=' '" in caught.value.reason
    assert load_dataset(name, label_separator=" ").class_names == ("clear", "haze", "primary", "road")


@pytest.mark.parametrize(
    ("options", "parameter", "says"),
    [
        ({"label_columns": ("a",)}, "label_columns", "two or more"),
        ({"label_columns": ("a", "A")}, "label_columns", "different"),
        ({"label_columns": ("a", "z")}, "label_columns", "no such column"),
        ({"label_columns": ("a", "b"), "label_column": "c"}, "label_column", "cannot be combined"),
        ({"label_columns": ("a", "b"), "label_separator": ";"}, "label_separator", "cannot be combined"),
        ({"label_columns": ("a", "b"), "path_column": "a"}, "path_column", "label_columns"),
        ({"label_columns": ("a", "c")}, "dataset", "'c' is '7', and must be 0 or 1"),
        ({"label_columns": ("a", "n")}, "label_columns", "'n' is 1 for no training image"),
        ({}, "label_column", "label_columns=A,B"),
    ],
)
def test_columns_of_labels_that_cannot_be_are_refused(tmp_path, options, parameter, says):
    rows = [[f"00{index}.png", index % 2, index % 3 % 2, 7, 0] for index in range(8)]
    name = _write(tmp_path, ["path", "a", "b", "c", "n"], rows)
    with refused(parameter) as caught:
        load_dataset(name, **options)
    assert says in caught.value.reason


def test_options_of_labels_are_for_tables(tmp_path):
    for options in ({"label_columns": ("a", "b")}, {"label_separator": ";"}):
        with refused(next(iter(options))):
            load_dataset("digits", **options)


def test_rows_that_contradict_each_other_are_named_and_others_repeat(tmp_path):
    rows = [["000.png", "a;b"], ["001.png", "a"], ["002.png", "b"], ["003.png", "a"], ["000.png", "b; a"]]
    name = _write(tmp_path, ["path", "label"], [*rows, ["004.png", ""], ["005.png", "b"]])
    assert load_dataset(name).train.size + load_dataset(name).validation.size == 6
    with refused("dataset") as caught:
        load_dataset(_write(tmp_path, ["path", "label"], [*rows, ["001.png", "b"], ["005.png", "b"]]))
    assert "rows 3 and 7" in caught.value.reason
