import keras
import numpy as np
import pytest
from nets import trained

from keras_resnet import CifarPlainNet, CifarResNet, ResNet18, deepen
from keras_resnet.data import digits
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


@pytest.mark.parametrize("where", ["end", "middle"])
@pytest.mark.parametrize("shortcut", ["A", "B"])
def test_a_grown_cifar_net_answers_as_before(shortcut, where):
    model = trained(architectures.cifar(14, shortcut))
    images = digits.load("test")[0][:20]
    wanted = model.predict(images, verbose=0)
    deeper = deepen(model, 26, where=where)
    np.testing.assert_allclose(deeper.predict(images, verbose=0), wanted, atol=1e-5)
    np.testing.assert_array_equal(model.predict(images, verbose=0), wanted)
    fresh = CifarResNet(26, input_shape=(8, 8, 1), shortcut=shortcut)
    own = {layer.name for layer in deeper.layers if layer.weights} - {"mean_subtraction"}
    assert own == {layer.name for layer in fresh.layers if layer.weights}
    assert deeper.name == fresh.name


def test_in_the_middle_the_last_blocks_move_on():
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


@pytest.mark.parametrize(("old", "new"), [(18, 34), (50, 101)])
def test_grown_imagenet_nets_answer_as_before(old, new):
    """Basic and bottleneck blocks, at a fraction of their width."""
    narrow = {"filters": (4, 8, 12, 16), "name": "narrow"}
    net = architectures.IMAGENET[old]
    net = Architecture(blocks_per_stage=net.blocks_per_stage, block=net.block, **narrow)
    model = _randomized(ResNet(net, input_shape=(64, 64, 3), classes=10))
    images = RNG.normal(size=(2, 64, 64, 3)).astype("float32")
    deeper = deepen(model, new)
    np.testing.assert_allclose(deeper.predict(images, verbose=0), model.predict(images, verbose=0), atol=1e-5)
    assert deeper.name == f"resnet{new}"


def test_what_cannot_grow_is_refused():
    shape = {"input_shape": (8, 8, 1)}
    for model, depth, message in (
        (CifarPlainNet(8, **shape), 14, "is a plain net"),
        (CifarResNet(14, shortcut="C", **shape), 20, "has shortcut option C"),
        (CifarResNet(14, **shape), 14, "depth must be that of a deeper net"),
        (CifarResNet(14, **shape), 8, "which has 2-2-2 of them a stage; got 8"),
        (CifarResNet(14, **shape), 21, r"depth must be 6n\+2"),
        (ResNet18(input_shape=(32, 32, 3)), 50, "depth must be that of a deeper net with the same blocks"),
        (keras.Sequential([keras.Input((3,)), keras.layers.Dense(1)]), 20, "has no blocks called as"),
    ):
        with pytest.raises(ValueError, match=message):
            deepen(model, depth)
    with pytest.raises(ValueError, match="where must be one of end, middle; got 'start'"):
        deepen(CifarResNet(8, **shape), 14, where="start")
