"""Grad-CAM against closed forms and numerical gradients."""

import keras
import numpy as np
import PIL.Image
import pytest
from helpers.errors import refused
from helpers.marks import slow
from helpers.nets import ARCHITECTURES, trained_model

from keras_resnet.data.sources import digits
from keras_resnet.evaluation import grad_cam
from keras_resnet.evaluation.class_activation import draw_grad_cam, feature_layer

GRAY = digits.load("test")[0][:4]
RGB = np.random.default_rng(1).integers(0, 256, (3, 32, 32, 3), "uint8")


def _cam(model, images, classes, layer):
    """Returns the CAM of Zhou et al. 2016 over the number of positions: channels weighted by the head."""
    features = keras.Model(model.inputs, model.get_layer(layer).output).predict(images, verbose=0)
    kernel = model.get_layer("predictions").get_weights()[0]
    maps = np.einsum("nhwk,kn->nhw", features.astype("float64"), kernel[:, classes])
    return np.maximum(maps, 0) / maps[0].size


@pytest.mark.parametrize(
    ("name", "images"),
    [
        pytest.param("A", GRAY, id="A-gray"),
        pytest.param("bottleneck-v1.5", RGB, id="bottleneck-v1.5-rgb", marks=pytest.mark.slow),
        pytest.param("imagenet-stem", RGB, id="imagenet-stem-rgb", marks=pytest.mark.slow),
    ],
)
def test_the_last_map_gives_cam(name, images):
    """Behind it are a global average pool and one fully connected layer."""
    model = trained_model(ARCHITECTURES[name], images.shape[1], images.shape[3])
    layer = feature_layer(model)
    assert layer == model.layers[-3].name
    for classes in (None, list(range(len(images)))):
        likeliest = model.predict(images, verbose=0).argmax(axis=1)
        expected = _cam(model, images, likeliest if classes is None else classes, layer)
        heat_maps = grad_cam(model, images, classes)
        assert heat_maps.dtype == np.float32
        assert expected.any()
        np.testing.assert_allclose(heat_maps, expected, rtol=1e-3, atol=1e-5 * expected.max())


@pytest.mark.slow
def test_keras_applications_models_give_cam():
    keras.utils.set_random_seed(0)
    model = keras.applications.ResNet50(weights=None, input_shape=(64, 64, 3), classes=10)
    images = np.random.default_rng(0).normal(0, 50, (2, 64, 64, 3)).astype("float32")
    heat_maps = grad_cam(model, images, [3, 4])
    expected = _cam(model, images, [3, 4], "conv5_block3_out")
    assert heat_maps.shape == (2, 2, 2)
    assert expected.any()
    np.testing.assert_allclose(heat_maps, expected, rtol=1e-3, atol=1e-5 * expected.max())


def test_a_hidden_map_is_weighted_by_the_gradient_of_the_logit():
    """For a map that a shortcut bypasses; the BN behind it uses its moving statistics."""
    random = np.random.default_rng(2)
    image = keras.Input((6, 6, 1))
    first = keras.layers.Conv2D(3, 3, activation="tanh", name="first")(image)
    hidden = keras.layers.Conv2D(4, 1, activation="tanh", name="hidden")(first)
    branch = keras.layers.Conv2D(3, 1, use_bias=False, name="branch")(hidden)
    branch = keras.layers.BatchNormalization(name="bn")(branch)
    x = keras.layers.Activation("tanh")(keras.layers.Add()([first, branch]))
    x = keras.layers.GlobalAveragePooling2D()(x)
    model = keras.Model(image, keras.layers.Dense(3, activation="softmax", name="predictions")(x))
    model.set_weights([random.uniform(0.3, 1.2, weight.shape) for weight in model.get_weights()])
    images = random.normal(0, 1, (2, 6, 6, 1)).astype("float32")
    tapped = keras.Model(image, [first, hidden])
    shortcut, maps = (values.astype("float64") for values in tapped.predict(images, verbose=0))
    gamma, beta, mean, variance = model.get_layer("bn").get_weights()
    kernel = model.get_layer("branch").get_weights()[0][0, 0]
    classifier = model.get_layer("predictions").get_weights()[0]

    def logits(maps):
        normalized = (maps @ kernel - mean) / np.sqrt(variance + model.get_layer("bn").epsilon)
        return np.tanh(shortcut + gamma * normalized + beta).mean(axis=(1, 2)) @ classifier

    step, expected = 1e-5, 0
    for channel in range(4):
        # All positions of a channel together, since their mean is its weight.
        change = step * (np.arange(4) == channel)
        slope = (logits(maps + change) - logits(maps - change))[:, 2] / (2 * step)
        expected = expected + slope[:, None, None] / 16 * maps[..., channel]
    heat_maps = grad_cam(model, images, [2, 2], layer="hidden")
    assert 0 < np.mean(expected > 0) < 1
    np.testing.assert_allclose(heat_maps, np.maximum(expected, 0), rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("trainable", [True, False], ids=["trainable", "frozen"])
def test_the_model_stays_as_it_is(trainable):
    model = trained_model(ARCHITECTURES["A"])
    expected = grad_cam(model, GRAY)
    model.trainable = trainable
    model.get_layer("predictions").trainable = not trainable
    model.compile(loss=lambda truth, predicted: 0.0 * predicted)  # which Keras could not copy
    before = model.get_config(), model.get_weights(), model.predict(GRAY, verbose=0)
    flags = [weight.trainable for weight in model.weights]
    np.testing.assert_array_equal(grad_cam(model, GRAY), expected)
    assert model.get_config() == before[0]
    for weight, value in zip(model.get_weights(), before[1], strict=True):
        np.testing.assert_array_equal(weight, value)
    assert [weight.trainable for weight in model.weights] == flags
    np.testing.assert_array_equal(model.predict(GRAY, verbose=0), before[2])


@pytest.mark.parametrize("policy", [slow("mixed_bfloat16"), "mixed_float16"])
def test_half_types_are_computed_in_float32(policy):
    half, full = trained_model(ARCHITECTURES["A"], policy=policy), trained_model(ARCHITECTURES["A"])
    full.set_weights(half.get_weights())
    for layer in (None, "conv2_block1_1_conv"):
        expected = grad_cam(full, GRAY, [1, 2, 3, 4], layer=layer)
        heat_maps = grad_cam(half, GRAY, [1, 2, 3, 4], layer=layer)
        assert heat_maps.dtype == np.float32
        np.testing.assert_allclose(heat_maps, expected, rtol=1e-4, atol=1e-5 * expected.max())


def _sequential(convolution, *end):
    return keras.Sequential([keras.Input((8, 8, 1)), convolution, keras.layers.GlobalMaxPooling2D(), *end])


def _nested(convolution, *end):
    """Has a nested model for features, as in transfer learning."""
    image = keras.Input((8, 8, 1))
    x = keras.Sequential([keras.Input((8, 8, 1)), convolution], name="features")(image)
    for layer in (keras.layers.GlobalMaxPooling2D(), *end):
        x = layer(x)
    return keras.Model(image, x)


@pytest.mark.parametrize("build", [_sequential, _nested])
@pytest.mark.parametrize("end", ["softmax", "sigmoid", "Activation", "Softmax", "operation", None])
def test_every_end_of_a_classifier_gives_the_gradient_of_the_logit(build, end):
    keras.utils.set_random_seed(1)
    convolution = keras.layers.Conv2D(5, 3, activation="relu", name="map")
    dense = keras.layers.Dense(3, activation=end if end in ("softmax", "sigmoid") else None)
    own = {"Activation": [keras.layers.Activation("softmax")], "Softmax": [keras.layers.Softmax()]}
    model = build(convolution, dense, *own.get(end, []))
    if end == "operation":
        model = keras.Model(model.inputs, keras.ops.softmax(model.outputs[0]))
    assert feature_layer(model) == ("map" if build is _sequential else "features")
    images = GRAY / np.float32(255)
    maps = keras.ops.convert_to_numpy(convolution(images))
    # The gradient of a global max pool is 1 where the largest value is, of those that are alone.
    weights = dense.get_weights()[0][:, 1] * (maps.max(axis=(1, 2)) > 0)
    expected = np.maximum(np.einsum("nhwk,nk->nhw", maps, weights) / 36, 0)
    assert expected.any()
    np.testing.assert_allclose(grad_cam(model, images, [1] * 4), expected, rtol=1e-4, atol=1e-6)


def test_a_map_in_front_of_all_weights():
    """In a model of integers, for images with fractions."""
    image = keras.Input((8, 8, 1), dtype="uint8")
    x = keras.layers.Rescaling(1 / 255, name="map")(image)
    model = keras.Model(image, keras.layers.Dense(2)(keras.layers.GlobalAveragePooling2D()(x)))
    model.layers[-1].set_weights([np.array([[-1.0, 64.0]]), np.zeros(2)])
    images = GRAY + np.float32(0.5)
    np.testing.assert_allclose(grad_cam(model, images, [1] * 4), images[..., 0] / 255, rtol=1e-5)


def test_the_global_pool_is_the_last_of_them():
    """Squeeze-and-excitation blocks have one inside."""
    image = keras.Input((8, 8, 4))
    squeezed = keras.layers.GlobalAveragePooling2D(keepdims=True)(image)
    excited = keras.layers.Multiply(name="excited")([image, squeezed])
    pooled = keras.layers.GlobalAveragePooling2D()(excited)
    assert feature_layer(keras.Model(image, keras.layers.Dense(2)(pooled))) == "excited"


def test_a_map_without_a_gradient_is_zero():
    image = keras.Input((8, 8, 1))
    x = keras.ops.stop_gradient(keras.layers.Conv2D(2, 3, name="map")(image))
    model = keras.Model(image, keras.layers.Dense(2)(keras.layers.GlobalAveragePooling2D()(x)))
    assert not grad_cam(model, GRAY, layer="map").any()


def test_arguments_that_do_not_fit_the_model_are_refused():
    model = trained_model(ARCHITECTURES["A"])
    for layer in ("conv9", "avg_pool"):
        with refused("layer", layer) as caught:
            grad_cam(model, GRAY, layer=layer)
        assert "conv4_block1_out" in caught.value.reason  # which would work
    for classes in ([1, 2], [0.5] * 4, [1, 2, 3, 10], [1, 2, 3, -1]):
        with refused("classes", classes):
            grad_cam(model, GRAY, classes)
    with refused("images", 0):
        grad_cam(model, GRAY[:0])


def test_models_of_another_kind_are_refused():
    image = keras.Input((8, 8, 1), name="image")
    x = keras.layers.Conv2D(2, 3, name="map")(image)
    flat = keras.Model(image, keras.layers.Dense(2)(keras.layers.Flatten()(x)), name="flat")
    assert grad_cam(flat, GRAY, layer="map").shape == (4, 6, 6)
    pooled = keras.layers.GlobalAveragePooling2D()(x)
    first = keras.layers.GlobalAveragePooling2D(data_format="channels_first")(x)
    reasons = set()
    for model in (
        flat,
        keras.Model(image, x, name="map"),
        keras.Sequential([keras.layers.Dense(2)], name="empty"),
        keras.Model(image, keras.layers.Dense(2)(first), name="first"),
        keras.Model(image, keras.ops.square(pooled), name="bare"),
    ):
        with refused("model", model.name) as caught:
            grad_cam(model, GRAY)
        reasons.add(caught.value.reason)
    assert len(reasons) == 4  # two are no classifiers


@pytest.mark.parametrize(("side", "channels", "drawn"), [(8, 1, 448), (150, 3, 450), (460, 3, 460)])
def test_a_drawing_has_the_picture_and_brightens_where_the_map_is_high(tmp_path, side, channels, drawn):
    picture = np.full((side, side, channels), 100, "uint8")
    picture[: side // 2] = 140
    heat_map = np.array([[0, 0.2], [0.1, 0.02]], "float32")
    draw_grad_cam(picture, heat_map, tmp_path / "drawing.png", "99.9% " + 100 * "long name ")
    with PIL.Image.open(tmp_path / "drawing.png") as drawing:
        pixels = np.asarray(drawing.convert("RGB"))
    margin = (pixels.shape[1] - 2 * drawn) // 3
    bottom = pixels.shape[0] - margin
    left = pixels[bottom - drawn : bottom, margin : margin + drawn]
    plain = PIL.Image.fromarray(picture[..., 0]).resize((drawn, drawn), PIL.Image.Resampling.BICUBIC)
    np.testing.assert_array_equal(left, np.repeat(np.asarray(plain)[..., None], 3, axis=2))
    right = pixels[bottom - drawn : bottom, -margin - drawn : -margin].mean(axis=2)
    quarter = drawn // 4
    assert right[quarter, -quarter] > right[quarter, quarter] + 10
    assert right[-quarter, quarter] > right[-quarter, -quarter] + 10
    assert (pixels[:, -margin:] == 255).all()  # the title ends where its picture does
    assert (pixels[: bottom - drawn, -margin - drawn :] < 100).any()


def test_a_map_of_zeros_is_drawn(tmp_path):
    draw_grad_cam(GRAY[0], np.zeros((2, 2), "float32"), tmp_path / "drawing.png", "nothing")
    with PIL.Image.open(tmp_path / "drawing.png") as drawing:
        right = np.asarray(drawing)[-20, -20]
    assert right[2] > right[1]  # the dark blue of the lowest value


def test_one_image_is_explained_in_front_of_a_strided_projection():
    """oneDNN's gradient of that filter, which is not needed, wrote beyond its memory for one image."""
    keras.utils.set_random_seed(0)
    image = keras.Input((32, 32, 3))
    x = keras.layers.Conv2D(8, 3, padding="same", name="map")(image)
    x = keras.layers.GlobalAveragePooling2D()(keras.layers.Conv2D(16, 1, strides=2)(x))
    model = keras.Model(image, keras.layers.Dense(3, "softmax")(x))
    pixels = np.random.default_rng(0).integers(0, 256, (4, 32, 32, 3)).astype("uint8")
    alone = [grad_cam(model, pixels[:1], layer="map") for _ in range(5)]
    for one in alone:
        np.testing.assert_allclose(one[0], grad_cam(model, pixels, layer="map")[0], rtol=1e-3, atol=1e-4)


def test_the_function_is_not_hidden_by_its_module():
    import keras_resnet.evaluation

    assert callable(keras_resnet.evaluation.grad_cam)
