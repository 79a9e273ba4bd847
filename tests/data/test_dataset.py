import dataclasses

import pytest

from keras_resnet.data.dataset import Dataset, Split


def _split(name, size):
    return Split(name, size, lambda key, start=0, step=1: None, str)


DATASET = Dataset(
    "photos", ("cat", "dog"), (None, None, 3), _split("train", 1442), _split("validation", 30), hflip=True
)


@pytest.mark.parametrize(
    ("fields", "summary"),
    [
        ({}, "2 classes (cat, dog), 1,442 training, 30 validation images"),
        # A test split that chooses says so.
        (
            {"validation": _split("test", 30)},
            "2 classes (cat, dog), 1,442 training, 30 validation (test) images",
        ),
        (
            {"train": _split("Train", 2), "validation": _split("val", 3), "test": _split("test", 4)},
            "2 classes (cat, dog), 2 training (Train), 3 validation (val), 4 test images",
        ),
        (
            {"class_names": tuple(map(str, range(1000)))},
            "1,000 classes (0, 1, 2, 3, 4, 5, 6, 7, 8, 9 and 990 more), 1,442 training, 30 validation images",
        ),
    ],
)
def test_summary(fields, summary):
    assert dataclasses.replace(DATASET, **fields).summary() == summary


@pytest.mark.parametrize(
    ("fields", "roles"),
    [
        (
            {"validation": _split("test", 30)},
            "validation (test) is looked at after each epoch and is reported, for there is no test split",
        ),
        (
            {"validation": _split("val", 3), "test": _split("test", 4)},
            "validation (val) is looked at after each epoch; test is read once, after the training, and is "
            "reported",
        ),
    ],
)
def test_what_the_splits_are_for(fields, roles):
    assert dataclasses.replace(DATASET, **fields).describe_roles() == roles


@pytest.mark.parametrize(
    ("validation", "test", "expected"),
    [
        ("test", None, True),
        ("Testing", None, True),
        ("test[:50%]", None, True),
        ("test", "test2", False),
        ("validation", None, False),
        ("val", None, False),
        ("train[-10%:]", None, False),
        ("latest", None, False),
    ],
)
def test_whether_the_test_images_validate(validation, test, expected):
    dataset = dataclasses.replace(
        DATASET, validation=_split(validation, 30), test=_split(test, 30) if test else None
    )
    assert dataset.validates_on_test is expected
