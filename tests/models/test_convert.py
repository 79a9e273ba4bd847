"""Weights of other formats as Keras files, by a call from Python."""

import dataclasses
import pathlib

import numpy as np
import pytest
from helpers.errors import refused
from helpers.public_files import torch_state, write_torch_file

from keras_resnet import weights
from keras_resnet.models import architectures, constructors
from keras_resnet.models.saving import load_model
from keras_resnet.weights import registry
from keras_resnet.weights.conventions import TORCH


@pytest.fixture(scope="module")
def torch_file(tmp_path_factory):
    path = tmp_path_factory.mktemp("weights") / "resnet18.pth"
    write_torch_file(path, torch_state(constructors.ResNet18(classes=3)))
    return path


def test_weights_alone_are_those_of_the_source(torch_file, tmp_path):
    target = tmp_path / "resnet18.weights.h5"
    written = weights.convert(torch_file, target)
    architecture = dataclasses.replace(architectures.IMAGENET[18], variant="v1.5")
    assert written == weights.Conversion(target, architecture, 3, 3, "normalized pixels")
    model, expected = constructors.ResNet18(classes=3), constructors.ResNet18(classes=3, weights=torch_file)
    model.load_weights(target)
    for one, other in zip(model.get_weights(), expected.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)


def test_a_model_normalizes_plain_pixels_itself(torch_file, tmp_path):
    target = tmp_path / "resnet18.keras"
    assert weights.convert(str(torch_file), str(target)).takes == "plain pixels"
    pixels = np.random.RandomState(0).randint(0, 256, (2, 224, 224, 3)).astype("uint8")
    normalized = (pixels - np.array(TORCH.normalization.mean)) / np.array(TORCH.normalization.std)
    model = constructors.ResNet18(classes=3, weights=torch_file)
    expected = model.predict(normalized.astype("float32"), verbose=0)
    np.testing.assert_allclose(load_model(target).predict(pixels, verbose=0), expected, rtol=0, atol=1e-5)


def test_a_model_without_a_head_stays_one(tmp_path):
    source, target = tmp_path / "headless.keras", tmp_path / "headless.weights.h5"
    constructors.CifarResNet(8, include_top=False, input_shape=(8, 8, 1)).save(source)
    written = weights.convert(source, target)
    assert (written.classes, written.channels) == (None, 1)
    assert written.architecture == architectures.cifar_architecture(8)


@pytest.mark.parametrize("plain", [False, True])
def test_what_a_file_does_not_say_is_an_argument(plain, tmp_path):
    source, target = tmp_path / "net.weights.h5", tmp_path / "net.keras"
    constructors.CifarResNet(8, classes=3, shortcut=None if plain else "A").save_weights(source)
    with refused("plain", None):
        weights.convert(source, target)
    assert not target.exists()
    written = weights.convert(source, target, plain=plain)
    assert (written.architecture.shortcut is None) == plain
    with refused("plain", not plain):
        weights.convert(target, tmp_path / "again.keras", plain=not plain)
    assert not (tmp_path / "again.keras").exists()


@pytest.mark.slow
def test_a_variant_that_contradicts_the_file_is_refused(tmp_path):
    source = tmp_path / "net.keras"
    constructors.ResNet50(include_top=False, variant="v1.5", input_shape=(32, 32, 3)).save(source)
    with refused("variant", "v1"):
        weights.convert(source, tmp_path / "again.keras", variant="v1")
    assert weights.convert(source, tmp_path / "again.keras", variant="v1.5").architecture.variant == "v1.5"


@pytest.mark.parametrize(
    ("arguments", "options", "parameter", "value"),
    [
        (("imagenet", "net.h5"), {}, None, pathlib.Path("net.h5")),
        (("imagenet", "net.keras"), {}, "depth", None),
        (("imagenet", "net.keras"), {"depth": 20}, "depth", 20),
        (("imagenet", "net.keras"), {"depth": 50, "variant": "v1"}, "variant", "v1"),
        (("imagenet", "net.keras"), {"depth": 50, "plain": False}, "plain", False),
        (("nowhere", "net.keras"), {}, None, "nowhere"),
        ((__file__, "net.keras"), {}, None, __file__),
        ((__file__, "net.keras"), {"depth": 18}, "depth", 18),
    ],
    ids=str,
)
def test_mistakes_are_refused_before_anything_is_downloaded(
    arguments, options, parameter, value, monkeypatch
):
    monkeypatch.setattr(registry.RemoteFile, "fetch", lambda *_: pytest.fail("downloaded"))
    with refused(parameter, value):
        weights.convert(*arguments, **options)


def test_the_source_and_folders_are_not_written_over(torch_file, tmp_path):
    target = tmp_path / "x.keras"
    weights.convert(torch_file, target)
    before = target.read_bytes()
    with refused(value=target):
        weights.convert(target, target)
    assert target.read_bytes() == before
    folder = tmp_path / "folder.keras"
    folder.mkdir()
    with refused(value=folder):
        weights.convert(torch_file, folder)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["folder.keras", "x.keras"]
