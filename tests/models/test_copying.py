"""Copies of models answer as the models do, whatever is in front of, behind or around a network."""

import keras
import numpy as np
import pytest
from helpers.errors import refused

from keras_resnet import CifarResNet, deepen, fold_batch_norm, fully_convolutional
from keras_resnet.evaluation import grad_cam
from keras_resnet.models.preprocessing import preprocess_input
from keras_resnet.models.surgery import inference_copy

layers = keras.layers
IMAGES = np.random.default_rng(0).integers(0, 256, (5, 8, 8, 3), "uint8")
# As a name in a module, which what Keras makes of a function's code does not see.
SCALE = 0.01


class Own(layers.Layer):
    def build(self, shape):
        self.scale = self.add_weight(shape=(shape[-1],), initializer="ones")

    def call(self, x):
        return x * self.scale


class Finalized(layers.Layer):
    """Computes with a number that follows from its weight."""

    number = 0.0

    def build(self, shape):
        self.mean = self.add_weight(shape=(), initializer="zeros", trainable=False)

    def adapt(self, images):
        self.build(images.shape)
        self.mean.assign(images.mean())
        self.finalize_state()

    def finalize_state(self):
        self.number = float(self.mean.numpy())

    def load_own_variables(self, store):
        super().load_own_variables(store)
        self.finalize_state()

    def call(self, x):
        return (x - self.number) / 64


class Composed(layers.Layer):
    def __init__(self, **options):
        super().__init__(**options)
        self.normalization, self.convolution = layers.Normalization(), layers.Conv2D(3, 1)

    def build(self, shape):
        self.normalization.build(shape)
        self.convolution.build(shape)

    def call(self, x):
        return self.convolution(self.normalization(x))


class Counting(layers.Layer):
    calls = 0

    def call(self, x):
        self.calls += 1
        return x / 100


class Hidden(layers.Layer):
    """Has state that is no weight and not in its config."""

    mean = 0.0

    def adapt(self, images):
        self.mean = float(images.mean())

    def call(self, x):
        return (x - self.mean) / 64


class Forgetful(layers.Layer):
    def __init__(self, factor=1.0, **options):
        super().__init__(**options)
        self.factor = factor

    def call(self, x):
        return x * self.factor

    def get_config(self):
        return super().get_config()


def _adapted(layer):
    layer.adapt(IMAGES.astype("float32"))
    return layer


def _lookup(x):
    lookup = layers.IntegerLookup()
    lookup.adapt(IMAGES.astype("int64").ravel()[:300])
    return keras.ops.cast(lookup(keras.ops.cast(x, "int64")), "float32") / 50.0


def _own(x):
    layer = Own()
    layer.build(x.shape)
    layer.scale.assign([0.01, 0.02, 0.03])
    return layer(x)


def _scaled(x):
    return x * SCALE


def _composed(x):
    layer = Composed()
    layer.build(x.shape)
    layer.normalization.adapt(IMAGES.astype("float32"))
    return layer(x)


def _block():
    return [layers.Conv2D(3, 3, padding="same", use_bias=False), layers.BatchNormalization(), layers.ReLU()]


FRONTS = {
    "Normalization": lambda x: _adapted(layers.Normalization())(x),
    "nested Normalization": lambda x: keras.Sequential(
        [keras.Sequential([_adapted(layers.Normalization())]), layers.RandomFlip()]
    )(x),
    "Pipeline": lambda x: layers.Pipeline([layers.RandomBrightness(0.2), _adapted(layers.Normalization())])(
        x
    ),
    "Discretization": lambda x: layers.Rescaling(0.1)(_adapted(layers.Discretization(num_bins=8))(x)),
    "IntegerLookup": _lookup,
    "random": lambda x: layers.RandomZoom(0.2)(layers.RandomContrast(0.3)(layers.Rescaling(1 / 255)(x))),
    "own weights": _own,
    "finalize_state": lambda x: _adapted(Finalized())(x),
    "composed": _composed,
    "counting": lambda x: Counting()(x),
    "Lambda": lambda x: layers.Lambda(lambda pixels: keras.ops.cast(pixels, "float32") * SCALE)(x),
    "wrapped": lambda x: layers.TimeDistributed(layers.Dense(3, activation=_scaled))(x),
    "lambda activation": lambda x: layers.Activation(lambda pixels: pixels * SCALE)(x),
    "division": lambda x: x / 255.0,
    "operations": lambda x: keras.ops.flip(keras.ops.clip(x - 127.5, -100, 100), 2)[:, ::-1] / 64.0,
    "variable": lambda x: x * keras.Variable(0.01),
    "preprocess_input": lambda x: preprocess_input(x) / 100.0,
    "nested net": lambda x: keras.Sequential([keras.Sequential(_block())])(x / 255.0),
    "two nested": lambda x: layers.Average()(
        [keras.Sequential(_block(), name=name)(x / 255.0) for name in ("left", "right")]
    ),
    "shared": lambda x: (lambda net: net(net(x / 255.0)))(keras.Sequential(_block())),
}
# Whose original computes integers in another way than floats.
INTEGERS = {
    "division": lambda x: x / 255,
    "wraps around": lambda x: (x * 2) / 255,
    "Resizing": lambda x: layers.Rescaling(1 / 255)(layers.Resizing(8, 8)(layers.Resizing(5, 5)(x))),
    "nested": lambda x: keras.Sequential([keras.Input((8, 8, 3), dtype="uint8"), layers.Rescaling(1 / 255)])(
        x
    ),
}


def _model(front, dtype="float32", policy="float32"):
    keras.utils.set_random_seed(0)
    keras.config.set_dtype_policy(policy)
    try:
        image = keras.Input((8, 8, 3), dtype=dtype)
        x = front(image)
        for layer in (*_block(), layers.GlobalAveragePooling2D(), layers.Dense(4)):
            x = layer(x)
        model = keras.Model(image, layers.Softmax(dtype="float32")(x), name="net")
    finally:
        keras.config.set_dtype_policy("float32")
    random = np.random.default_rng(0)
    for bn in _batch_norms(model):
        bn.moving_mean.assign(random.normal(0, 0.3, bn.moving_mean.shape))
        bn.moving_variance.assign(random.uniform(0.5, 2, bn.moving_variance.shape))
    return model


def _batch_norms(model):
    return [layer for layer in model._flatten_layers() if isinstance(layer, layers.BatchNormalization)]


def _answers(model, dtype="float32"):
    return np.asarray(model(IMAGES.astype(dtype), training=False), "float32")


def _assert_copies_answer_as(model, dtype="float32", tolerance=1e-5):
    expected = _answers(model, dtype)
    folded = fold_batch_norm(model)
    np.testing.assert_allclose(_answers(folded, dtype), expected, atol=tolerance)
    for edit in (inference_copy, fully_convolutional):
        copy = edit(model)
        np.testing.assert_allclose(_answers(copy).reshape(expected.shape), expected, atol=tolerance)
        assert not _batch_norms(copy)
        assert {layer.compute_dtype for layer in copy._flatten_layers()} <= {"float32", "int64"}
    np.testing.assert_array_equal(_answers(model, dtype), expected)
    return folded


@pytest.mark.parametrize("front", FRONTS)
def test_every_copy_answers_as_the_model(front):
    folded = _assert_copies_answer_as(_model(FRONTS[front]))
    assert not _batch_norms(folded)


@pytest.mark.parametrize("front", INTEGERS)
def test_integers_are_computed_as_in_the_model(front):
    _assert_copies_answer_as(_model(INTEGERS[front], "uint8"), "uint8")


def test_fractions_of_pixels_count_where_the_model_turns_them_into_floats():
    copy = inference_copy(_model(INTEGERS["division"], "uint8"))
    assert np.abs(np.asarray(copy(IMAGES + np.float32(0.75))) - _answers(copy)).max() > 1e-5


@pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16"])
@pytest.mark.parametrize("front", ["nested net", "composed"])
def test_nested_models_of_half_types_become_float32(front, policy):
    _assert_copies_answer_as(_model(FRONTS[front], policy=policy), tolerance=0.02)


@pytest.mark.parametrize("kind", [Hidden, Forgetful])
def test_a_layer_with_hidden_state_is_refused_by_name(kind):
    layer = Forgetful(0.01, name="odd") if kind is Forgetful else _adapted(Hidden(name="odd"))
    model = _model(layer)
    for edit in (fold_batch_norm, inference_copy, fully_convolutional, lambda model: grad_cam(model, IMAGES)):
        with refused("model", "net") as caught:
            edit(model)
        assert "odd" in caught.value.reason
        assert len(str(caught.value)) < 500


class Unfinished(layers.Layer):
    """Cannot be made from its config."""

    def __init__(self, function, **options):
        super().__init__(**options)
        self._function = function

    def call(self, x):
        return self._function(x)


@pytest.mark.parametrize(
    "layer",
    [
        Unfinished(lambda x: x / 255, name="odd"),
        # Keras would make the function from code, which it does for trusted files only.
        layers.TimeDistributed(layers.Lambda(lambda row: row * SCALE), name="odd"),
    ],
    ids=["no config", "code in the config"],
)
def test_a_layer_that_cannot_be_made_from_its_config_is_refused_in_a_sentence(layer):
    with refused("model", "net") as caught:
        fold_batch_norm(_model(layer))
    assert f"odd ({type(layer).__name__})" in caught.value.reason
    assert len(str(caught.value)) < 500


class OwnCall(keras.Model):
    """Does not compute what its graph says."""

    def call(self, inputs, training=None, mask=None):
        return 1 - super().call(inputs, training=training, mask=mask)


def test_a_model_that_computes_something_else_than_its_graph_is_refused():
    image = keras.Input((8, 8, 3))
    model = OwnCall(image, layers.Dense(2)(layers.GlobalAveragePooling2D()(image)), name="own")
    for edit in (fold_batch_norm, inference_copy, fully_convolutional):
        with refused("model", "own"):
            edit(model)


class Standardized(layers.Conv2D):
    """Does not use its kernel as it is."""

    def call(self, x):
        kernel = self.kernel - keras.ops.mean(self.kernel, axis=(0, 1, 2))
        return keras.ops.conv(x, kernel / keras.ops.std(kernel), padding="same")


def test_batch_norm_is_folded_into_layers_of_known_kinds_only():
    def front(x):
        x = layers.Conv2D(3, 1)(x / 255.0)
        x = layers.BatchNormalization(name="batch_statistics")(x, training=True)
        return layers.BatchNormalization(name="own_kind")(Standardized(3, 3, padding="same")(x))

    model = _model(front)
    folded = fold_batch_norm(model)
    assert [bn.name for bn in _batch_norms(folded)] == ["batch_statistics", "own_kind"]
    np.testing.assert_allclose(_answers(folded), _answers(model), atol=1e-5)


def test_layers_that_were_called_in_another_model_are_copied_as_they_are_in_this_one():
    """Where an activation stands between the convolution and the batch normalization of the first model."""
    image = keras.Input((8, 8, 3))
    convolution, bn, head = layers.Conv2D(3, 1), layers.BatchNormalization(), layers.GlobalAveragePooling2D()
    first = keras.Model(image, head(bn(convolution(image))), name="first")
    second = keras.Model(image, head(bn(keras.ops.relu(convolution(image)))), name="second")
    bn.moving_mean.assign([3.0, 2.0, 1.0])
    for model, kept in ((first, 1), (second, 1)):
        folded = fold_batch_norm(model)
        np.testing.assert_allclose(_answers(folded), _answers(model), rtol=1e-4, atol=1e-4)
        assert len(_batch_norms(folded)) == (0 if model is first else kept)


def test_trainable_flags_are_copied():
    model = _model(FRONTS["nested net"])
    nested = next(layer for layer in model.layers if isinstance(layer, keras.Sequential))
    nested.layers[0].trainable = False
    inner = fold_batch_norm(model).get_layer(nested.name)
    assert not inner.get_layer(nested.layers[0].name).trainable
    assert inner.trainable
    assert [layer.trainable for layer in model.layers] == [True] * len(model.layers)


def test_a_deepened_model_has_the_state_of_every_layer():
    normalized = _adapted(layers.Normalization())(keras.Input((8, 8, 3)))
    model = CifarResNet(8, input_tensor=keras.ops.flip(normalized, 2))
    np.testing.assert_allclose(_answers(deepen(model, 14)), _answers(model), atol=1e-5)


@pytest.mark.parametrize("front", ["division", "nested Normalization"])
def test_a_net_inside_of_another_model_is_explained_as_alone(front):
    network = CifarResNet(8, input_shape=(8, 8, 3), classes=4)
    image, inner = keras.Input((8, 8, 3)), keras.Input((8, 8, 3))
    prepare = keras.Model(inner, FRONTS[front](inner))
    model = keras.Model(image, network(prepare(image)))
    expected = grad_cam(network, _answers(prepare), [0, 1, 2, 3, 0])
    np.testing.assert_allclose(grad_cam(model, IMAGES, [0, 1, 2, 3, 0]), expected, rtol=1e-3, atol=1e-7)


@pytest.mark.parametrize("mode", ["int8", "int4", "float8"])
def test_quantized_layers_are_copied_as_they_are(mode):
    model = _model(FRONTS["division"])
    model.quantize(mode, filters=lambda layer: isinstance(layer, layers.Dense))
    expected = _answers(model)
    for edit in (fold_batch_norm, inference_copy, fully_convolutional):
        copy = edit(model)
        assert [layer.quantization_mode for layer in copy.layers if layer.quantization_mode] == [mode]
        np.testing.assert_allclose(_answers(copy).reshape(expected.shape), expected, atol=1e-5)


def test_a_network_on_top_of_another_one_is_refused_with_the_cure():
    image = keras.Input((8, 8, 3))
    features = CifarResNet(8, include_top=False, input_tensor=image)
    with refused("input_tensor") as caught:
        CifarResNet(8, input_tensor=features.output)
    assert "`name`" in caught.value.reason


def test_two_networks_of_different_names_make_one_model():
    """Called in turn, as in an ensemble, and one twice, as in a siamese network."""
    image, other = keras.Input((8, 8, 3)), keras.Input((8, 8, 3))
    left, right = (CifarResNet(8, input_shape=(8, 8, 3), name=name) for name in ("left", "right"))
    model = keras.Model([image, other], layers.Average()([left(image), right(image), left(other)]))
    pair = [IMAGES / np.float32(255), IMAGES[::-1] / np.float32(255)]
    folded = fold_batch_norm(model)
    assert not _batch_norms(folded)
    np.testing.assert_allclose(np.asarray(folded(pair)), np.asarray(model(pair)), atol=1e-5)
