import keras
import numpy as np
import pytest
from helpers.errors import refused
from helpers.marks import slow
from helpers.nets import trained_model

from keras_resnet import CifarPlainNet, CifarResNet, ResNet18, deepen
from keras_resnet.data.sources import digits
from keras_resnet.models import architectures
from keras_resnet.models.architectures import Architecture
from keras_resnet.models.resnet import ResNet

RNG = np.random.default_rng(0)


def _randomized(model):
    for layer in model.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            shape = layer.gamma.shape
            values = (RNG.uniform(0.5, 1.5, shape), RNG.normal(0, 0.3, shape))
            layer.set_weights([*values, RNG.normal(0, 0.3, shape), RNG.uniform(0.5, 1.5, shape)])
    return model


@pytest.mark.parametrize(
    ("shortcut", "where"), [slow("A", "end"), slow("A", "middle"), slow("B", "end"), ("B", "middle")]
)
def test_a_deepened_cifar_model_predicts_as_before(shortcut, where):
    model = trained_model(architectures.cifar_architecture(14, shortcut))
    images = digits.load("test")[0][:20]
    expected = model.predict(images, verbose=0)
    deeper = deepen(model, 26, where=where)
    np.testing.assert_allclose(deeper.predict(images, verbose=0), expected, atol=1e-5)
    np.testing.assert_array_equal(model.predict(images, verbose=0), expected)
    fresh = CifarResNet(26, input_shape=(8, 8, 1), shortcut=shortcut)
    own = {layer.name for layer in deeper.layers if layer.weights} - {"mean_subtraction"}
    assert own == {layer.name for layer in fresh.layers if layer.weights}
    assert deeper.name == fresh.name


def test_in_the_middle_the_last_blocks_are_renumbered():
    model = _randomized(CifarResNet(20, input_shape=(8, 8, 1)))
    deeper = deepen(model, 32, where="middle")
    for old, new in {1: 1, 2: 2, 3: 5}.items():
        for weight, other in zip(
            model.get_layer(f"conv3_block{old}_1_conv").get_weights(),
            deeper.get_layer(f"conv3_block{new}_1_conv").get_weights(),
            strict=True,
        ):
            np.testing.assert_array_equal(weight, other)
    assert not np.any(deeper.get_layer("conv3_block3_2_bn").gamma)
    assert np.any(deeper.get_layer("conv3_block5_2_bn").gamma)


@pytest.mark.parametrize(("old", "new"), [slow(18, 34), slow(50, 101)])
def test_deepened_imagenet_models_predict_as_before(old, new):
    """Basic and bottleneck blocks, at a fraction of their width."""
    narrow = {"filters": (4, 8, 12, 16), "name": "narrow"}
    original = architectures.IMAGENET[old]
    architecture = Architecture(blocks_per_stage=original.blocks_per_stage, block=original.block, **narrow)
    model = _randomized(ResNet(architecture, input_shape=(64, 64, 3), classes=10))
    images = RNG.normal(size=(2, 64, 64, 3)).astype("float32")
    deeper = deepen(model, new)
    np.testing.assert_allclose(deeper.predict(images, verbose=0), model.predict(images, verbose=0), atol=1e-5)
    assert deeper.name == f"resnet{new}"


def test_a_narrow_model_of_option_b_is_not_taken_for_option_c():
    """Where stages have equal filters, only the stride shows it, which narrow projections have in a pool."""
    architecture = Architecture("narrow", (1, 1, 1), (4, 4, 4), stem="cifar", shortcut="B")
    model = _randomized(ResNet(architecture, input_shape=(8, 8, 1), classes=10))
    images = RNG.normal(size=(2, 8, 8, 1)).astype("float32")
    deeper = deepen(model, 14)
    np.testing.assert_allclose(deeper.predict(images, verbose=0), model.predict(images, verbose=0), atol=1e-5)


def test_other_models_depths_and_positions_are_refused():
    shape = {"input_shape": (8, 8, 1)}
    for model, reason in (
        (CifarPlainNet(8, **shape), "plain"),
        (CifarResNet(14, shortcut="C", **shape), "option C"),
        (keras.Sequential([keras.Input((3,)), keras.layers.Dense(1)], name="other"), "no blocks"),
    ):
        with refused("model", model.name) as caught:
            deepen(model, 20)
        assert reason in caught.value.reason
    for depth in (14, 8, 21):
        with refused("depth", depth):
            deepen(CifarResNet(14, **shape), depth)
    with refused("depth", 50):
        deepen(ResNet18(input_shape=(32, 32, 3)), 50)
    with refused("where", "start"):
        deepen(CifarResNet(8, **shape), 14, where="start")
