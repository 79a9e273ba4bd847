"""ResNet50, 101 and 152 beside keras.applications': the same net, the same call, the same refusals."""

import inspect

import keras
import numpy as np
import pytest

from keras_resnet.models import resnet
from keras_resnet.models.layers import BATCH_NORM_EPSILON

THEIR_EPSILON = 1.001e-5


def _with_random_weights(model):
    random = np.random.RandomState(0)
    for layer in model.layers:
        for variable in layer.weights:
            shape = tuple(variable.shape)
            if variable.name == "moving_variance":
                value = random.uniform(0.5, 1.5, shape)
            elif variable.name == "gamma":
                value = random.uniform(0.3, 0.7, shape)
            elif len(shape) == 1:
                value = 0.1 * random.standard_normal(shape)
            else:
                value = np.sqrt(2 / np.prod(shape[:-1])) * random.standard_normal(shape)
            variable.assign(value)
    return model


def _copy(theirs, ours):
    """Their weights in our net; what a bias adds, BN's mean takes away."""
    for layer in ours.layers:
        if isinstance(layer, keras.layers.Conv2D):
            layer.kernel.assign(theirs.get_layer(layer.name).kernel)
        elif isinstance(layer, keras.layers.BatchNormalization):
            bn = theirs.get_layer(layer.name)
            conv = theirs.get_layer(layer.name.removesuffix("bn") + "conv")
            layer.gamma.assign(bn.gamma)
            layer.beta.assign(bn.beta)
            layer.moving_mean.assign(bn.moving_mean - conv.bias)
            layer.moving_variance.assign(bn.moving_variance + (THEIR_EPSILON - BATCH_NORM_EPSILON))
        elif layer.name == "predictions":
            layer.set_weights(theirs.get_layer(layer.name).get_weights())


@pytest.mark.parametrize("size", [64, 75])
def test_same_logits(size):
    options = {"weights": None, "input_shape": (size, size, 3), "classifier_activation": None}
    theirs = _with_random_weights(keras.applications.ResNet50(**options))
    ours = resnet.ResNet50(**options)
    _copy(theirs, ours)
    images = np.random.RandomState(1).standard_normal((2, size, size, 3)).astype("float32")
    expected = theirs.predict(images, verbose=0)
    assert abs(expected).max() > 0.5
    np.testing.assert_allclose(ours.predict(images, verbose=0), expected, rtol=0, atol=1e-4)


@pytest.mark.parametrize("depth", [50, 101, 152])
def test_same_layer_names(depth):
    theirs = getattr(keras.applications, f"ResNet{depth}")(weights=None)
    ours = getattr(resnet, f"ResNet{depth}")()
    names = [{layer.name for layer in model.layers[1:]} for model in (theirs, ours)]
    assert names[0] == names[1]
    assert ours.name == theirs.name


@pytest.mark.parametrize("depth", [50, 101, 152])
def test_same_signature_but_for_the_download(depth):
    theirs = inspect.signature(getattr(keras.applications, f"ResNet{depth}")).parameters
    ours = inspect.signature(getattr(resnet, f"ResNet{depth}")).parameters
    shared = list(ours)[: len(theirs)]
    assert shared == list(theirs)
    differing = [name for name in shared if ours[name].default != theirs[name].default]
    assert differing == ["weights"]
    assert ours["weights"].default is None
    assert list(ours)[len(theirs) :] == ["shortcut", "variant"]


@pytest.mark.parametrize(
    "mistake",
    [
        {"weights": "imagenot"},
        {"input_shape": (31, 31, 3)},
        {"input_shape": (31, 64, 3), "include_top": False},
        {"input_shape": (64, 64)},
        {"weights": "FILE", "classifier_activation": "relu", "input_shape": (32, 32, 3)},
    ],
    ids=str,
)
def test_same_refusals(mistake, tmp_path):
    options = {"weights": None, **mistake}
    if options["weights"] == "FILE":
        options["weights"] = str(tmp_path / "some.weights.h5")
        resnet.ResNet50(input_shape=(32, 32, 3)).save_weights(options["weights"])
    for constructor in (keras.applications.ResNet50, resnet.ResNet50):
        with pytest.raises(ValueError, match=r"weights|input_shape|Input size|classifier_activation"):
            constructor(**options)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"classes": 7},
        {"include_top": False},
        {"include_top": False, "pooling": "avg"},
        {"include_top": False, "pooling": "max"},
        {"include_top": False, "input_shape": (96, 64, 3)},
        {"input_shape": (64, 64, 1), "classes": 3},
        {"include_top": False, "input_shape": (None, None, 3), "pooling": "avg"},
    ],
    ids=str,
)
def test_same_shapes(options):
    theirs = keras.applications.ResNet50(weights=None, **options)
    ours = resnet.ResNet50(weights=None, **options)
    assert ours.input_shape == theirs.input_shape
    assert ours.output_shape == theirs.output_shape
    assert ours.layers[-1].name == theirs.layers[-1].name


def test_builds_upon_a_tensor():
    inputs = keras.Input((64, 64, 1))
    coloured = keras.layers.Concatenate()([inputs] * 3)
    ours = resnet.ResNet50(input_tensor=coloured, classes=4)
    assert ours.input is inputs
    assert ours.output_shape == (None, 4)


def test_any_size_with_the_top_is_ours_alone():
    """The head is a global average, so nothing in the net needs the size."""
    with pytest.raises(ValueError, match="static `input_shape`"):
        keras.applications.ResNet50(weights=None, input_shape=(None, None, 3))
    model = resnet.ResNet18(input_shape=(None, None, 3), classes=5)
    for size in (32, 47):
        assert model(np.zeros((1, size, size + 9, 3), "float32")).shape == (1, 5)


def test_unknown_pooling_is_refused():
    with pytest.raises(ValueError, match="'avg' or 'max'; got 'mean'"):
        resnet.ResNet18(include_top=False, pooling="mean")
