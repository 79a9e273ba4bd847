"""Opening a weights file of any kind, and looking up public weights."""

import json
import pathlib
import shutil
import zipfile

import numpy as np
import pytest
from helpers.errors import refused
from helpers.public_files import write_torch_file

from keras_resnet.weights import conventions, registry
from keras_resnet.weights.eval_settings import EvalSettings
from keras_resnet.weights.formats import keras_config
from keras_resnet.weights.lazy_array import LazyArray
from keras_resnet.weights.normalization import NORMALIZATIONS, Normalization
from keras_resnet.weights.read import open_weights

FILES = pathlib.Path(__file__).parents[1] / "golden" / "torch_files"


def _open(path):
    with open_weights(path):
        pass


def test_a_missing_file_is_refused_with_the_supported_suffixes(tmp_path):
    with refused(value=tmp_path / "net.pth") as caught:
        _open(tmp_path / "net.pth")
    assert ".weights.h5, .keras, .h5, .safetensors, .pth, .pt" in caught.value.reason


def test_a_file_with_another_suffix_is_refused():
    with refused(value=__file__) as caught:
        _open(__file__)
    assert ".weights.h5, .keras, .h5, .safetensors, .pth, .pt" in caught.value.reason


@pytest.mark.parametrize(
    "name", ["net.pth", "net.PTH", "net.pt", "model_best.pth.tar", "last.ckpt", "pytorch_model.bin", "net.th"]
)
def test_every_suffix_of_pytorch_is_read(name, tmp_path):
    shutil.copy(FILES / "state.pth", tmp_path / name)
    with open_weights(tmp_path / name) as named:
        assert "conv1_conv/kernel" in named.arrays


def test_suffixes_of_other_formats_may_be_in_upper_case(tmp_path):
    shutil.copy(FILES / "state.safetensors", tmp_path / "NET.SAFETENSORS")
    with open_weights(tmp_path / "NET.SAFETENSORS") as named:
        assert "conv1_conv/kernel" in named.arrays


def test_weights_of_other_networks_are_refused(tmp_path):
    write_torch_file(tmp_path / "vit.pth", {"patch_embed.weight": np.ones(3, "float32")})
    with refused(value=tmp_path / "vit.pth") as caught:
        _open(tmp_path / "vit.pth")
    assert "no conv1.weight" in caught.value.reason
    stored = {"block1_conv1/kernel": LazyArray((64,), lambda: np.ones(64))}
    with refused(value="vgg.h5") as caught:
        conventions.rename_arrays(stored, "vgg.h5", torch=False, own=False)
    assert "conv1_bn" in caught.value.reason


def test_a_timm_config_says_how_images_are_prepared(tmp_path):
    path = tmp_path / "model.safetensors"
    shutil.copy(FILES / "state.safetensors", path)
    with open_weights(path) as named:
        assert named.convention is conventions.TORCH
        assert named.convention.normalization is NORMALIZATIONS["torch"]
        assert named.eval == EvalSettings(224, 256, "bilinear")
    settings = {
        "mean": [0.5] * 3,
        "std": [0.5] * 3,
        "input_size": [3, 224, 224],
        "test_input_size": [3, 288, 288],
        "crop_pct": 0.9,
        "interpolation": "bicubic",
    }
    config = {"architecture": "resnet18", "pretrained_cfg": settings}
    (tmp_path / "config.json").write_text(json.dumps(config))
    with open_weights(path) as named:
        assert named.convention.normalization == Normalization((127.5,) * 3, (127.5,) * 3)
        assert named.eval == EvalSettings(288, 320, "bicubic")


def test_unknown_public_weights_are_refused_with_those_that_exist():
    with refused("name", "imagenet21k") as caught:
        registry.get_weights("imagenet21k", 50)
    assert "imagenet, keras-imagenet, torchvision-v1" in caught.value.reason
    with refused("depth", 20) as caught:
        registry.get_weights("imagenet", 20)
    assert "resnet50, resnet101, resnet152, resnet50v2" in caught.value.reason
    with refused("architecture", "resnet18d"):
        registry.get_weights("torchvision-v1", "resnet18d")


# Resize sizes as torchvision and timm publish them with the weights.
@pytest.mark.parametrize(
    ("name", "depth", "expected"),
    [
        ("keras-imagenet", 50, (224, 256, "bilinear", 74.9)),
        ("torchvision-v1", 18, (224, 256, "bilinear", 69.758)),
        ("torchvision-v2", 50, (224, 232, "bilinear", 80.858)),
        ("timm-a1", 50, (288, 288, "bicubic", 81.214)),
        ("imagenet", 34, (224, 256, "bilinear", 73.314)),
        ("imagenet", 152, (224, 256, "bilinear", 76.6)),
    ],
)
def test_public_weights_carry_their_evaluation(name, depth, expected):
    settings = registry.get_weights(name, depth).eval
    assert (settings.crop_size, settings.resize_size, settings.interpolation, settings.top1) == expected


@pytest.mark.parametrize(
    "config", [b"", b"[]", b"{}", json.dumps({"config": {"layers": [{}]}}).encode()], ids=repr
)
def test_a_damaged_config_is_refused(config, tmp_path):
    path = tmp_path / "net.keras"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("config.json", config)
    with refused(value=path):
        keras_config.read_config(path)


def test_a_config_larger_than_that_of_any_model_is_not_read(tmp_path, monkeypatch):
    path = tmp_path / "net.keras"
    monkeypatch.setattr(keras_config, "_MAX_BYTES", 10)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("config.json", " " * 11)
    with refused(value=path) as caught:
        keras_config.read_config(path)
    assert "config.json is larger" in caught.value.reason
