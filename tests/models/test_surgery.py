import keras
import numpy as np
import PIL.Image
import pytest
from helpers.errors import refused
from helpers.marks import slow

import keras_resnet
from keras_resnet import dense_block, fold_batch_norm, fully_convolutional
from keras_resnet.models import architectures, constructors, resnet
from keras_resnet.models.classifier import build_classifier
from keras_resnet.models.surgery import inference_copy

RNG = np.random.default_rng(0)


def _trained(model):
    """Randomizes averages, scales and shifts, as training might leave them."""
    for layer in model.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.set_weights(
                [
                    RNG.uniform(0.5, 1.5, w.shape)
                    if w.name in ("gamma", "moving_variance")
                    else RNG.normal(0, 0.3, w.shape)
                    for w in layer.weights
                ]
            )
    return model


def _bns(model):
    return [layer for layer in model.layers if isinstance(layer, keras.layers.BatchNormalization)]


def _assert_same(folded, model, inputs):
    expected = model.predict(inputs, verbose=0)
    scale = np.abs(expected).max()
    np.testing.assert_allclose(folded.predict(inputs, verbose=0), expected, rtol=1e-4, atol=1e-4 * scale)


@pytest.mark.parametrize("variant", ["v1", "v1.5"])
@pytest.mark.parametrize("shortcut", ["A", slow("B"), slow("C"), None])
@pytest.mark.parametrize("block", ["basic", "bottleneck"])
def test_every_batch_norm_is_folded_and_the_outputs_stay(block, shortcut, variant):
    architecture = architectures.Architecture(
        "net", (1, 2), (8, 16), block=block, stem="imagenet", shortcut=shortcut, variant=variant
    )
    model = _trained(
        resnet.ResNet(architecture, input_shape=(37, 40, 3), classes=7, classifier_activation=None)
    )
    folded = fold_batch_norm(model)
    assert not _bns(folded)
    _assert_same(folded, model, RNG.normal(size=(3, 37, 40, 3)))
    assert folded.count_params() == model.count_params() - sum(
        3 * bn.moving_mean.shape[0] for bn in _bns(model)
    )


def test_the_original_keeps_its_weights():
    model = _trained(constructors.CifarResNet(8))
    before = [w.copy() for w in model.get_weights()]
    fold_batch_norm(model)
    for weight, old in zip(model.get_weights(), before, strict=True):
        np.testing.assert_array_equal(weight, old)


def test_fully_connected_blocks_fold_as_well():
    inputs = keras.Input((12,))
    model = _trained(keras.Model(inputs, dense_block(inputs, 20, name="block")))
    folded = fold_batch_norm(model)
    assert not _bns(folded)
    _assert_same(folded, model, RNG.normal(size=(5, 12)))


@pytest.mark.slow
def test_a_bias_is_folded_too():
    stock = keras.applications.ResNet50(
        weights=None, input_shape=(64, 64, 3), classes=5, classifier_activation=None
    )
    for layer in stock.layers:
        if isinstance(layer, keras.layers.Conv2D):
            layer.bias.assign(RNG.normal(0, 0.1, layer.bias.shape))
    _trained(stock)
    folded = fold_batch_norm(stock)
    assert not _bns(folded)
    _assert_same(folded, stock, RNG.normal(size=(2, 64, 64, 3)))


def test_batch_norm_that_cannot_be_folded_stays():
    """Behind a pool, behind an activation, behind a convolution whose output is used twice, over rows."""
    x = inputs = keras.Input((8, 8, 3))
    x = keras.layers.BatchNormalization(name="first")(x)
    x = keras.layers.Conv2D(4, 3, activation="relu")(x)
    x = y = keras.layers.BatchNormalization(name="after_relu")(x)
    x = keras.layers.Conv2D(4, 3, padding="same")(x)
    x = keras.layers.Add()([x, keras.layers.BatchNormalization(name="used_twice")(x), y])
    x = keras.layers.Conv2D(4, 1)(x)
    x = keras.layers.BatchNormalization(axis=1, name="rows")(x)
    x = keras.layers.Conv2D(4, 1, name="last")(x)
    x = keras.layers.BatchNormalization(scale=False, center=False, name="folded")(x)
    model = _trained(keras.Model(inputs, x))
    folded = fold_batch_norm(model)
    assert [bn.name for bn in _bns(folded)] == ["first", "after_relu", "used_twice", "rows"]
    _assert_same(folded, model, RNG.normal(size=(2, 8, 8, 3)))


def test_an_output_of_the_model_is_not_changed():
    inputs = keras.Input((8, 8, 3))
    conv = keras.layers.Conv2D(4, 3)(inputs)
    model = _trained(keras.Model(inputs, [conv, keras.layers.BatchNormalization()(conv)]))
    folded = fold_batch_norm(model)
    images = RNG.normal(size=(2, 8, 8, 3))
    for ours, theirs in zip(folded.predict(images, verbose=0), model.predict(images, verbose=0), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-5)


def test_a_classifier_of_uint8_pixels_folds_with_its_mean():
    from keras_resnet.models.classifier import build_classifier

    mean = RNG.uniform(0, 255, (16, 16, 3)).astype("float32")
    model = _trained(build_classifier(architectures.cifar_architecture(8), (16, 16, 3), 10, mean))
    folded = fold_batch_norm(model)
    assert folded.input.dtype == "uint8"
    _assert_same(folded, model, RNG.integers(0, 256, (4, 16, 16, 3), dtype="uint8"))


def test_other_kinds_of_model_are_refused():
    wrong = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3)], name="wrong")
    for edit in (fold_batch_norm, inference_copy, fully_convolutional):
        with refused("model", "wrong"):
            edit(wrong)


def test_folding_is_public():
    assert keras_resnet.fold_batch_norm is fold_batch_norm


def _probabilities_at_each_position(model, features, window):
    """Computes average, classifier and softmax of each window of the last feature map, one by one."""
    kernel, bias = (np.asarray(weight) for weight in model.get_layer("predictions").weights)
    height, width = features.shape[1] - window + 1, features.shape[2] - window + 1
    probabilities = np.zeros((len(features), height, width, kernel.shape[1]))
    for y in range(height):
        for x in range(width):
            logits = features[:, y : y + window, x : x + window].mean(axis=(1, 2)) @ kernel + bias
            exponentials = np.exp(logits - logits.max(axis=1, keepdims=True))
            probabilities[:, y, x] = exponentials / exponentials.sum(axis=1, keepdims=True)
    return probabilities


@pytest.mark.parametrize("block", ["basic", "bottleneck"])
def test_fully_convolutional_classifies_every_position(block):
    architecture = architectures.Architecture("net", (1, 1, 1), (8, 16, 32), block=block)
    model = _trained(resnet.ResNet(architecture, input_shape=(64, 64, 3), classes=7))
    headless = resnet.ResNet(architecture, include_top=False)
    for layer in (layer for layer in headless.layers if layer.weights):
        layer.set_weights(model.get_layer(layer.name).get_weights())
    dense = fully_convolutional(model)
    assert not _bns(dense)
    images = RNG.normal(size=(2, 96, 80, 3)).astype("float32")
    outputs = dense.predict(images, verbose=0)
    assert outputs.shape == (2, 3, 2, 7)  # maps of 6x5, windows of 4x4
    expected = _probabilities_at_each_position(model, headless.predict(images, verbose=0), 4)
    np.testing.assert_allclose(outputs, expected, atol=1e-5)


@pytest.mark.slow
def test_fully_convolutional_at_224_is_the_model_itself():
    # Logits, because the probabilities of such a model are 0 and 1 whatever is done to it.
    model = _trained(constructors.ResNet18(classes=10, classifier_activation=None))
    images = RNG.normal(size=(2, 224, 224, 3)).astype("float32")
    outputs, expected = (m.predict(images, verbose=0) for m in (fully_convolutional(model), model))
    np.testing.assert_allclose(outputs[:, 0, 0], expected, atol=1e-5 * np.abs(expected).max())


def test_fully_convolutional_scales_the_mean_image():
    mean = RNG.uniform(0, 255, (8, 8, 1)).astype("float32")
    model = _trained(build_classifier(architectures.cifar_architecture(8), (8, 8, 1), 10, mean))
    dense = fully_convolutional(model)
    images = RNG.integers(0, 256, (3, 8, 8, 1), "uint8")
    np.testing.assert_allclose(
        dense.predict(images, verbose=0)[:, 0, 0], model.predict(images, verbose=0), atol=1e-5
    )
    # A resized mean image becomes zero, as the mean image itself does.
    subtraction = dense.get_layer("mean_subtraction")
    scaled = np.asarray(PIL.Image.fromarray(mean[..., 0]).resize((16, 16), PIL.Image.Resampling.BILINEAR))
    np.testing.assert_allclose(subtraction(scaled[None, ..., None]), np.zeros((1, 16, 16, 1)), atol=1e-3)


def test_models_without_a_window_are_refused():
    model = constructors.CifarResNet(8, input_shape=(None, None, 3))
    with refused("model", "cifar_resnet8"):
        fully_convolutional(model)
    with refused("model", "cifar_resnet8"):
        fully_convolutional(constructors.CifarResNet(8, include_top=False, input_shape=(32, 32, 3)))
