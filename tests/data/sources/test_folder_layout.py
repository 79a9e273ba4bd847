import unicodedata

import pytest
from helpers.errors import refused
from helpers.pictures import write_files

from keras_resnet.data.sources.folder_layout import class_folders, find_splits
from keras_resnet.data.sources.split_names import mentioned_role, split_role


def _splits(folder):
    return {role: path.name for role, path in find_splits(folder, str(folder)).items()}


def _write(folder, *splits, classes=("cat", "dog")):
    return write_files(folder, *(f"{split}/{one}/" for split in splits for one in classes))


@pytest.mark.parametrize(
    ("names", "validation", "test"),
    [
        ("train val", "val", None),
        ("train val test", "val", "test"),
        ("train valid test", "valid", "test"),
        ("train validation testing", "validation", "testing"),
        ("Train Val", "Val", None),
        ("TRAIN VAL TEST", "VAL", "TEST"),
        ("Training Validation Testing", "Validation", "Testing"),
        ("training testing", "testing", None),
        ("train test", "test", None),
    ],
)
def test_usual_names_in_any_case(tmp_path, names, validation, test):
    train, *_ = names.split()
    expected = {"train": train, "validation": validation, **({"test": test} if test else {})}
    assert _splits(_write(tmp_path, *names.split())) == expected


@pytest.mark.parametrize(
    "names",
    ["cat dog", "_background cat __none__", "train_station dog test_tube", "Trainer tester", "valley trains"],
)
def test_other_names_are_classes(tmp_path, names):
    write_files(tmp_path, *(f"{name}/" for name in names.split()))
    assert _splits(tmp_path) == {}
    assert list(class_folders(tmp_path, "")) == sorted(names.split())


@pytest.mark.parametrize(
    ("names", "says"),
    [
        ("train val validation", "val and validation"),
        ("Train train val", "Train and train"),
        ("val test", "no folder train"),
        ("Testing", "no folder train"),
        ("train", "next to the folder train"),
        ("train test1", "test1"),
        # What chooses would be guessed.
        ("train dev test", "dev"),
        ("train holdout", "holdout"),
        # By all appearance, these are splits.
        ("train2017 val2017", "train2017 and val2017"),
        ("x_train x_test", "x_test and x_train"),
        ("TrainSet TestSet", "TestSet and TrainSet"),
        ("train_images val_images other", "train_images and val_images"),
    ],
)
def test_names_that_are_not_clear_are_refused(tmp_path, names, says):
    _write(tmp_path, *names.split())
    with refused("dataset", str(tmp_path)) as caught:
        _splits(tmp_path)
    assert says in caught.value.reason


@pytest.mark.parametrize("names", ["train bus", "Training bus", "valid invalid", "test control"])
def test_a_class_that_is_called_a_split_is_refused_with_the_cure(tmp_path, names):
    called, other = names.split()
    write_files(tmp_path, f"{called}/", f"{other}/")
    with refused("dataset", str(tmp_path)) as caught:
        _splits(tmp_path)
    assert f"rename {called} if it is" in caught.value.reason
    # The cure works, and so do such classes in folders of splits.
    (tmp_path / called).rename(tmp_path / f"{called}_")
    assert _splits(tmp_path) == {}
    divided = _write(tmp_path / "divided", "train", "val", classes=(called, other))
    assert _splits(divided) == {"train": "train", "validation": "val"}
    assert set(class_folders(divided / "train", "")) == {called, other}


def test_a_folder_that_is_no_split_is_reported(tmp_path, caplog):
    _write(tmp_path, "train", "val", "masks", ".hidden")
    assert _splits(tmp_path) == {"train": "train", "validation": "val"}
    (record,) = caplog.records
    assert record.levelname == "WARNING"
    assert "masks" in record.getMessage()
    assert "hidden" not in record.getMessage()


def test_a_link_to_a_folder_that_is_gone_is_refused(tmp_path):
    write_files(tmp_path, "cat/", "dog/")
    (tmp_path / "bird").symlink_to(tmp_path / "unmounted")
    with refused("dataset", str(tmp_path)) as caught:
        class_folders(tmp_path, str(tmp_path))
    assert str(tmp_path / "bird") in caught.value.reason


def test_class_names_are_composed(tmp_path):
    decomposed = unicodedata.normalize("NFD", "café")
    write_files(tmp_path, f"{decomposed}/", "zebra/")
    assert list(class_folders(tmp_path, "")) == ["café", "zebra"]
    write_files(tmp_path, "café/")
    with refused("dataset", str(tmp_path)) as caught:
        class_folders(tmp_path, str(tmp_path))
    assert r"'cafe\u0301'" in caught.value.reason
    assert r"'caf\xe9'" in caught.value.reason


@pytest.mark.parametrize(
    ("name", "role", "mentioned"),
    [
        ("VALID", "validation", "validation"),
        ("trained", None, None),
        ("XTrain", None, "train"),
        ("test-1", None, "test"),
        ("2017val", None, "validation"),
        ("contest", None, None),
        ("训练", None, None),
    ],
)
def test_roles(name, role, mentioned):
    assert split_role(name) == role
    assert mentioned_role(name) == mentioned
