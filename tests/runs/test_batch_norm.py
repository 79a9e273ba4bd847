"""Runs with precise batch-norm statistics."""

import shutil

import numpy as np
import pytest
from helpers.errors import refused

import keras_resnet
from keras_resnet.data.sources import digits
from keras_resnet.evaluation import precise_batch_norm


def _error(model):
    images, labels = digits.load("test")
    return np.mean(model.predict(images, verbose=0).argmax(axis=1) != labels)


@pytest.mark.slow
def test_a_training_ends_with_precise_statistics(quick_run):
    assert quick_run.record.settings["training"]["precise_bn"] == 500
    assert quick_run.metrics["validation_error"] == pytest.approx(_error(quick_run.model))
    card = (quick_run.path / "README.md").read_text()
    assert "500 training images" in card
    assert f"{100 * (1 - _error(quick_run.model)):.2f}% accuracy" in card


def test_a_run_is_made_with_precise_statistics(quick_run):
    made = quick_run.recompute_batch_norm(1442)
    assert made.path == quick_run.path.with_name("run-precise_bn")
    expected = keras_resnet.load_model(quick_run.path / "model.keras")
    precise_batch_norm(expected, [digits.load("train")[0]])
    for weight, other in zip(made.model.weights, expected.weights, strict=True):
        np.testing.assert_allclose(weight, other, rtol=1e-4, atol=1e-4, err_msg=weight.path)
    assert made.metrics["validation_error"] == pytest.approx(_error(made.model))
    assert (made.path / "curves.png").is_file()


@pytest.mark.parametrize("count", [0, 1443])
def test_more_images_than_there_are_are_refused(quick_run, count):
    with refused("num_images", count):
        quick_run.recompute_batch_norm(count)


def test_statistics_of_another_training_take_another_folder(quick_run, tmp_path):
    base = shutil.copytree(quick_run.path, tmp_path / "run")
    keras_resnet.Run.open(base).recompute_batch_norm(10)
    model = keras_resnet.load_model(base / "model.keras")
    model.get_layer("predictions").bias.assign_add(np.ones(10))
    model.save(base / "model.keras")
    with refused("run_name", "run-precise_bn") as caught:
        keras_resnet.Run.open(base).recompute_batch_norm(10)
    assert "precise_bn_of" in caught.value.reason


def test_the_run_itself_and_a_part_of_one_are_refused(quick_run, tmp_path):
    with refused("run_name", "run"):
        quick_run.recompute_batch_norm(10, run_name="run")
    part = shutil.copytree(quick_run.path, tmp_path / "part", ignore=shutil.ignore_patterns("curves.png"))
    with refused(None, part):
        keras_resnet.Run.open(part).recompute_batch_norm(10)
