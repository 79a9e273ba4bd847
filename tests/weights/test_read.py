"""What is refused of a file of weights, of whatever kind it is."""

import json
import zipfile

import numpy as np
import pytest
from public_files import write_torch_file

from keras_resnet.errors import UserError
from keras_resnet.weights import keras_config, layouts, registry
from keras_resnet.weights.read import open_weights
from keras_resnet.weights.stored import Stored


def _open(path):
    with open_weights(path):
        pass


def test_a_file_that_is_not_there_is_told_with_the_endings_that_can_be_read(tmp_path):
    with pytest.raises(
        UserError, match=r"net\.pth: there is no such file; give one that ends in \.weights\.h5, "
    ):
        _open(tmp_path / "net.pth")


def test_weights_of_other_nets_are_refused(tmp_path):
    write_torch_file(tmp_path / "deep.pth", {"conv1.0.weight": np.ones(3, "float32")})
    with pytest.raises(UserError, match=r"deep\.pth has no conv1\.weight, as the plain ResNets"):
        _open(tmp_path / "deep.pth")
    stored = {"conv2_block1_preact_bn/gamma": Stored((64,), lambda: np.ones(64))}
    with pytest.raises(UserError, match=r"v2\.h5 has no layer conv1_bn or bn_conv1, as the ResNets of keras"):
        layouts.named(stored, "v2.h5", torch=False, own=False)


def test_names_that_are_no_public_weights_are_refused_with_those_that_are():
    with pytest.raises(UserError, match="imagenet21k names no public weights; there are imagenet, "):
        registry.find("imagenet21k", 50)
    with pytest.raises(UserError, match=r"imagenet has no weights of a ResNet-20; it has those of 18, 34"):
        registry.find("imagenet", 20)


@pytest.mark.parametrize(
    "config", [b"", b"[]", b"{}", json.dumps({"config": {"layers": [{}]}}).encode()], ids=repr
)
def test_a_config_of_no_net_is_damaged(config, tmp_path):
    with zipfile.ZipFile(tmp_path / "net.keras", "w") as archive:
        archive.writestr("config.json", config)
    with pytest.raises(UserError, match=r"net\.keras is damaged or no net of Keras \("):
        keras_config.read_config(tmp_path / "net.keras")


def test_a_config_larger_than_any_nets_is_not_read(tmp_path, monkeypatch):
    monkeypatch.setattr(keras_config, "_LARGEST", 10)
    with zipfile.ZipFile(tmp_path / "net.keras", "w") as archive:
        archive.writestr("config.json", " " * 11)
    with pytest.raises(UserError, match=r"net\.keras .*config\.json is larger than any net's"):
        keras_config.read_config(tmp_path / "net.keras")
