"""preprocess_input and decode_predictions, and keras.applications': one set of tests for both."""

import jax.numpy as jnp
import keras
import numpy as np
import pytest
import tensorflow as tf
from helpers.errors import refused
from keras.src.applications import imagenet_utils

from keras_resnet.models import preprocessing
from keras_resnet.models.layers import MeanSubtraction
from keras_resnet.weights import registry

MEAN = np.array([103.939, 116.779, 123.68])
CLASS_INDEX = {str(index): [f"n{index:08}", f"class {index}"] for index in range(1000)}


@pytest.fixture(params=[keras.applications.resnet, preprocessing], ids=["keras", "ours"])
def module(request, monkeypatch):
    """The module to import, which is all that differs for a user; both have the class names cached."""
    monkeypatch.setattr(imagenet_utils, "CLASS_INDEX", CLASS_INDEX)
    monkeypatch.setattr(preprocessing, "class_index", lambda: CLASS_INDEX)
    return request.param


def _pixels(shape, dtype="float32"):
    return np.random.RandomState(0).uniform(0, 255, shape).astype(dtype)


def _expected(pixels):
    return pixels[..., ::-1].astype("float64") - MEAN


def _first(x):
    return np.moveaxis(x, -1, -3)


def _close(answer, expected):
    np.testing.assert_allclose(keras.ops.convert_to_numpy(answer), expected, rtol=0, atol=1e-4)


@pytest.mark.parametrize("shape", [(2, 10, 12, 3), (10, 12, 3)], ids=["batch", "single"])
@pytest.mark.parametrize("dtype", ["float32", "float64", "int32", "uint8"])
def test_blue_green_red_less_their_means(module, shape, dtype):
    pixels = _pixels(shape, dtype)
    expected = _expected(pixels)
    _close(module.preprocess_input(pixels.copy()), expected)
    _close(module.preprocess_input(pixels.copy(), "channels_last"), expected)
    _close(module.preprocess_input(_first(pixels).copy(), data_format="channels_first"), _first(expected))


@pytest.mark.parametrize(
    ("dtype", "expected"), [("float64", "float64"), ("float32", "float32"), ("int64", "float32")]
)
def test_floats_keep_their_type_and_integers_become_floats(module, dtype, expected):
    assert module.preprocess_input(_pixels((4, 4, 3), dtype)).dtype == expected


def test_array_of_floats_is_written_over(module):
    """As in keras.applications: that saves memory, and surprises callers that reuse the pixels."""
    pixels = _pixels((2, 10, 12, 3))
    answer = module.preprocess_input(pixels)
    np.testing.assert_array_equal(pixels[..., ::-1], answer)


def test_array_of_integers_stays_as_it_is(module):
    pixels = _pixels((2, 10, 12, 3), "int32")
    before = pixels.copy()
    module.preprocess_input(pixels)
    np.testing.assert_array_equal(pixels, before)


@pytest.mark.parametrize("data_format", ["channels_last", "channels_first"])
def test_the_default_format_is_keras_global_one(module, data_format):
    before = keras.config.image_data_format()
    keras.config.set_image_data_format(data_format)
    try:
        shape = (2, 3, 5, 3)  # either end could be the colors
        pixels = _pixels(shape)
        _close(module.preprocess_input(pixels.copy()), module.preprocess_input(pixels.copy(), data_format))
    finally:
        keras.config.set_image_data_format(before)


@pytest.mark.parametrize("data_format", ["channels_middle", "", "NHWC"])
def test_unknown_format_is_refused(module, data_format):
    with pytest.raises(ValueError, match="data_format"):
        module.preprocess_input(_pixels((4, 4, 3)), data_format)


@pytest.mark.parametrize("shape", [(2, 10, 12, 3), (10, 12, 3)], ids=["batch", "single"])
def test_tensors_are_normalized_as_arrays_are(module, shape):
    pixels = _pixels(shape)
    tensor = tf.constant(pixels)
    _close(module.preprocess_input(tensor), _expected(pixels))
    _close(module.preprocess_input(tf.constant(_first(pixels)), "channels_first"), _first(_expected(pixels)))
    np.testing.assert_array_equal(tensor, pixels)


INTEGERS = ("uint8", "int8", "uint16", "int16", "uint32", "int32", "uint64", "int64")
# What a type's rounding adds to values up to 160.
ROUNDING = {"float16": 160 * 2**-11, "bfloat16": 160 * 2**-8}
FRAMEWORKS = {"tensorflow": lambda x, dtype: tf.cast(x, dtype), "jax": lambda x, dtype: jnp.asarray(x, dtype)}


@pytest.mark.parametrize("framework", FRAMEWORKS)
@pytest.mark.parametrize("data_format", ["channels_last", "channels_first"])
@pytest.mark.parametrize("shape", [(2, 4, 5, 3), (4, 5, 3)], ids=["batch", "single"])
def test_tensors_of_any_type_become_floats_that_are_right(framework, data_format, shape):
    """keras.applications computes in the tensor's own type, where 0 - 103.939 is 153 in uint8."""
    pixels = np.random.RandomState(0).randint(0, 128, shape)
    expected = _expected(pixels)
    if data_format == "channels_first":
        pixels, expected = _first(pixels), _first(expected)
    for dtype in (*INTEGERS, "float16", "bfloat16", "float32", "float64"):
        if framework == "jax" and "64" in dtype:
            continue  # JAX has none by default
        answer = preprocessing.preprocess_input(FRAMEWORKS[framework](pixels, dtype), data_format)
        assert answer.dtype == ("float32" if dtype in INTEGERS else dtype)
        np.testing.assert_allclose(
            np.asarray(answer).astype("float64"), expected, rtol=0, atol=ROUNDING.get(dtype, 1e-4)
        )


def test_pixels_of_a_data_pipeline_and_of_an_input_become_floats():
    pixels = _pixels((4, 10, 12, 3), "uint8")
    batches = tf.data.Dataset.from_tensor_slices(pixels).map(preprocessing.preprocess_input).batch(4)
    assert batches.element_spec.dtype == tf.float32
    _close(next(iter(batches)), _expected(pixels))
    inputs = keras.Input((None, None, 3), dtype="uint8")
    outputs = preprocessing.preprocess_input(inputs)
    assert outputs.dtype == "float32"
    _close(keras.Model(inputs, outputs)(pixels), _expected(pixels))


def test_a_read_only_array_is_copied():
    pixels = _pixels((4, 5, 3))
    expected = _expected(pixels)
    pixels.flags.writeable = False
    _close(preprocessing.preprocess_input(pixels), expected)


@pytest.mark.parametrize("shape", [(4, 5, 4), (4, 5, 1), (4, 3), (3, 4, 5)])
def test_what_has_not_three_channels_is_refused(shape):
    for pixels in (_pixels(shape), tf.constant(_pixels(shape))):
        with refused("x"):
            preprocessing.preprocess_input(pixels)


@pytest.mark.parametrize("dtype", ["uint8", "int32", "float16", "float32", "float64"])
def test_the_layer_rounds_no_pixels_to_its_half_type(dtype):
    """As a float in bfloat16, 200.3 is 200, and less its mean it has three more digits."""
    pixels = (_pixels((2, 4, 5, 3), "uint8") / 8).astype(dtype) + np.array(0.3).astype(dtype)
    exact = _expected(pixels.astype("float64"))
    for policy, precision in (("mixed_bfloat16", 2**-8), ("mixed_float16", 2**-11), ("float32", 1e-6)):
        answer = _normalize(pixels, "caffe", dtype=policy)
        np.testing.assert_allclose(answer.astype("float64"), exact, rtol=precision, atol=1e-5)
        layer = MeanSubtraction((3,), dtype=policy)
        layer.build(None)
        layer.mean.assign(MEAN)
        answer = keras.ops.convert_to_numpy(layer(pixels[..., ::-1]))
        np.testing.assert_allclose(answer.astype("float64"), exact, rtol=precision, atol=1e-5)


def _inside_a_model(function, pixels):
    """Returns the output of a model with the function in a Lambda layer."""
    inputs = keras.Input(pixels.shape[1:])
    model = keras.Model(inputs, keras.layers.Lambda(function, output_shape=pixels.shape[1:])(inputs))
    return model.predict(pixels, verbose=0)


def test_works_inside_a_model(module):
    pixels = _pixels((2, 10, 12, 3))
    expected = _expected(pixels)
    _close(_inside_a_model(module.preprocess_input, pixels), expected)
    _close(_inside_a_model(lambda x: module.preprocess_input(x, "channels_last"), pixels), expected)
    _close(
        _inside_a_model(lambda x: module.preprocess_input(x, "channels_first"), _first(pixels)),
        _first(expected),
    )


def test_works_on_a_symbolic_tensor(module):
    inputs = keras.Input((10, 12, 3))
    outputs = module.preprocess_input(inputs)
    assert outputs.shape == (None, 10, 12, 3)
    pixels = _pixels((2, 10, 12, 3))
    _close(keras.Model(inputs, outputs)(pixels), _expected(pixels))


def test_works_under_mixed_precision(module):
    keras.config.set_dtype_policy("mixed_float16")
    try:
        inputs = keras.Input((20, 20, 3))
        outputs = keras.layers.Lambda(module.preprocess_input, output_shape=(20, 20, 3))(inputs)
        assert outputs.shape == (None, 20, 20, 3)
    finally:
        keras.config.set_dtype_policy("float32")


def test_works_in_a_data_pipeline(module):
    pixels = _pixels((4, 10, 12, 3))
    batches = tf.data.Dataset.from_tensor_slices(pixels).map(module.preprocess_input).batch(4)
    _close(next(iter(batches)), _expected(pixels))


@pytest.mark.parametrize("dtype", ["float32", "float16", "uint8", "bool"])
def test_likeliest_class_is_named(module, dtype):
    scores = np.zeros((2, 1000), dtype)
    scores[0, 372] = scores[1, 549] = 1
    named = module.decode_predictions(scores, top=1)
    assert named == [[("n00000372", "class 372", 1)], [("n00000549", "class 549", 1)]]


@pytest.mark.parametrize("top", [1, 3, 1000])
def test_best_come_first(module, top):
    scores = np.random.RandomState(0).uniform(size=(2, 1000)).astype("float32")
    named = module.decode_predictions(scores, top)
    assert [len(classes) for classes in named] == [top, top]
    for row, classes in zip(scores, named, strict=True):
        order = sorted(range(1000), key=lambda index: -row[index])[:top]
        assert classes == [(*CLASS_INDEX[str(index)], row[index]) for index in order]
        assert all(type(found) is tuple for found in classes)


def test_five_classes_are_named_by_default(module):
    (classes,) = module.decode_predictions(np.random.RandomState(0).uniform(size=(1, 1000)))
    assert len(classes) == 5


def test_tensor_of_scores_is_decoded(module):
    scores = np.random.RandomState(0).uniform(size=(2, 1000)).astype("float32")
    assert module.decode_predictions(tf.constant(scores)) == module.decode_predictions(scores)


def test_no_images_have_no_classes(module):
    assert module.decode_predictions(np.zeros((0, 1000))) == []


@pytest.mark.parametrize("shape", [(2, 100), (2, 1001), (1000,), (1, 2, 1000)])
def test_other_shapes_of_scores_are_refused(module, shape):
    with pytest.raises(ValueError, match=r"`decode_predictions` expects a batch .*\(samples, 1000\)"):
        module.decode_predictions(np.ones(shape))


def _normalize(pixels, kind, **options):
    return keras.ops.convert_to_numpy(preprocessing.Preprocessing(kind, **options)(pixels))


def test_the_layer_does_what_keras_applications_does():
    pixels = _pixels((2, 10, 12, 3))
    np.testing.assert_allclose(_normalize(pixels, "caffe"), _expected(pixels), rtol=0, atol=1e-4)


@pytest.mark.parametrize("kind", ["torch", "caffe"])
def test_the_layer_treats_channels_first_alike(kind):
    pixels = _pixels((2, 10, 12, 3))
    first = _normalize(_first(pixels), kind, data_format="channels_first")
    np.testing.assert_allclose(first, _first(_normalize(pixels, kind)), rtol=0, atol=1e-5)


@pytest.mark.parametrize("channels", [1, 4])
def test_each_of_other_channels_has_the_mean_of_the_three_means(channels):
    pixels = _pixels((2, 10, 12, channels))
    expected = (pixels / 255 - np.mean([0.485, 0.456, 0.406])) / np.mean([0.229, 0.224, 0.225])
    np.testing.assert_allclose(_normalize(pixels, "torch"), expected, rtol=0, atol=1e-5)


def test_the_layer_comes_back_from_its_config():
    layer = preprocessing.Preprocessing("caffe", "channels_first", name="in_front")
    saved = keras.saving.serialize_keras_object(layer)
    assert saved["config"]["normalization"] == {
        "mean": [123.68, 116.779, 103.939],
        "std": [1.0, 1.0, 1.0],
        "bgr": True,
    }
    again = keras.saving.deserialize_keras_object(saved)
    assert (again.normalization, again.data_format, again.name) == (
        layer.normalization,
        "channels_first",
        "in_front",
    )


def test_unknown_normalization_is_refused():
    with refused("normalization", "bgr"):
        preprocessing.Preprocessing("bgr")


def test_unknown_data_format_of_the_layer_is_refused():
    with refused("data_format", "channel_first"):
        preprocessing.Preprocessing("torch", "channel_first")


def test_names_of_classes_are_read_from_the_file_that_is_downloaded(tmp_path, monkeypatch):
    path = tmp_path / "names.json"
    path.write_text('{"0": ["n01440764", "tench"]}', encoding="utf-8")
    fetched = []
    monkeypatch.setattr(registry.RemoteFile, "fetch", lambda file, what: fetched.append(file) or path)
    assert preprocessing.class_index.__wrapped__() == {"0": ["n01440764", "tench"]}
    assert fetched == [registry.CLASS_INDEX]
