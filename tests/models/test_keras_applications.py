"""ResNet50, 101 and 152 compared with keras.applications': same model, same call, same refusals."""

import inspect

import keras
import numpy as np
import pytest
from helpers.errors import refused
from helpers.marks import slow

import keras_resnet
from keras_resnet.models import constructors
from keras_resnet.models.layers import BATCH_NORM_EPSILON

THEIR_EPSILON = 1.001e-5
OPTIONS = ["output_stride", "drop_path", "zero_gamma"]


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
    """Copies their weights to our model; a bias is subtracted from the mean of BN."""
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


shapes_alone = pytest.mark.usefixtures("no_values")


@pytest.mark.parametrize("size", [slow(64), 75])
def test_same_logits(size):
    options = {"weights": None, "input_shape": (size, size, 3), "classifier_activation": None}
    theirs = _with_random_weights(keras.applications.ResNet50(**options))
    ours = constructors.ResNet50(**options)
    _copy(theirs, ours)
    images = np.random.RandomState(1).standard_normal((2, size, size, 3)).astype("float32")
    expected = theirs.predict(images, verbose=0)
    assert abs(expected).max() > 0.5
    np.testing.assert_allclose(ours.predict(images, verbose=0), expected, rtol=0, atol=1e-4)


@shapes_alone
@pytest.mark.parametrize("depth", [50, slow(101), slow(152)])
def test_same_layer_names(depth):
    theirs = getattr(keras.applications, f"ResNet{depth}")(weights=None)
    ours = getattr(constructors, f"ResNet{depth}")()
    names = [{layer.name for layer in model.layers[1:]} for model in (theirs, ours)]
    assert names[0] == names[1]
    assert ours.name == theirs.name


@pytest.mark.parametrize("depth", [50, 101, 152])
def test_same_signature_but_for_the_download(depth):
    theirs = inspect.signature(getattr(keras.applications, f"ResNet{depth}")).parameters
    ours = inspect.signature(getattr(constructors, f"ResNet{depth}")).parameters
    shared = list(ours)[: len(theirs)]
    assert shared == list(theirs)
    differing = [name for name in shared if ours[name].default != theirs[name].default]
    assert differing == ["weights"]
    assert ours["weights"].default is None
    assert list(ours)[len(theirs) :] == ["shortcut", "variant", *OPTIONS]


@pytest.mark.parametrize(
    "mistake",
    [
        {"weights": "imagenot"},
        {"input_shape": (31, 31, 3)},
        {"input_shape": (31, 64, 3), "include_top": False},
        {"input_shape": (64, 64)},
        slow({"weights": "FILE", "classifier_activation": "relu", "input_shape": (32, 32, 3)}),
    ],
    ids=str,
)
def test_same_refusals(mistake, tmp_path):
    options = {"weights": None, **mistake}
    if options["weights"] == "FILE":
        options["weights"] = str(tmp_path / "some.weights.h5")
        constructors.ResNet50(input_shape=(32, 32, 3)).save_weights(options["weights"])
    for constructor in (keras.applications.ResNet50, constructors.ResNet50):
        with pytest.raises(ValueError, match=r"weights|input_shape|Input size|classifier_activation"):
            constructor(**options)


@shapes_alone
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
    ours = constructors.ResNet50(weights=None, **options)
    assert ours.input_shape == theirs.input_shape
    assert ours.output_shape == theirs.output_shape
    assert ours.layers[-1].name == theirs.layers[-1].name


def test_builds_upon_a_tensor():
    inputs = keras.Input((64, 64, 1))
    colored = keras.layers.Concatenate()([inputs] * 3)
    ours = constructors.ResNet50(input_tensor=colored, classes=4)
    assert ours.input is inputs
    assert ours.output_shape == (None, 4)


def test_any_size_with_the_top_is_ours_alone():
    """The head is a global average, so that nothing in the model depends on the size."""
    with pytest.raises(ValueError, match="static `input_shape`"):
        keras.applications.ResNet50(weights=None, input_shape=(None, None, 3))
    model = constructors.ResNet18(input_shape=(None, None, 3), classes=5)
    for size in (32, 47):
        assert model(np.zeros((1, size, size + 9, 3), "float32")).shape == (1, 5)


def test_unknown_pooling_is_refused():
    with refused("pooling", "mean"):
        constructors.ResNet18(include_top=False, pooling="mean")


@pytest.fixture(params=[slow(keras.applications), keras_resnet], ids=["keras", "ours"])
def package(request):
    """The package to import, all that differs for a user; keras.applications shows that a test is right."""
    return request.param


@pytest.fixture(params=["channels_last", "channels_first"])
def data_format(request):
    before = keras.config.image_data_format()
    keras.config.set_image_data_format(request.param)
    yield request.param
    keras.config.set_image_data_format(before)


def _in_format(data_format, height, width, channels):
    return (height, width, channels) if data_format == "channels_last" else (channels, height, width)


@shapes_alone
@pytest.mark.filterwarnings("ignore:This model usually expects 1 or 3 input channels")
@pytest.mark.parametrize(
    ("image", "features"),
    [
        ((None, None, 1), (None, None, 2048)),
        ((None, None, 4), (None, None, 2048)),
        ((123, 123, 3), (4, 4, 2048)),
        ((150, None, 3), (5, None, 2048)),
    ],
    ids=str,
)
def test_any_size_and_channels_without_the_top(package, data_format, image, features):
    shape = _in_format(data_format, *image)
    model = package.ResNet50(weights=None, include_top=False, input_shape=shape)
    assert model.input_shape == (None, *shape)
    assert model.output_shape == (None, *_in_format(data_format, *features))


@shapes_alone
def test_input_shape_follows_the_data_format(package, data_format):
    model = package.ResNet50(weights=None)
    assert model.input_shape == (None, *_in_format(data_format, 224, 224, 3))
    assert model.output_shape == (None, 1000)
    body = package.ResNet50(weights=None, include_top=False)
    assert body.input_shape == (None, *_in_format(data_format, None, None, 3))


@shapes_alone
def test_builds_upon_another_layer(package, data_format):
    images = keras.Input(_in_format(data_format, 200, 200, 4), name="images")
    colors = keras.layers.Conv2D(3, 2, strides=2, name="colors")(images)
    model = package.ResNet50(weights=None, include_top=False, input_tensor=colors)
    assert model.inputs == [images]
    assert [layer.name for layer in model.layers[:3]] == ["images", "colors", "conv1_pad"]
    assert model.output_shape == (None, *_in_format(data_format, 4, 4, 2048))


@shapes_alone
def test_builds_upon_several_inputs(package):
    parts = [keras.Input((64, 64, channels)) for channels in (1, 2)]
    both = keras.layers.Concatenate()(parts)
    model = package.ResNet50(weights=None, include_top=False, input_tensor=both, pooling="avg")
    assert model.inputs == parts


@shapes_alone
@pytest.mark.parametrize(("depth", "pooling"), [(50, "max"), slow(101, "avg"), slow(152, "max")])
@pytest.mark.parametrize("data_format", ["channels_first"], indirect=True)
def test_pooling_leaves_the_features(package, data_format, depth, pooling):
    model = getattr(package, f"ResNet{depth}")(weights=None, include_top=False, pooling=pooling)
    assert model.output_shape == (None, 2048)
    pool = model.layers[-1]
    assert pool.name == f"{pooling}_pool"
    assert type(pool).__name__ == {"avg": "GlobalAveragePooling2D", "max": "GlobalMaxPooling2D"}[pooling]


@shapes_alone
@pytest.mark.parametrize(
    ("activation", "name"),
    [("softmax", "softmax"), (None, "linear"), (keras.activations.sigmoid, "sigmoid")],
)
def test_activation_of_the_classifier(package, activation, name):
    model = package.ResNet50(
        weights=None, input_shape=(32, 32, 3), classes=3, classifier_activation=activation, name="net"
    )
    assert model.layers[-1].activation.__name__ == name
    assert model.name == "net"


@shapes_alone
def test_rebuilt_from_its_configuration(package):
    model = package.ResNet50(weights=None)
    again = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(model))
    assert [layer.name for layer in again.layers] == [layer.name for layer in model.layers]
    assert [(weight.path, weight.shape) for weight in again.weights] == [
        (weight.path, weight.shape) for weight in model.weights
    ]


@pytest.mark.slow
def test_saved_and_loaded(package, tmp_path):
    """As a model by keras.models.load_model, and by its weights."""
    options = {"input_shape": (32, 32, 3), "include_top": False, "pooling": "avg"}
    model = package.ResNet50(weights=None, **options)
    model.save(tmp_path / "net.keras")
    model.save_weights(tmp_path / "net.weights.h5")
    loaded = keras.models.load_model(tmp_path / "net.keras")
    assert loaded.to_json() == model.to_json()
    # For weights alone ours has to know where a bottleneck has its stride.
    extra = {"variant": "v1"} if package is keras_resnet else {}
    for again in (loaded, package.ResNet50(weights=str(tmp_path / "net.weights.h5"), **options, **extra)):
        for ours, expected in zip(again.weights, model.weights, strict=True):
            np.testing.assert_array_equal(ours, expected)


@pytest.mark.parametrize(
    "mistake",
    [
        {"weights": "some.weights.h5"},
        {"weights": "imagenet", "classifier_activation": "relu"},
        {"input_shape": (31, 200, 3)},
        {"input_shape": (200, 31, 3), "include_top": False},
        {"input_shape": (100, 3), "include_top": False},
        {"input_shape": (20, 20, 5), "include_top": False},
    ],
    ids=str,
)
@pytest.mark.filterwarnings("ignore:This model usually expects 1 or 3 input channels")
def test_refusals_in_either_data_format(package, data_format, mistake):
    shape = mistake.get("input_shape", ())
    if data_format == "channels_first" and shape:
        mistake = {**mistake, "input_shape": (shape[-1], *shape[:-1])}
    with pytest.raises(ValueError, match=r"`weights`|activation|`input_shape` must be|Input size must be"):
        package.ResNet50(**{"weights": None, **mistake})
