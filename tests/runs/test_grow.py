"""Runs whose model starts as that of a shallower run."""

import dataclasses
import json
import pathlib
import shutil

import numpy as np
import pytest
from helpers.errors import refused

import keras_resnet
from keras_resnet.runs.resolve import resolve


def _edit(folder, *keys, value):
    path = pathlib.Path(folder) / "run.json"
    record = json.loads(path.read_text())
    part = record["settings"]
    for key in keys[:-1]:
        part = part[key]
    part[keys[-1]] = value
    path.write_text(json.dumps(record))


@pytest.mark.slow
def test_a_deeper_model_grows_from_a_run(quick_run, tmp_path):
    run = keras_resnet.train(
        depth=14,
        epochs=1,
        learning_rate=1e-9,
        grow_from=quick_run.path,
        output_dir=tmp_path,
        export=(),
        log="plain",
    )
    deep, shallow = run.model, quick_run.model
    for name in ("mean_subtraction", "conv2_block1_2_conv", "conv4_block1_1_conv", "predictions"):
        for weight, other in zip(
            deep.get_layer(name).get_weights(), shallow.get_layer(name).get_weights(), strict=True
        ):
            np.testing.assert_allclose(weight, other, atol=1e-6)
    # The added block is the identity.
    assert np.abs(deep.get_layer("conv3_block2_2_bn").get_weights()[0]).max() < 1e-6
    assert "cifar_resnet8" in (run.path / "README.md").read_text()


@pytest.mark.parametrize(
    "fields",
    [
        {"depth": 8},
        {"depth": 14, "shortcut": "B"},
        {"depth": 18},
        {"depth": 14, "mean_subtraction": "channel"},
        {"depth": 14, "image_size": 16},
    ],
)
def test_what_does_not_grow_into_another_is_refused(quick_run, fields):
    with refused("grow_from", str(quick_run.path)):
        resolve(keras_resnet.TrainConfig(grow_from=str(quick_run.path), **fields))


@pytest.mark.parametrize(
    ("keys", "value"),
    [
        (("input", "crop_mode"), "center"),
        (("input", "normalization"), "published"),
        (("input", "normalization"), "per_channel_mean"),
        (("architecture", "shortcut"), None),
        (("architecture", "shortcut"), "C"),
    ],
)
def test_a_run_of_another_kind_does_not_grow(quick_run, tmp_path, keys, value):
    base = str(shutil.copytree(quick_run.path, tmp_path / "run"))
    _edit(base, *keys, value=value)
    with refused("grow_from", base):
        resolve(keras_resnet.TrainConfig(depth=14, grow_from=base))


def test_a_run_with_other_classes_does_not_grow(quick_run, tmp_path):
    base = shutil.copytree(quick_run.path, tmp_path / "run")
    _edit(base, "dataset", "class_names", value=list("1234567890"))
    with refused("dataset", "digits"):
        resolve(keras_resnet.TrainConfig(depth=14, grow_from=base))


def test_weights_and_growth_are_two_beginnings(quick_run):
    config = keras_resnet.TrainConfig(grow_from=quick_run.path)
    with refused("weights"):
        resolve(dataclasses.replace(config, weights=quick_run.path))
