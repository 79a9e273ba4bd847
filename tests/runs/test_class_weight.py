"""Weights of classes: balanced by a closed form, or by name, and refused where they mean nothing."""

import numpy as np
import pytest
from helpers.errors import refused
from sklearn.utils.class_weight import compute_class_weight

import keras_resnet
from keras_resnet.cli.commands import train as command
from keras_resnet.cli.flags import config_from_flags
from keras_resnet.data.label_counts import label_counts
from keras_resnet.data.load import load_dataset
from keras_resnet.data.sources import digits
from keras_resnet.runs.class_weight import balanced_weights, class_weights, describe_class_weight
from keras_resnet.runs.config import TrainConfig
from keras_resnet.runs.provenance import command_of

NAMES = ("cat", "dog", "größe")


@pytest.fixture(scope="module")
def dataset():
    """20 cats, 4 dogs and 6 of another class."""
    labels = np.repeat([0, 1, 2], [20, 4, 6])
    images = np.random.default_rng(0).integers(0, 256, (30, 8, 8, 1), dtype="uint8")
    return keras_resnet.data.from_arrays((images, labels), (images, labels), class_names=NAMES)


def test_balanced_weights_are_those_of_scikit_learn(dataset):
    labels = np.repeat([0, 1, 2], [20, 4, 6])
    expected = compute_class_weight("balanced", classes=np.arange(3), y=labels)
    np.testing.assert_allclose(class_weights("balanced", dataset), expected)
    np.testing.assert_allclose(expected, [30 / (3 * 20), 30 / (3 * 4), 30 / (3 * 6)])
    assert np.take(expected, labels).mean() == pytest.approx(1)


def test_a_class_without_images_weighs_as_the_mean():
    assert balanced_weights(np.array([6, 0, 2])) == pytest.approx([8 / 12, 1.0, 2.0])


def test_weights_by_name_leave_others_at_one(dataset):
    assert class_weights({"größe": 2, "cat": 0.5}, dataset) == [0.5, 1.0, 2]
    assert class_weights(None, dataset) is None


def test_labels_are_counted_of_every_source(dataset, tmp_path):
    import PIL.Image

    np.testing.assert_array_equal(label_counts(dataset.train, 3), [20, 4, 6])
    images, labels = digits.load("train")
    np.testing.assert_array_equal(label_counts(load_dataset("digits").train, 10), np.bincount(labels))
    for split, counts in (("train", (3, 2)), ("val", (1, 1))):
        for name, count in zip(("a", "b"), counts, strict=True):
            folder = tmp_path / split / name
            folder.mkdir(parents=True)
            for number in range(count):
                PIL.Image.fromarray(images[number, :, :, 0]).save(folder / f"{number}.png")
    np.testing.assert_array_equal(label_counts(load_dataset(str(tmp_path)).train, 2), [3, 2])


def test_unknown_classes_are_refused_with_those_there_are(dataset, tmp_path):
    with refused("class_weight", {"cow": 2.0}) as caught:
        keras_resnet.train(dataset=dataset, class_weight={"cow": 2}, output_dir=tmp_path)
    assert "cow" in caught.value.reason
    assert "cat, dog, größe" in caught.value.reason
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "value", ["even", 2.0, ("balanced",), {"cat": 0}, {"cat": -1.0}, {"cat": "2"}, {"cat": np.nan}]
)
def test_other_values_are_refused(value):
    with refused("class_weight"):
        TrainConfig(class_weight=value)


@pytest.mark.parametrize(
    ("flag", "value"),
    [
        ("balanced", "balanced"),
        ("cat=2,dog=0.5", {"cat": 2.0, "dog": 0.5}),
        ("größe=3", {"größe": 3.0}),
        ("a=b=2", {"a=b": 2.0}),
        ("balanced=2", {"balanced": 2.0}),
        ('"a,b=2",c=1', {"a,b": 2.0, "c": 1.0}),
    ],
)
def test_flags_say_the_same(flag, value):
    config = _parsed(flag)
    assert config.class_weight == value
    assert TrainConfig.from_dict(config.as_dict()) == config


@pytest.mark.parametrize("flag", ["even", "cat", "cat=two", "cat=2,balanced"])
def test_other_flags_are_refused(flag):
    with refused("class_weight"):
        _parsed(flag)


def test_the_command_of_a_run_has_them():
    config = TrainConfig(class_weight={"cat": 2, "größe": 0.5})
    assert command_of(config, "train") == "keras-resnet train '--class_weight=cat=2,größe=0.5'"


def test_they_are_described():
    assert describe_class_weight(None) == ""
    assert "inverse proportion" in describe_class_weight("balanced")
    assert "cat=2,dog=0.5" in describe_class_weight({"cat": 2.0, "dog": 0.5})


def _parsed(flag):
    values = command.FLAGS
    values.unparse_flags()
    for name in values:
        values[name].present = 0
        values[name].unparse()
    values(["train", f"--class_weight={flag}"])
    return config_from_flags(values, TrainConfig)
