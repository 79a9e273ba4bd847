"""The card of a run, of the parts that the digits do not show."""

import dataclasses

import numpy as np
import pytest

from keras_resnet.data.mixing import Mixing
from keras_resnet.export.card import write_card
from keras_resnet.export.report import Report
from keras_resnet.models import architectures
from keras_resnet.models.complexity import Complexity
from keras_resnet.training.recipes import RECIPES
from keras_resnet.training.run_folder import Record

REPORT = Report("pets, split val", 4, 0.75, np.array([[2, 0], [1, 1]]), ())


def _card(folder, *, channels=3, recipe="imagenet", **settings):
    recorded = {
        **dataclasses.asdict(architectures.IMAGENET[18]),
        **dataclasses.asdict(RECIPES[recipe]),
        "dataset": "pets",
        "train_split": "train",
        "validation_split": "val",
        "train_images": 512,
        "validation_images": 4,
        "classes": ["cat", "dog"],
        "augmentation": "paper",
        "shift": None,
        "mirror": True,
        "mixed_precision": "none",
        "seed": 0,
        **settings,
    }
    about = {
        "command": "python train.py --dataset=pets",
        "versions": {"keras": "3"},
        "data": {"dataset": "pets"},
        "preprocessing": {"channels": channels, "size": 224, "whole": False},
        "mean": "per-channel",
    }
    results = {"accuracy": 0.75, "test_error": 0.25, "seconds": 185.0}
    write_card(Record(recorded, about, results), REPORT, Complexity(()), folder)
    return (folder / "README.md").read_text()


def test_a_card_of_photographs_tells_their_cut(tmp_path):
    card = _card(tmp_path)
    assert "scaled to a shorter side of 256 pixels" in card
    assert "224x224 at the centre" in card
    assert "75.00% accuracy" in card
    assert "| Training time | 3 min 5 s |" in card


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({}, "random squares at random scales, in random light, mirrored"),
        ({"channels": 1, "mirror": False}, "random squares at random scales |"),
        ({"augmentation": "inception"}, "random rectangles of 8% to 100% of the area, mirrored"),
        ({"mixing": dataclasses.asdict(Mixing(mixup=0.2))}, "in random light, mirrored, mixup 0.2 |"),
    ],
    ids=str,
)
def test_a_card_tells_what_training_saw(options, told, tmp_path):
    (row,) = [line for line in _card(tmp_path, **options).splitlines() if line.startswith("| Augmentation ")]
    assert told in row


@pytest.mark.parametrize(
    ("recipe", "told"),
    [
        ("plateau", "The validation error that drove the learning rate was measured on the test images"),
        ("cifar", "The test images had no part in the training"),
    ],
)
def test_a_card_says_whether_the_test_images_had_a_part_in_the_training(recipe, told, tmp_path):
    assert told in _card(tmp_path, recipe=recipe)
