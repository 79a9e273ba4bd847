"""Dilated models compared with the strided ones whose weights they share, and with timm's."""

import pathlib

import keras
import numpy as np
import parity_with_torchvision
import pytest
import torchvision_weights
from helpers.errors import refused
from helpers.marks import slow

from keras_resnet.models import constructors, resnet
from keras_resnet.models.architectures import Architecture

RNG = np.random.default_rng(0)
GOLDEN = pathlib.Path(parity_with_torchvision.__file__).with_name("timm_dilation.npz")
SIZES = ((64, 48), (65, 47))
KINDS = [("basic", "v1"), ("bottleneck", "v1"), ("bottleneck", "v1.5")]


def _headless(architecture, **options):
    return resnet.ResNet(architecture, include_top=False, input_shape=(None, None, 3), **options)


def _randomized(model):
    for layer in model.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            gamma, shape = RNG.uniform(0.5, 1.5, layer.gamma.shape), layer.gamma.shape
            rest = RNG.normal(0, 0.3, shape), RNG.normal(0, 0.3, shape), RNG.uniform(0.5, 1.5, shape)
            layer.set_weights([gamma, *rest])
    return model


def _assert_same_where_both_have_a_position(architecture, output_stride, sizes):
    strided = _randomized(_headless(architecture))
    dilated = _headless(architecture, output_stride=output_stride)
    for layer in (layer for layer in dilated.layers if layer.weights):
        layer.set_weights(strided.get_layer(layer.name).get_weights())
    apart = architecture.total_stride // output_stride
    for height, width in sizes:
        images = RNG.normal(size=(2, height, width, 3)).astype("float32")
        expected, features = np.asarray(strided(images)), np.asarray(dilated(images))
        assert features.shape[1:3] == (-(-height // output_stride), -(-width // output_stride))
        assert np.abs(expected).max() > 0.5
        np.testing.assert_allclose(features[:, ::apart, ::apart], expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("shortcut", ["A", slow("B"), slow("C"), None])
@pytest.mark.parametrize(("block", "variant"), KINDS)
def test_same_features_as_the_strided_model(block, variant, shortcut):
    architecture = Architecture("net", (1, 2, 2), (4, 6, 8), block, "cifar", shortcut, variant)
    for output_stride in (1, 2):
        _assert_same_where_both_have_a_position(architecture, output_stride, [(12, 16), (13, 7)])


@pytest.mark.slow
@pytest.mark.parametrize(("block", "variant"), KINDS)
def test_same_features_behind_the_imagenet_stem(block, variant):
    architecture = Architecture("net", (1, 1, 2, 2), (4, 6, 8, 10), block, "imagenet", "B", variant)
    for output_stride in (8, 16):
        _assert_same_where_both_have_a_position(architecture, output_stride, [(64, 96), (77, 33)])


@pytest.mark.parametrize("shortcut", ["A", "B"])
def test_stages_of_equal_filters_keep_their_shortcuts(shortcut):
    """The stride alone shows that their first blocks change the dimensions."""
    architecture = Architecture("net", (1, 1, 1), (4, 4, 4), stem="cifar", shortcut=shortcut)
    _assert_same_where_both_have_a_position(architecture, 1, [(9, 12)])


def test_a_file_of_the_strided_model_fits(tmp_path):
    architecture = Architecture("net", (1, 1), (4, 6), "bottleneck", "cifar", "B", "v1.5")
    strided = _randomized(_headless(architecture))
    strided.save_weights(tmp_path / "net.weights.h5")
    dilated = _headless(architecture, output_stride=1, weights=tmp_path / "net.weights.h5")
    images = RNG.normal(size=(2, 8, 8, 3)).astype("float32")
    np.testing.assert_allclose(dilated(images)[:, ::2, ::2], strided(images), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("shortcut", ["A", "B"])
@pytest.mark.parametrize(("block", "variant"), KINDS)
def test_layers_have_the_same_names(block, variant, shortcut):
    architecture = Architecture("net", (1, 1), (4, 4), block, "cifar", shortcut, variant)
    strided, dilated = (
        {layer.name for layer in _headless(architecture, output_stride=s).layers[1:]} for s in (2, 1)
    )
    # A strided convolution has its padding in a separate layer; a narrow 1x1 has its stride there.
    separate = {"0_pool", "1_pool", "1_pad", "2_pad"}
    assert strided - dilated <= {f"conv3_block1_{name}" for name in separate}
    assert dilated <= strided


@pytest.mark.parametrize(
    ("stride", "rates"), [(8, (1, 1, 1, 1, 1, 2, 2, 4)), (16, (1, 1, 1, 1, 1, 1, 1, 2)), (32, (1,) * 8)]
)
def test_rates_of_resnet18(stride, rates):
    model = constructors.ResNet18(include_top=False, output_stride=stride)
    convolutions = [f"conv{stage}_block1_{number}_conv" for stage in (2, 3, 4, 5) for number in (1, 2)]
    assert tuple(model.get_layer(name).dilation_rate[0] for name in convolutions) == rates
    assert {model.get_layer(f"conv{stage}_block2_1_conv").dilation_rate[0] for stage in (4, 5)} == {
        rates[5],
        rates[7],
    }


@pytest.mark.parametrize(("depth", "stride"), [(18, 8), slow(18, 16), slow(50, 8), slow(50, 16)])
def test_features_are_timms(depth, stride):
    golden = np.load(GOLDEN, allow_pickle=False)
    constructor = getattr(constructors, f"ResNet{depth}")
    model = constructor(False, input_shape=(None, None, 3), variant="v1.5", output_stride=stride)
    parity_with_torchvision.fill(model)
    for height, width in SIZES:
        expected = golden[f"resnet{depth}_stride{stride}_{height}x{width}"]
        features = np.asarray(model(torchvision_weights.images(height, width)))
        np.testing.assert_allclose(
            features[..., :: features.shape[-1] // expected.shape[-1]], expected, atol=1e-4
        )


def test_a_dilated_model_trains():
    """TensorFlow once had no gradients of dilated convolutions on CPUs."""
    architecture = Architecture("net", (1, 1), (4, 8), stem="cifar")
    model = resnet.ResNet(architecture, input_shape=(8, 8, 3), classes=3, output_stride=1)
    before = np.asarray(model.get_layer("conv3_block1_2_conv").kernel)
    model.compile("sgd", "sparse_categorical_crossentropy")
    assert np.isfinite(model.train_on_batch(RNG.normal(size=(4, 8, 8, 3)), np.array([0, 1, 2, 1])))
    assert np.any(model.get_layer("conv3_block1_2_conv").kernel != before)


@pytest.mark.parametrize(
    ("make", "accepted", "others"),
    [
        (constructors.ResNet50, "8, 16, 32", (0, 4, 12, 64)),
        (constructors.PlainNet34, "8, 16, 32", (0, 4, 12, 64)),
        (lambda **options: constructors.CifarResNet(8, **options), "1, 2, 4", (0, 3, 8)),
        (
            lambda **options: constructors.CifarPlainNet(8, **options),
            "1, 2, 4",
            (0, 3, 8),
        ),
    ],
)
def test_other_output_strides_are_refused(make, accepted, others):
    for stride in others:
        with refused("output_stride", stride) as caught:
            make(output_stride=stride)
        assert f"must be one of {accepted} for" in caught.value.reason
