"""The card of a run: the parts that a run on the digits does not have."""

import dataclasses

import numpy as np
import pytest
from helpers import records

from keras_resnet.data.batch_augment import BatchAugment
from keras_resnet.data.input_spec import OPTIONAL_AUGMENTATIONS, InputSpec
from keras_resnet.errors import UserError
from keras_resnet.export.compare import FileComparison, RejectedFile, Report
from keras_resnet.models.architectures import IMAGENET
from keras_resnet.models.complexity import Complexity
from keras_resnet.runs.card import CardInfo, SplitInfo, write_card
from keras_resnet.runs.card_info import card_info
from keras_resnet.runs.record import RunRecord
from keras_resnet.training.recipes import RECIPES

FILE = FileComparison("model.tflite", 46_800_000, 0.75, 1.0, 1e-6, {"1": 40.0, "2": 21.0})
REPORT = Report("pets, split val", 4, 0.75, np.array([[2, 0], [1, 1]]), (FILE,))
INFO = CardInfo(
    architecture=IMAGENET[18],
    recipe=RECIPES["imagenet"],
    dataset="pets",
    class_names=("cat", "dog"),
    train=SplitInfo("train", 512),
    validation=SplitInfo("val", 4),
    test=None,
    spec=InputSpec(224, 3, "center", "per_channel_mean"),
    hflip=True,
    augmentation="paper",
    crop_padding=None,
    precision="float32",
    seconds=185.0,
    command="keras-resnet train --dataset=pets",
    versions={"keras": "3"},
    seed=0,
    validation_error=0.25,
)


def _card(folder, report=REPORT, **changes):
    write_card(dataclasses.replace(INFO, **changes), report, Complexity(()), folder)
    return (folder / "README.md").read_text()


def _row(card, name):
    (row,) = [line for line in card.splitlines() if line.startswith(f"| {name} |")]
    return row.removeprefix(f"| {name} |").removesuffix("|").strip()


def test_without_a_third_split_the_card_leads_with_validation_and_says_so(tmp_path):
    head = _card(tmp_path).split("| | |")[0]
    assert "**75.00% accuracy**" in head
    assert "on the 4 images of the validation split `val`" in head
    assert "no third split" in head


def test_with_a_test_split_the_card_leads_with_its_figure(tmp_path):
    card = _card(tmp_path, test=SplitInfo("test", 10), test_error=0.1)
    head = card.split("| | |")[0]
    assert head.index("**90.00% accuracy**") < head.index("75.00%")
    assert "on the 10 images of the test split `test`" in head
    assert "third split" not in head
    assert "10 test images of `test`" in _row(card, "Dataset")


@pytest.mark.parametrize(
    ("spec", "text"),
    [
        (
            InputSpec(224, 3, "center"),
            "shorter side of 256 pixels (bilinear, antialiased) and cropped to the",
        ),
        (
            InputSpec(288, 3, "center", "published", 288, "bicubic"),
            "shorter side of 288 pixels (bicubic, anti",
        ),
        (InputSpec(32), "resized to 32x32 pixels (bilinear, antialiased)"),
        (InputSpec(8, 1), "RGB images are turned to gray"),
        (INFO.spec, "the mean of each channel is subtracted"),
        (InputSpec(224, 3, "center", "published"), "normalized as the published weights expect them"),
    ],
)
def test_a_card_says_how_images_are_prepared(spec, text, tmp_path):
    assert text in _card(tmp_path, spec=spec, crop_padding=4)


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({}, "random squares at random scales, with random lighting, flipped horizontally"),
        ({"spec": InputSpec(224, 1, "center"), "hflip": False}, "random squares at random scales"),
        (
            {"augmentation": "random_resized_crop"},
            "random rectangles of 8% to 100% of the area, flipped horizontally",
        ),
        (
            {"recipe": dataclasses.replace(INFO.recipe, batch_augment=BatchAugment(mixup=0.2))},
            "random squares at random scales, with random lighting, flipped horizontally, mixup 0.2",
        ),
        (
            {"optional_augmentations": OPTIONAL_AUGMENTATIONS},
            "random squares at random scales, with random lighting, flipped horizontally, flipped "
            "vertically, turned by multiples of 90 degrees, TrivialAugment",
        ),
        ({"spec": InputSpec(32), "crop_padding": 4}, "shifted by up to 4 pixel(s), flipped horizontally"),
    ],
    ids=str,
)
def test_a_card_describes_the_augmentation(changes, text, tmp_path):
    assert _row(_card(tmp_path, **changes), "Augmentation") == text


def test_a_card_has_the_facts_of_the_training(tmp_path):
    card = _card(
        tmp_path,
        precision="bfloat16",
        initial_weights="torchvision-v2",
        grow_from="resnet18",
        precise_bn=500,
        command="keras-resnet train | tee log",
    )
    assert _row(card, "Training time") == "3 min 5 s"
    assert _row(card, "Training precision").startswith("mixed bfloat16;")
    assert _row(card, "Initial weights") == "torchvision-v2"
    assert _row(card, "Grown from").startswith("resnet18,")
    assert "500 training images" in _row(card, "Batch-norm statistics")
    assert _row(card, "Made by") == r"`keras-resnet train \| tee log`"
    plain = _card(tmp_path)
    assert _row(plain, "Training precision") == "float32"
    for name in ("Initial weights", "Grown from", "Batch-norm statistics", "Unfreezing"):
        assert f"| {name} |" not in plain


def test_rejected_files_are_listed_with_the_reason(tmp_path):
    rejected = (RejectedFile("model_int8.tflite", "tflite-int8", 0.25, "it has 25.00% accuracy."),)
    card = _card(tmp_path, dataclasses.replace(REPORT, rejected=rejected))
    assert "`model_int8.tflite`: it has 25.00% accuracy." in card
    assert "| `model_int8.tflite` |" not in card
    assert "| `model.tflite` |" in card


def test_a_card_says_whether_validation_had_a_part_in_the_training(tmp_path):
    cards = [
        _card(tmp_path),
        _card(tmp_path, recipe=RECIPES["cifar"]),
        _card(tmp_path, test=SplitInfo("test", 10), test_error=0.1),
    ]
    for card, text in zip(
        cards,
        (
            "The validation error that drove the learning rate was measured on the same images",
            "The validation images were not used in training",
            "The test images were not used in training",
        ),
        strict=True,
    ):
        assert text in card


def test_the_record_of_a_run_has_all_that_its_card_says():
    settings = records.make_settings(
        architecture=IMAGENET[18],
        recipe="imagenet",
        spec=InputSpec(224, 3, "center", "per_channel_mean"),
        name="pets",
        validation_split="val",
        test_split="test",
        train_images=512,
        validation_images=4,
        test_images=10,
        class_names=["cat", "dog"],
    )
    settings["grow_from"] = "resnet18 0123456789abcdef"
    settings["training"]["mixed_precision"] = "float16"
    results = {"accuracy": 0.9, "validation_error": 0.25, "test_error": 0.1, "seconds": 185.0}
    record = RunRecord(records.CONFIG, settings, records.make_metadata("imagenet"), results)
    info = card_info(record)
    assert (info.architecture, info.recipe, info.spec) == (INFO.architecture, INFO.recipe, INFO.spec)
    assert (info.train, info.validation, info.test) == (
        INFO.train,
        INFO.validation,
        SplitInfo("test", 10),
    )
    assert (info.validation_error, info.test_error) == (0.25, 0.1)
    assert (info.precision, info.grow_from, info.initial_weights) == ("float16", "resnet18", "")
    del settings["training"]["seed"]
    with pytest.raises(UserError) as caught:
        card_info(RunRecord(records.CONFIG, settings, records.make_metadata("imagenet"), results))
    assert "seed" in caught.value.reason
