"""What weights say about their architecture and the normalization of their input."""

import dataclasses

import keras
import numpy as np
import pytest
from helpers.errors import refused
from helpers.public_files import write_torch_file

from keras_resnet.models import architectures, constructors, infer, resnet
from keras_resnet.models.preprocessing import Preprocessing
from keras_resnet.weights import conventions
from keras_resnet.weights.lazy_array import LazyArray
from keras_resnet.weights.names import MEAN_LAYER
from keras_resnet.weights.normalization import NORMALIZATIONS
from keras_resnet.weights.read import open_weights

TORCH = NORMALIZATIONS["torch"]


@pytest.mark.parametrize(
    "architecture",
    [
        architectures.cifar_architecture(8, "B"),
        architectures.cifar_architecture(8, "C"),
        architectures.cifar_architecture(14, "C"),
        architectures.IMAGENET[18],
        dataclasses.replace(architectures.IMAGENET[34], shortcut="C"),
    ],
    ids=lambda architecture: f"{architecture.name}-{architecture.shortcut}",
)
def test_the_architecture_is_inferred_from_the_weights(architecture, tmp_path):
    path = tmp_path / "net.weights.h5"
    resnet.ResNet(architecture, input_shape=(32, 32, 1), classes=6).save_weights(path)
    with open_weights(path) as named:
        assert infer.infer_architecture(named, path) == (architecture, 1, 6)


def test_other_architectures_than_the_papers_are_refused(tmp_path):
    path = tmp_path / "net.weights.h5"
    architecture = dataclasses.replace(architectures.IMAGENET[18], blocks_per_stage=(1, 2, 3, 4))
    resnet.ResNet(architecture, include_top=False).save_weights(path)
    with open_weights(path) as named, refused(value=path) as caught:
        infer.infer_architecture(named, path)
    assert "1-2-3-4 blocks" in caught.value.reason


def test_gaps_in_the_blocks_are_refused_at_once(tmp_path):
    """However large the numbers are."""
    path = tmp_path / "deep.pth"
    kernel = np.ones((16, 16, 3, 3), "float32")
    state = {f"layer{stage}.{block}.conv1.weight": kernel for stage in (1, 2, 3) for block in (0, 998)}
    write_torch_file(path, {"conv1.weight": kernel[:, :3].copy(), **state})
    with open_weights(path) as named, refused(value="deep.pth"):
        infer.infer_architecture(named, "deep.pth")


def _small_bottleneck(**options):
    return constructors.ResNet50(include_top=False, input_shape=(32, 32, 3), **options)


@pytest.mark.slow
def test_a_keras_file_says_its_variant(tmp_path):
    path = tmp_path / "net.keras"
    _small_bottleneck(variant="v1.5").save(path)
    assert _small_bottleneck(weights=path).get_layer("conv3_block1_2_conv").strides == (2, 2)
    with refused("variant", "v1") as caught:
        _small_bottleneck(weights=path, variant="v1")
    assert "variant=v1.5" in caught.value.reason


@pytest.mark.slow
def test_an_unknown_variant_is_not_guessed(tmp_path):
    path = tmp_path / "net.weights.h5"
    model = _small_bottleneck(variant="v1.5")
    model.save_weights(path)
    with refused("variant", None) as caught:
        _small_bottleneck(weights=path)
    assert "variant=v1, the default of this package, or variant=v1.5" in caught.value.reason
    again = _small_bottleneck(weights=path, variant="v1.5")
    np.testing.assert_array_equal(again.get_weights()[0], model.get_weights()[0])
    with open_weights(path) as named:
        with refused("variant", None):
            infer.infer_architecture(named, str(path))
        assert infer.infer_architecture(named, str(path), variant="v1.5")[0].variant == "v1.5"


def test_weights_alone_do_not_say_whether_there_are_shortcuts(tmp_path):
    path = tmp_path / "net.weights.h5"
    constructors.CifarResNet(8).save_weights(path)
    with open_weights(path) as named:
        with refused("plain", None) as caught:
            infer.infer_architecture(named, str(path))
        assert "plain=false" in caught.value.reason
        assert "plain=true" in caught.value.reason
        for plain in (False, True):
            architecture, _, _ = infer.infer_architecture(named, str(path), plain=plain)
            assert architecture == architectures.cifar_architecture(8, None if plain else "A")


def test_our_model_in_the_legacy_format_is_not_taken_for_keras_applications(tmp_path):
    path = tmp_path / "net.h5"
    _small_bottleneck(variant="v1.5").save(path)
    with open_weights(path) as named:
        assert named.convention.name == "this package"


@pytest.mark.parametrize("plain", [False, True])
def test_a_keras_file_says_whether_it_has_shortcuts(plain, tmp_path):
    path = tmp_path / "net.keras"
    architecture = architectures.cifar_architecture(8, None if plain else "A")
    resnet.ResNet(architecture, input_shape=(32, 32, 1)).save(path)
    with open_weights(path) as named:
        assert infer.infer_architecture(named, path)[0] == architecture


def test_a_plain_model_of_bottlenecks_is_inferred(tmp_path):
    path = tmp_path / "net.keras"
    architecture = dataclasses.replace(architectures.IMAGENET[50], shortcut=None)
    resnet.ResNet(architecture, include_top=False, input_shape=(32, 32, 3)).save(path)
    with open_weights(path) as named:
        assert infer.infer_architecture(named, path)[0] == architecture


def test_a_keras_file_says_its_normalization(tmp_path):
    path = tmp_path / "net.keras"
    image = keras.Input((48, 48, 3), dtype="uint8")
    normalized = Preprocessing("caffe", name="preprocessing")(image)
    resnet.ResNet(architectures.cifar_architecture(8), input_tensor=normalized).save(path)
    with open_weights(path) as named:
        assert named.convention.normalization == NORMALIZATIONS["caffe"]
        assert named.size == 48


@pytest.mark.parametrize("data_format", ["channels_last", "channels_first"])
def test_a_keras_file_says_the_size_of_its_images(data_format, tmp_path):
    path = tmp_path / "net.keras"
    keras.config.set_image_data_format(data_format)
    try:
        shape = (3, 48, 48) if data_format == "channels_first" else (48, 48, 3)
        constructors.CifarResNet(8, input_shape=shape).save(path)
    finally:
        keras.config.set_image_data_format("channels_last")
    with open_weights(path) as named:
        assert named.size == 48


def _with_mean(mean):
    stored = {} if mean is None else {f"{MEAN_LAYER}/mean": LazyArray(mean.shape, lambda: mean)}
    return conventions.NamedArrays(conventions.TORCH, stored)


def test_public_weights_are_normalized_as_by_their_publishers():
    assert infer.read_normalization(_with_mean(None), 3, "net.pth") == TORCH


def test_a_mean_of_another_number_of_channels_is_averaged_to_gray():
    colors = np.array([1.0, 2.0, 6.0])
    np.testing.assert_array_equal(infer.read_normalization(_with_mean(colors), 3, "net.keras"), colors)
    np.testing.assert_array_equal(infer.read_normalization(_with_mean(colors), 1, "net.keras"), [3])
    gray = infer.read_normalization(_with_mean(np.full((4, 4, 1), 5.0)), 3, "net.keras")
    np.testing.assert_array_equal(gray, np.full((4, 4, 3), 5))


@pytest.mark.parametrize("shape", [(), (4,), (4, 3), (4, 4, 2), (5000, 4, 3), (1, 4, 4, 3)])
def test_a_mean_image_of_impossible_shape_is_refused_with_its_file(shape):
    with refused(value="net.keras"):
        infer.read_normalization(_with_mean(np.zeros(shape)), 3, "net.keras")
