import dataclasses

import keras
import numpy as np
import pytest
from helpers.errors import refused

from keras_resnet.models import architectures, constructors, resnet
from keras_resnet.models.architectures import Architecture
from keras_resnet.models.classifier import build_classifier
from keras_resnet.models.pyramid import feature_pyramid

RNG = np.random.default_rng(0)
NARROW = Architecture("narrow", (1, 2, 1, 2), (4, 6, 8, 10))


def _sizes(pyramid, height, width):
    maps = pyramid(np.zeros((1, height, width, 3), "float32"))
    return {level: features.shape[1:3] for level, features in maps.items()}


@pytest.mark.parametrize("block", ["basic", "bottleneck"])
@pytest.mark.parametrize("include_top", [True, False])
def test_levels_are_the_outputs_of_models_with_fewer_stages(include_top, block):
    architecture = dataclasses.replace(NARROW, block=block)
    model = resnet.ResNet(architecture, include_top, input_shape=(None, None, 3), classes=5)
    images = RNG.normal(size=(2, 45, 64, 3)).astype("float32")
    maps = feature_pyramid(model)(images)
    assert list(maps) == ["C1", "C2", "C3", "C4", "C5"]
    for stages in (1, 2, 3, 4):
        fewer = dataclasses.replace(
            architecture,
            blocks_per_stage=architecture.blocks_per_stage[:stages],
            filters=architecture.filters[:stages],
        )
        shorter = resnet.ResNet(fewer, include_top=False)
        for layer in (layer for layer in shorter.layers if layer.weights):
            layer.set_weights(model.get_layer(layer.name).get_weights())
        np.testing.assert_allclose(maps[f"C{stages + 1}"], shorter(images), rtol=1e-5, atol=1e-5)


def test_the_stems_level_is_before_its_pool():
    model = resnet.ResNet(NARROW, include_top=False)
    images = RNG.normal(size=(2, 40, 40, 3)).astype("float32")
    level = feature_pyramid(model, ["C1"])(images)["C1"]
    assert level.shape == (2, 20, 20, 4)
    pooled = model.get_layer("pool1_pool")(model.get_layer("pool1_pad")(level))
    branch = keras.Model(model.get_layer("pool1_pool").output, model.output)
    np.testing.assert_allclose(branch(pooled), model(images), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    ("options", "strides"),
    [
        ({}, {"C1": 2, "C2": 4, "C3": 8, "C4": 16, "C5": 32}),
        ({"output_stride": 16}, {"C1": 2, "C2": 4, "C3": 8, "C4": 16, "C5": 16}),
        ({"output_stride": 8, "drop_path": 0.1}, {"C1": 2, "C2": 4, "C3": 8, "C4": 8, "C5": 8}),
    ],
    ids=str,
)
def test_strides_of_imagenet_models(options, strides):
    pyramid = feature_pyramid(resnet.ResNet(NARROW, include_top=False, **options))
    expected = {level: (-(-70 // stride), -(-61 // stride)) for level, stride in strides.items()}
    assert _sizes(pyramid, 70, 61) == expected


def test_strides_of_cifar_models():
    pyramid = feature_pyramid(constructors.CifarPlainNet(8, include_top=False))
    assert _sizes(pyramid, 11, 8) == {"C1": (11, 8), "C2": (11, 8), "C3": (6, 4), "C4": (3, 2)}


def test_levels_come_in_the_order_of_the_stages():
    pyramid = feature_pyramid(resnet.ResNet(NARROW, include_top=False), ("C4", "C2"))
    assert list(pyramid.output) == ["C2", "C4"]
    assert list(pyramid.predict(np.zeros((1, 32, 32, 3)), verbose=0)) == ["C2", "C4"]


def test_layers_are_those_of_the_model():
    model = resnet.ResNet(NARROW, input_shape=(32, 32, 3), classes=3)
    pyramid = feature_pyramid(model)
    top = model.get_layer("predictions").weights
    assert {id(w) for w in pyramid.weights} == {id(w) for w in model.weights} - {id(w) for w in top}


def test_of_a_classifier_that_takes_plain_pixels():
    mean = np.full(3, 100, "float32")
    model = build_classifier(architectures.cifar_architecture(8), (8, 8, 3), 10, mean)
    pyramid = feature_pyramid(model, ["C4"])
    images = RNG.integers(0, 256, (2, 8, 8, 3), "uint8")
    features = np.asarray(pyramid(images)["C4"])
    kernel, bias = model.get_layer("predictions").get_weights()
    logits = features.mean(axis=(1, 2)) @ kernel + bias
    np.testing.assert_allclose(keras.ops.softmax(logits), model(images), atol=1e-5)


def test_unknown_levels_and_models_are_refused_by_name():
    model = constructors.CifarResNet(8)
    for levels, name in ((("C2", "C5"), "C5"), (["P3"], "P3"), (["conv2"], "conv2")):
        with refused("levels", name) as caught:
            feature_pyramid(model, levels)
        assert "C1, C2, C3, C4" in caught.value.reason
    other = keras.Sequential([keras.Input((8, 8, 3)), keras.layers.Conv2D(4, 3)], name="other")
    with refused("model", "other"):
        feature_pyramid(other)
