"""The card of a run: the parts that a run on the digits does not have."""

import dataclasses

import numpy as np
import pytest
import yaml
from helpers import records

from keras_resnet.data.batch_augment import BatchAugment
from keras_resnet.data.input_spec import OPTIONAL_AUGMENTATIONS, InputSpec
from keras_resnet.errors import UserError
from keras_resnet.evaluation.metrics import wilson_interval
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
        (
            {"train_size": 160, "hflip": False},
            "random squares at random scales, resized to 160 pixels, with random lighting",
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
        teacher="resnet50, whose probabilities",
        precise_bn=500,
        command="keras-resnet train | tee log",
    )
    assert _row(card, "Training time") == "3 min 5 s"
    assert _row(card, "Training precision").startswith("mixed bfloat16;")
    assert _row(card, "Initial weights") == "torchvision-v2"
    assert _row(card, "Grown from").startswith("resnet18,")
    assert _row(card, "Teacher") == "resnet50, whose probabilities"
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
    settings["teacher"] = {"fingerprint": "resnet50 0123456789ab", "temperature": 4.0, "share": 0.5}
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
    # An earlier version recorded no more.
    assert (info.epoch, info.epochs, info.best, info.class_weight, info.measured) == (
        None,
        None,
        False,
        "",
        {},
    )
    assert info.teacher.startswith("resnet50, whose probabilities have a share of 0.5 in the loss")
    assert (info.precision, info.grow_from, info.initial_weights) == ("float16", "resnet18", "")
    del settings["training"]["seed"]
    with pytest.raises(UserError) as caught:
        card_info(RunRecord(records.CONFIG, settings, records.make_metadata("imagenet"), results))
    assert "seed" in caught.value.reason


MEASURED = {
    "measured_images": 10,
    "macro_f1": 0.875,
    "balanced_accuracy": 0.9,
    "ece": 0.02,
    "ece_before": 0.0812,
    "nll": 0.3,
    "nll_before": 0.45,
    "temperature": 1.5,
    "calibration_images": 4,
}
TESTED = {"test": SplitInfo("test", 10), "test_error": 0.1, "measured": MEASURED}


def _metadata(card):
    _, block, _ = card.split("---\n", 2)
    return yaml.safe_load(block)


def test_a_card_begins_with_the_metadata_that_hugging_face_reads(tmp_path):
    folder = tmp_path / "run: \u00e9 \U0001f600 'x' #1\u2028\u0085"
    folder.mkdir()
    card = _card(folder, dataset='my "pets"', **TESTED)
    assert card.startswith("---\n")
    metadata = _metadata(card)
    assert metadata["library_name"] == "keras"
    assert metadata["pipeline_tag"] == "image-classification"
    assert metadata["tags"] == ["keras-resnet", "resnet", "resnet18", "tflite"]
    assert "license" not in metadata
    assert "datasets" not in metadata
    ((entry),) = metadata["model-index"]
    assert entry["name"] == folder.name
    ((result),) = entry["results"]
    assert result["task"] == {"type": "image-classification"}
    assert result["dataset"] == {"name": 'my "pets"', "type": "imagefolder", "split": "test"}
    assert {metric["type"]: metric["value"] for metric in result["metrics"]} == {"accuracy": 0.9, "f1": 0.875}
    assert metadata["metrics"] == ["accuracy", "f1"]


def test_hugging_face_takes_the_metadata(tmp_path):
    cards = pytest.importorskip("huggingface_hub")
    _card(tmp_path, **TESTED)
    data = cards.ModelCard.load(tmp_path / "README.md").data
    assert data.pipeline_tag == "image-classification"
    results = {result.metric_type: result for result in data.eval_results}
    assert results["accuracy"].metric_value == 0.9
    assert (results["accuracy"].dataset_name, results["accuracy"].dataset_split) == ("pets", "test")


def test_a_figure_of_a_part_of_the_images_is_not_in_the_metadata(tmp_path):
    card = _card(tmp_path, measured={**MEASURED, "measured_images": 3})
    assert _metadata(card)["metrics"] == ["accuracy"]
    assert _metadata(_card(tmp_path))["metrics"] == ["accuracy"]


@pytest.mark.parametrize(
    ("dataset", "known"),
    [
        ({"name": "fashion_mnist:3.0.1"}, "zalando-datasets/fashion_mnist"),
        ({"name": "cifar10"}, "uoft-cs/cifar10"),
        ({"name": "cifar10", "fingerprint": "0123"}, ""),
        ({"name": "/data/cifar10"}, ""),
        ({"name": "digits"}, ""),
    ],
    ids=str,
)
def test_a_dataset_is_named_as_on_the_hub_where_that_is_known(dataset, known, tmp_path):
    settings = records.make_settings(**dataset)
    record = RunRecord(records.CONFIG, settings, records.make_metadata(), records.RESULTS)
    info = card_info(record)
    assert info.hub_dataset == known
    metadata = _metadata(_card(tmp_path, hub_dataset=known))
    assert metadata.get("datasets", [""]) == [known]


def test_a_card_says_of_which_epoch_the_weights_are(tmp_path):
    best = _card(tmp_path, epoch=7, epochs=20, best=True)
    assert _row(best, "Weights") == "of epoch 7 of 20, of the lowest validation error"
    head = best.split("| | |")[0]
    assert "by the weights of epoch 7 of 20, which had the lowest error there" in head
    assert "the images that chose the epoch, and is therefore too high" in head
    last = _card(tmp_path, epoch=20, epochs=20)
    assert _row(last, "Weights") == "of epoch 20 of 20"
    assert "after epoch 20, the last" in last
    assert "too high" not in last
    assert "put in by a callback" in _row(_card(tmp_path, epochs=20), "Weights")
    assert "| Weights |" not in _card(tmp_path)
    # Of a third split, the figure is what it is.
    assert "too high" not in _card(tmp_path, epoch=7, epochs=20, best=True, **TESTED)
    early = _card(tmp_path, epoch=7, epochs=9, stop_after=2)
    assert _row(early, "Stopped early").startswith("after 2 epochs without a better one")
    assert "too high" in early


def test_a_card_has_what_counts_each_class_alike_and_the_calibration(tmp_path):
    card = _card(tmp_path, class_weight="balanced: so", **TESTED)
    assert _row(card, "Class weights") == "balanced: so"
    assert (
        _row(card, "Each class alike") == "macro-F1 87.50%, balanced accuracy 90.00%, on 10 images of `test`"
    )
    assert _row(card, "Calibration") == (
        "logits divided by 1.500, of 4 images of `val`; expected calibration error (15 bins) 2.00% "
        "(8.12% before), negative log-likelihood 0.3000 (0.4500 before), on 10 images of `test`"
    )
    assert "are calibrated on average" in card
    plain = {
        name: MEASURED[name] for name in ("measured_images", "macro_f1", "balanced_accuracy", "ece", "nll")
    }
    card = _card(tmp_path, measured=plain)
    assert _row(card, "Calibration").startswith("none; expected calibration error (15 bins) 2.00%, negative")
    assert "its probabilities are not calibrated" in card


def test_a_card_says_what_not_to_conclude(tmp_path):
    card = _card(tmp_path, **TESTED)
    low, high = wilson_interval(9, 10)
    assert f"lies between {100 * low:.2f}% and {100 * high:.2f}%" in card
    assert "it comes from 10 images of `test`" in card
    assert "it comes from 4 images of `val`" in _card(tmp_path)
