import collections
import csv
import logging
import os
import unicodedata

import numpy as np
import pytest
from helpers.errors import refused
from helpers.pictures import encoded, write_files, write_folder

from keras_resnet.data.load import load_dataset
from keras_resnet.data.sources.table_columns import TableColumns
from keras_resnet.data.sources.table_rows import read_table


def _write(folder, rows, header="path,label", name="labels.csv"):
    """A table of rows, each as text with commas or as a list of cells; empty images where they are named."""
    rows = [row.split(",") if isinstance(row, str) else row for row in rows]
    with (folder / name).open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([header.split(","), *rows])
    return str(folder / name)


def _numbered(*classes, count=4, **more):
    """Rows of images a0.jpg, a1.jpg, ... of each class."""
    rest = [str(value) for value in more.values()]
    return [[f"{name}{number}.jpg", name, *rest] for name in classes for number in range(count)]


@pytest.fixture
def images(tmp_path):
    return write_files(
        tmp_path, *(f"{name}{number}.jpg" for name in "abc" for number in range(10)), "d.png", "d.jpg"
    )


def _names(split):
    return [os.path.basename(split.describe(index)) for index in range(split.size)]


def test_a_table_without_splits_holds_out_what_a_folder_of_its_files_does(tmp_path):
    folder = write_folder(tmp_path / "photos", images=30, split=False)
    rows = [[str(path.relative_to(tmp_path)), path.parent.name] for path in sorted(folder.glob("*/*"))]
    (tmp_path / "elsewhere").mkdir()
    name = _write(tmp_path / "elsewhere", [row[0].removeprefix("photos/") + "," + row[1] for row in rows])
    dataset = load_dataset(name, images_dir=str(folder), validation_fraction=0.2)
    expected = load_dataset(str(folder), validation_fraction=0.2)
    assert dataset.class_names == expected.class_names
    assert dataset.image_shape == expected.image_shape == (None, None, 3)
    assert (dataset.name, dataset.test, dataset.hflip) == (name, None, True)
    for split, like in ((dataset.train, expected.train), (dataset.validation, expected.validation)):
        assert split.name == like.name
        assert [split.describe(index) for index in range(split.size)] == [
            like.describe(index) for index in range(like.size)
        ]
    for index, image, label in dataset.train.read(None).as_numpy_iterator():
        path = dataset.train.describe(index)
        assert os.path.basename(os.path.dirname(path)) == dataset.class_names[label]
        with open(path, "rb") as file:
            assert image == file.read()


@pytest.mark.parametrize(
    ("shift", "splits"),
    [
        ({}, {"train": 4, "val": 2, "test": 2}),
        ({"val": "Validation", "test": "TESTING", "train": "Training"}, None),
        ({"test": "val"}, {"train": 4, "val": 4}),
    ],
)
def test_a_column_says_which_split_an_image_is_of(images, shift, splits):
    rows = [
        [*row, shift.get(split, split)]
        for split, start in {"train": 0, "val": 2, "test": 3}.items()
        for row in (f"{name}{start + i}.jpg {name}".split() for name in "ab" for i in range(3 - start or 1))
        if not (split == "train" and row[0][1] == "2")
    ]
    dataset = load_dataset(_write(images, rows, "path,label,split"))
    found = {split.name: split.size for split in (dataset.train, dataset.validation, dataset.test) if split}
    assert found == (splits or {"Training": 4, "Validation": 2, "TESTING": 2})
    assert _names(dataset.train) == ["a0.jpg", "a1.jpg", "b0.jpg", "b1.jpg"]


def test_train_and_test_alone_validate_on_test(images):
    rows = [*_numbered("a", "b", split="train"), "a9.jpg,a,test", "b9.jpg,b,test"]
    dataset = load_dataset(_write(images, rows, "path,label,split"))
    assert (dataset.validation.name, dataset.validation.size, dataset.test) == ("test", 2, None)


def test_train_alone_holds_out_a_part_of_each_class(images):
    rows = _numbered("a", "b", count=10, split="train")
    dataset = load_dataset(_write(images, rows, "path,label,split"))
    assert (dataset.train.size, dataset.validation.size) == (18, 2)
    assert dataset.validation.name == "10% of each class"


@pytest.mark.parametrize(
    ("labels", "names"),
    [
        (("10", "9", "2"), ("2", "9", "10")),
        (("-1", "3.5", "12"), ("-1", "3.5", "12")),
        (("10", "9", "b"), ("10", "9", "b")),
        (("Zebra", "ant", "Émeu"), ("Zebra", "ant", "Émeu")),
    ],
)
def test_classes_are_in_the_order_of_their_numbers_or_names(images, labels, names):
    rows = [[f"{file}{i}.jpg", label] for file, label in zip("abc", labels, strict=True) for i in range(2)]
    dataset = load_dataset(_write(images, rows))
    assert dataset.class_names == names
    read = {
        dataset.train.describe(index)[-6]: dataset.class_names[label]
        for index, _, label in dataset.train.read(None).as_numpy_iterator()
    }
    assert read == dict(zip("abc", labels, strict=True))


def test_labels_that_look_the_same_are_one_class(images, caplog):
    forms = [unicodedata.normalize("NFD", " polar  bär "), "polar\u00a0bär", "polar bär"]
    rows = [*([f"a{i}.jpg", form] for i, form in enumerate(forms)), "b0.jpg,Cat", "b1.jpg,Cat", "c0.jpg,cat"]
    assert load_dataset(_write(images, [*rows, "c1.jpg,cat"])).class_names == ("Cat", "cat", "polar bär")
    assert "'Cat' and 'cat' differ only in case" in caplog.text


@pytest.mark.parametrize(
    "spelling", ["{}.jpg", "./{}.jpg", "../{folder}/{}.jpg", "{here}/{}.jpg", "{}", ".\\{}.jpg"]
)
def test_a_file_by_any_path(images, spelling, monkeypatch):
    rows = [
        [spelling.format(f"{name}{i}", folder=images.name, here=images), name]
        for name in "ab"
        for i in range(10)
    ]
    monkeypatch.chdir(images)
    dataset = load_dataset(os.path.relpath(_write(images, rows)))
    plain = load_dataset(_write(images, _numbered("a", "b", count=10), name="plain.csv"))
    assert _names(dataset.validation) == _names(plain.validation)
    assert dataset.fingerprint == plain.fingerprint


def test_the_fingerprint_is_of_what_the_table_says_wherever_it_is(images, tmp_path):
    rows = _numbered("a", "b", "c", count=10)
    moved = write_files(tmp_path / "moved", *(row[0] for row in rows))
    prints = [
        load_dataset(_write(folder, changed)).fingerprint
        for folder, changed in (
            (images, rows),
            (moved, [[*row[:1], f" {row[1]}"] for row in rows]),
            (images, rows[:-1]),
            (images, [["a0.jpg", "b"], *rows[1:]]),
            (images, rows[::-1]),
        )
    ]
    assert prints[0] == prints[1]
    assert len(set(prints)) == 4


def test_groups_are_never_divided(images):
    rows = [[*row, f"patient {int(row[0][1]) // 2}"] for row in _numbered("a", "b", "c", count=10)]
    for fraction, count in ((0.1, 2), (0.2, 2), (0.5, 4)):
        dataset = load_dataset(_write(images, rows, "path,label,patient"), validation_fraction=fraction)
        assert "patient by patient" in dataset.validation.name
        group = {row[0]: row[2] for row in rows}
        train, validation = (
            {group[name] for name in _names(split)} for split in (dataset.train, dataset.validation)
        )
        assert train
        assert validation
        assert not train & validation
        labels = collections.Counter(name[0] for name in _names(dataset.validation))
        assert labels == dict.fromkeys("abc", count)
    alone = load_dataset(_write(images, rows, "path,label,patient"), group_column="")
    assert _names(alone.validation) == _names(
        load_dataset(_write(images, _numbered("a", "b", "c", count=10))).validation
    )


def test_a_group_in_two_splits_is_named(images):
    rows = [*_numbered("a", "b", split="train", group=""), "a8.jpg,a,train,p7", "a9.jpg,a,val,p7"]
    name = _write(images, [*rows, "b9.jpg,b,val,p8"], "path,label,split,patient")
    with refused("group_column", "patient") as caught:
        load_dataset(name)
    assert all(text in caught.value.reason for text in ("'p7'", "row 10", "row 11", "group_column="))
    assert load_dataset(name, group_column="").validation.size == 2


FAULTS = {
    "missing": ("e.jpg,a", "not there"),
    "damaged": ("a9.jpg,a,b", "3 cells"),
    "no label": ("a9.jpg, ", "label"),
    "no path": (" ,a", "path"),
}


@pytest.mark.parametrize("kind", FAULTS)
def test_a_row_that_cannot_be_used_is_named_or_left_out(images, caplog, kind):
    row, says = FAULTS[kind]
    name = _write(images, [*_numbered("a", "b"), row, *_numbered("c")])
    with refused("dataset", name) as caught:
        load_dataset(name)
    assert "row 10: " in caught.value.reason
    assert says in caught.value.reason
    assert "1 of 13 rows" in caught.value.reason
    dataset = load_dataset(name, bad_images="skip")
    assert dataset.train.size + dataset.validation.size == 12
    assert "row 10: " in caplog.text
    assert [fault.kind for fault in read_table(name, TableColumns()).faults] == [kind]


def test_contradictory_rows_are_left_out_together(images):
    rows = [*_numbered("a", "b"), "./a0.jpg,b", f"{images}/b1.jpg,a"]
    os.link(images / "a1.jpg", images / "linked.jpg")
    name = _write(images, [*rows, "linked.jpg,b"])
    with refused("dataset", name) as caught:
        load_dataset(name)
    for text in ("rows 2 and 10", "rows 7 and 11", "rows 3 and 12", "6 of 11 rows", "the labels 'a' and 'b'"):
        assert text in caught.value.reason
    with refused("max_bad_images", 0.5):
        load_dataset(name, bad_images="skip", max_bad_images=0.5)
    dataset = load_dataset(name, bad_images="skip", max_bad_images=0.6)
    assert sorted(_names(dataset.train) + _names(dataset.validation)) == [
        "a2.jpg", "a3.jpg", "b0.jpg", "b2.jpg", "b3.jpg",
    ]  # fmt: skip


def test_a_file_in_two_splits_is_contradictory(images):
    rows = [*_numbered("a", "b", split="train"), "a0.jpg,a,val", "b9.jpg,b,val", "b0.jpg,b,Training"]
    name = _write(images, rows, "path,label,split")
    with refused("dataset", name) as caught:
        load_dataset(name)
    assert "rows 2 and 10: they give" in caught.value.reason
    assert "rows 6" not in caught.value.reason


def test_rows_that_say_the_same_count_once(images, caplog):
    rows = [*_numbered("a", "b"), "a0.jpg,a", ".//a0.jpg, a", "b3.jpg,b"]
    dataset = load_dataset(_write(images, rows))
    assert dataset.train.size + dataset.validation.size == 8
    assert "rows 10, 11 and 12 repeat earlier rows" in caplog.text


def test_what_was_understood_is_logged(images, caplog):
    with caplog.at_level(logging.INFO):
        name = _write(images, _numbered("a", "b", set="train", age=3), "File Name,Class,Set,Age")
        load_dataset(name)
    text = caplog.records[0].getMessage()
    for part in ("8 rows", "path in column 'File Name'", "label in column 'Class'", "split in column 'Set'"):
        assert part in text
    assert "1 other column not read" in text
    assert text.endswith("start from the table's folder.")


def test_a_test_split_without_labels_is_left_out(images, caplog):
    rows = [
        *_numbered("a", "b", split="train"),
        "a8.jpg,a,val",
        "b8.jpg,b,val",
        "a9.jpg,,test",
        "b9.jpg,,test",
    ]
    dataset = load_dataset(_write(images, rows, "path,label,split"))
    assert (dataset.validation.size, dataset.test) == (2, None)
    assert "none of the 2 test images has a label" in caplog.text
    with refused("dataset") as caught:
        load_dataset(_write(images, [*rows, "c0.jpg,a,test"], "path,label,split"))
    assert "rows" not in caught.value.reason.split(":")[1]


def test_a_split_without_images_of_a_class_is_reported(images, caplog):
    rows = [*_numbered("a", "b", "c", split="train"), "a8.jpg,a,val", "b8.jpg,b,val", "c9.jpg,c,test"]
    name = _write(images, rows, "path,label,split")
    load_dataset(name)
    assert [record.getMessage() for record in caplog.records] == [
        f"{name}: the split val holds no images of 1 of the 3 classes, as c.",
        f"{name}: the split test holds no images of 2 of the 3 classes, as a.",
    ]


def test_no_choice_depends_on_test_images(tmp_path):
    """Not the size and the channels of the model's input either."""
    rows = []
    for split, side, channels in (("train", 28, ()), ("val", 28, ()), ("test", 50, (3,))):
        for name in "ab":
            pixels = np.zeros((side, side, *channels), "uint8")
            (tmp_path / f"{split}-{name}.png").write_bytes(encoded(pixels, "PNG"))
            rows.append(f"{split}-{name},{name},{split}")
    dataset = load_dataset(_write(tmp_path, rows, "id,label,split"))
    assert dataset.image_shape == (28, 28, 1)
    assert dataset.test.size == 2


@pytest.mark.parametrize(
    ("header", "rows", "parameter", "says"),
    [
        ("path,label", [], "dataset", "no rows"),
        ("a0.jpg,a", _numbered("b"), "dataset", "names no columns"),
        ("path,label", _numbered("a"), "dataset", "1 class"),
        ("path,label", ["a0.jpg,a", "b0.jpg,b"], "dataset", "two or more"),
        (
            "path,label,patient",
            _numbered("a", patient=1) + _numbered("b", patient=2),
            "dataset",
            "one patient",
        ),
        ("path,label", ["a0.jpg,x", "a1.jpg,y", "a2.jpg,z"], "label_column", "class of its own"),
        ("path,label", ["nowhere/0.jpg,x", "nowhere/1.jpg,y"], "images_dir", "row 2"),
        ("path,label", ["d,x", "e,y"], "dataset", "d.jpg and d.png"),
        ("path,label,split", _numbered("a", "b", split="val"), "dataset", "says train nowhere"),
        ("path,label,fold", _numbered("a", fold=0) + _numbered("b", fold=1), "split_column", "'0', '1'"),
        ("path,label,split", [*_numbered("a", split="train"), "b0.jpg,b,trian"], "dataset", "'trian'"),
        (
            "path,label,split",
            [*_numbered("a", "b", split="train"), "c0.jpg,c,val"],
            "dataset",
            "'c' of row 10",
        ),
        ("path,class,label", ["a0.jpg,a,b"], "label_column", "'class' or 'label'"),
        ("file,species,sex", ["a0.jpg,a,b"], "label_column", "'species'"),
    ],
)
def test_what_is_no_dataset_is_refused(images, header, rows, parameter, says):
    with refused(parameter) as caught:
        load_dataset(_write(images, rows, header))
    assert says in caught.value.reason


def test_options_apply_to_their_kind_of_dataset(images):
    name = _write(images, _numbered("a", "b"))
    with refused("train_split", "train"):
        load_dataset(name, train_split="train")
    with refused("images_dir", str(images / "none")):
        load_dataset(name, images_dir=str(images / "none"))
    for parameter in ("images_dir", "path_column", "label_column", "split_column", "group_column"):
        with refused(parameter, "x"):
            load_dataset("digits", **{parameter: "x"})


def test_parquet_is_the_same_dataset(images):
    import pyarrow.parquet

    rows = [[*row, ("train", "val")[int(row[0][1]) > 7], 5] for row in _numbered("a", "b", count=10)]
    expected = load_dataset(_write(images, rows, "path,label,split,weight"))
    columns = dict(zip(("path", "label", "split", "weight"), map(list, zip(*rows, strict=True)), strict=True))
    pyarrow.parquet.write_table(pyarrow.table(columns), images / "labels.parquet")
    dataset = load_dataset(str(images / "labels.parquet"))
    assert dataset.fingerprint == expected.fingerprint
    assert dataset.class_names == expected.class_names
