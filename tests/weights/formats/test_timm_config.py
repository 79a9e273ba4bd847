"""The `config.json` of timm's weights, as its own rules read it."""

import json

import pytest
from helpers.errors import refused

from keras_resnet.weights.eval_settings import EvalSettings
from keras_resnet.weights.formats.timm_config import read_timm_config
from keras_resnet.weights.normalization import Normalization

HALF = {"mean": [0.5] * 3, "std": [0.5] * 3}


@pytest.fixture
def weights(tmp_path):
    return tmp_path / "model.safetensors"


def _write(weights, architecture="resnet34", **settings):
    config = {"architecture": architecture, "pretrained_cfg": {**HALF, **settings}}
    weights.with_name("config.json").write_text(json.dumps(config))


def _eval(weights, **settings):
    _write(weights, **settings)
    return read_timm_config(weights).eval


def test_without_a_config_nothing_is_known(weights):
    assert read_timm_config(weights) is None


def test_a_config_of_another_library_is_ignored(weights):
    weights.with_name("config.json").write_text('{"architectures": ["ResNetForImageClassification"]}')
    assert read_timm_config(weights) is None


def test_normalization_is_converted_to_pixels_of_255(weights):
    _write(weights, std=[0.5, 0.25, 0.5])
    assert read_timm_config(weights).normalization == Normalization((127.5,) * 3, (127.5, 63.75, 127.5))


# As the model cards of timm's weights have them; resize sizes are floor(size / crop), computed by hand.
@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        # resnet50.a1_in1k: tested at 288 without a border.
        (
            {
                "input_size": [3, 224, 224],
                "test_input_size": [3, 288, 288],
                "crop_pct": 0.95,
                "test_crop_pct": 1.0,
                "interpolation": "bicubic",
            },
            EvalSettings(288, 288, "bicubic"),
        ),
        # resnet50.ra_in1k: 288 / 0.95 = 303.16.
        (
            {
                "input_size": [3, 224, 224],
                "test_input_size": [3, 288, 288],
                "crop_pct": 0.875,
                "test_crop_pct": 0.95,
                "interpolation": "bicubic",
            },
            EvalSettings(288, 303, "bicubic"),
        ),
        # resnet50.tv_in1k and resnet50.tv2_in1k: 224 / 0.875 = 256, and 224 / 0.965 = 232.12.
        (
            {"input_size": [3, 224, 224], "crop_pct": 0.875, "interpolation": "bilinear"},
            EvalSettings(224, 256, "bilinear"),
        ),
        (
            {"input_size": [3, 224, 224], "crop_pct": 0.965, "interpolation": "bilinear"},
            EvalSettings(224, 232, "bilinear"),
        ),
        # resnet50.a3_in1k trains at 160: 224 / 0.95 = 235.79.
        (
            {
                "input_size": [3, 160, 160],
                "test_input_size": [3, 224, 224],
                "crop_pct": 0.95,
                "interpolation": "bicubic",
            },
            EvalSettings(224, 235, "bicubic"),
        ),
        # timm's defaults for what is missing.
        ({}, EvalSettings(224, 256, "bicubic")),
    ],
)
def test_evaluation_settings_follow_timms_rule(settings, expected, weights):
    assert _eval(weights, **settings) == expected


@pytest.mark.parametrize(
    "settings", [{"crop_mode": "squash"}, {"interpolation": "random"}, {"input_size": [3, 224, 192]}], ids=str
)
def test_other_transforms_are_not_taken_for_a_center_crop(settings, weights):
    assert _eval(weights, **settings) is None


@pytest.mark.parametrize(
    "text",
    [
        "",
        '{"architecture": "resnet18", "pretrained_cfg": {"mean": [1], "std": [1]}}',
        '{"architecture": "resnet18", "pretrained_cfg": {"mean": [1, 1, NaN], "std": [1, 1, 1]}}',
        '{"architecture": "resnet18", "pretrained_cfg": 3}',
        '{"architecture": 18, "pretrained_cfg": {"mean": [1, 1, 1], "std": [1, 1, 1]}}',
        "[" * 100_000,
        " " * 2**21,
    ],
    ids=range(7),
)
def test_damaged_configs_are_refused(text, weights):
    config = weights.with_name("config.json")
    config.write_text(text)
    with refused(value=config):
        read_timm_config(weights)


@pytest.mark.parametrize(
    "settings",
    [
        {"input_size": [224]},
        {"input_size": [3, 224.5, 224.5]},
        {"input_size": [3, 10**9, 10**9]},
        {"crop_pct": float("nan")},
        {"crop_pct": -1},
        {"crop_pct": 1e-9},
        {"crop_pct": 2},
        {"crop_pct": "all"},
    ],
    ids=str,
)
def test_impossible_evaluation_settings_are_refused(settings, weights):
    _write(weights, **settings)
    with refused(value=weights.with_name("config.json")):
        read_timm_config(weights)


@pytest.mark.parametrize("architecture", ["resnetaa50", "resnetblur50", "resnet50t", "ecaresnet50d"])
def test_architectures_with_the_same_weights_are_refused_by_name(architecture, weights):
    _write(weights, architecture)
    with refused(value=weights) as caught:
        read_timm_config(weights)
    assert architecture in caught.value.reason
