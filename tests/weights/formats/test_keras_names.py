"""The ResNet of a Keras file is found wherever it is nested, with its head and without its biases."""

import keras
import numpy as np
import pytest
from helpers.errors import refused
from keras import layers

from keras_resnet.weights.read import open_weights

SUFFIXES = [".keras", ".weights.h5", ".h5"]
RNG = np.random.default_rng(0)


def _base(name="resnet50"):
    """The beginning of a ResNet of keras.applications: its names, and a bias."""
    image = keras.Input((8, 8, 3))
    x = layers.Conv2D(4, 3, name="conv1_conv")(image)
    x = layers.BatchNormalization(epsilon=1.001e-5, name="conv1_bn")(x)
    model = keras.Model(image, layers.Conv2D(6, 3, name="conv2_block1_1_conv")(x), name=name)
    model.set_weights([RNG.uniform(0.5, 1, weight.shape) for weight in model.get_weights()])
    return model


def _flat(base, *heads):
    x = base.output
    for layer in heads:
        x = layer(x)
    return keras.Model(base.input, x)


def _nested(base, *heads):
    image = keras.Input((8, 8, 3))
    x = base(layers.RandomFlip()(image))  # whose random state is an array of integers
    for layer in heads:
        x = layer(x)
    model = keras.Model(image, x)
    model.compile("adam", "mse")
    return model


def _sequential(base, *heads):
    return keras.Sequential([keras.Input((8, 8, 3)), base, *heads])


def _pool():
    return layers.GlobalAveragePooling2D()


def _open(model, path):
    model.save_weights(path) if path.name.endswith(".weights.h5") else model.save(path)
    with open_weights(path) as named:
        return named.convention, {key: array.read() for key, array in named.arrays.items()}


def _check_base(base, arrays):
    conv, bn = base.get_layer("conv1_conv"), base.get_layer("conv1_bn")
    np.testing.assert_array_equal(arrays["conv1_conv/kernel"], conv.kernel)
    np.testing.assert_allclose(
        arrays["conv1_bn/moving_mean"], bn.moving_mean.numpy().astype("float64") - conv.bias.numpy()
    )
    assert "conv1_conv/bias" not in arrays


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("build", [_flat, _nested, _sequential])
def test_a_network_and_its_head_are_found(build, suffix, tmp_path):
    base, dense = _base(), layers.Dense(5)
    model = build(base, _pool(), layers.Dropout(0.5), dense)
    convention, arrays = _open(model, tmp_path / f"net{suffix}")
    _check_base(base, arrays)
    np.testing.assert_array_equal(arrays["predictions/kernel"], dense.kernel)
    np.testing.assert_array_equal(arrays["predictions/bias"], dense.bias)
    assert (convention.variant, convention.epsilon) == ("v1", 1.001e-5)
    assert convention.normalization is not None


HEADS = {
    "two layers": lambda: (_pool(), layers.Dense(5, "relu"), layers.Dense(5)),
    "another pool": lambda: (layers.GlobalMaxPooling2D(), layers.Dense(5)),
    "batch norm": lambda: (_pool(), layers.BatchNormalization(), layers.Dense(5)),
    "none": lambda: (),
}


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("heads", HEADS)
def test_other_heads_are_left_out_and_named(heads, suffix, tmp_path, caplog):
    base = _base()
    _, arrays = _open(_nested(base, *HEADS[heads]()), tmp_path / f"net{suffix}")
    _check_base(base, arrays)
    assert not any(key.startswith(("predictions", "dense")) for key in arrays)
    assert ("dense" in caplog.text) == (heads != "none")


def test_pixels_that_a_model_rescales_have_an_unknown_normalization(tmp_path):
    base = _base()
    image = keras.Input((8, 8, 3))
    model = keras.Model(image, layers.Dense(5)(_pool()(base(layers.Rescaling(1 / 255)(image)))))
    convention, _ = _open(model, tmp_path / "net.keras")
    assert convention.normalization is None


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_several_networks_are_refused(suffix, tmp_path):
    image = keras.Input((8, 8, 3))
    model = keras.Model(image, layers.Add()([_base("one")(image), _base("two")(image)]))
    path = tmp_path / f"net{suffix}"
    with refused(value=path) as caught:
        _open(model, path)
    assert "holds several ResNets" in caught.value.reason
