"""The fused layer compared with the stock one, and with the formula in NumPy."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_resnet.models.batch_norm import BatchNormalization

RNG = np.random.default_rng(0)
IMAGES = (3 * RNG.standard_normal((4, 5, 7, 6)) + 2).astype("float32")
WEIGHTS = [
    RNG.uniform(0.5, 2, 6).astype("float32"),  # gamma
    RNG.standard_normal(6).astype("float32"),  # beta
    RNG.standard_normal(6).astype("float32"),  # moving mean
    RNG.uniform(0.5, 2, 6).astype("float32"),  # moving variance
]
OUTPUT_GRADIENT = RNG.standard_normal(IMAGES.shape).astype("float32")


def _layer(kind, **options):
    layer = kind(momentum=0.9, epsilon=1e-5, **options)
    layer.build(IMAGES.shape)
    layer.set_weights(WEIGHTS)
    return layer


def _step(layer, images, training):
    """Returns the output, the gradients by image, gamma and beta, and the averages afterwards."""
    images = tf.constant(images)
    with tf.GradientTape() as tape:
        tape.watch(images)
        y = layer(images, training=training)
        loss = tf.reduce_sum(tf.cast(y, tf.float32) * OUTPUT_GRADIENT[: len(images)])
    gradients = tape.gradient(loss, [images, layer.gamma.value, layer.beta.value])
    return [np.asarray(x, "float32") for x in (y, *gradients, layer.moving_mean, layer.moving_variance)]


def _operations(layer, dtype="float32"):
    images = tf.TensorSpec(IMAGES.shape, dtype)
    graph = tf.function(lambda x: layer(x, training=True)).get_concrete_function(images).graph
    return [operation.type for operation in graph.get_operations()]


@pytest.mark.parametrize("trainable", [True, False])
@pytest.mark.parametrize("training", [True, False])
def test_equals_the_stock_layer(training, trainable):
    fused, stock = (
        _layer(kind, trainable=trainable) for kind in (BatchNormalization, keras.layers.BatchNormalization)
    )
    for _ in range(3):  # each step starts with the averages of the one before
        for ours, theirs in zip(_step(fused, IMAGES, training), _step(stock, IMAGES, training), strict=True):
            np.testing.assert_allclose(ours, theirs, rtol=2e-5, atol=2e-5)


def test_equals_the_formula():
    gamma, beta, moving_mean, moving_variance = WEIGHTS
    mean, variance = IMAGES.mean((0, 1, 2)), IMAGES.var((0, 1, 2))
    layer = _layer(BatchNormalization)
    y = layer(IMAGES, training=True)
    np.testing.assert_allclose(y, gamma * (IMAGES - mean) / np.sqrt(variance + 1e-5) + beta, atol=2e-5)
    np.testing.assert_allclose(layer.moving_mean, 0.9 * moving_mean + 0.1 * mean, rtol=1e-5)
    # The variance of these images, without Bessel's n / (n - 1).
    np.testing.assert_allclose(layer.moving_variance, 0.9 * moving_variance + 0.1 * variance, rtol=1e-5)


@pytest.mark.parametrize("shape", [(1, 1, 1, 6), (2, 1, 1, 6)], ids=str)
def test_few_values_keep_the_averages_of_the_stock_layer(shape):
    images = IMAGES[: shape[0], :1, :1]
    fused, stock = _layer(BatchNormalization), _layer(keras.layers.BatchNormalization)
    for layer in (fused, stock):
        layer(images, training=True)
    np.testing.assert_allclose(fused.moving_variance, stock.moving_variance, rtol=1e-5)


def test_batch_size_need_not_be_known():
    layer, stock = _layer(BatchNormalization), _layer(keras.layers.BatchNormalization)

    @tf.function(input_signature=[tf.TensorSpec((None, None, None, 6))])
    def step(images):
        return layer(images, training=True)

    np.testing.assert_allclose(step(IMAGES), stock(IMAGES, training=True), atol=2e-5)
    np.testing.assert_allclose(layer.moving_variance, stock.moving_variance, rtol=1e-5)


@pytest.mark.parametrize(("half", "tolerance"), [("float16", 2e-3), ("bfloat16", 2e-2)])
@pytest.mark.parametrize("training", [True, False])
def test_half_types_have_float32_statistics(half, tolerance, training):
    images = tf.cast(IMAGES, half)
    fused, stock = (
        _layer(kind, dtype=f"mixed_{half}") for kind in (BatchNormalization, keras.layers.BatchNormalization)
    )
    assert fused(images).dtype == half
    ours, theirs = _step(fused, images, training), _step(stock, images, training)
    for a, b in zip(ours[:4], theirs[:4], strict=True):
        np.testing.assert_allclose(a, b, rtol=tolerance, atol=tolerance * np.abs(b).max())
    for a, b in zip(ours[4:], theirs[4:], strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)
    assert "Cast" not in _operations(fused, half)


def test_is_one_operation_where_the_stock_layer_has_many():
    ours = _operations(_layer(BatchNormalization))
    theirs = _operations(_layer(keras.layers.BatchNormalization))
    assert ours.count("FusedBatchNormV3") == 1
    assert "FusedBatchNormV3" not in theirs
    assert len(ours) < len(theirs)


@pytest.mark.parametrize(
    "options",
    [{"scale": False}, {"center": False}, {"axis": 1}, {"synchronized": True}, {"renorm": True}],
    ids=str,
)
def test_falls_back_to_the_stock_layer(options):
    layers = [kind(**options) for kind in (BatchNormalization, keras.layers.BatchNormalization)]
    ours, theirs = (np.asarray(layer(IMAGES, training=True)) for layer in layers)
    np.testing.assert_array_equal(ours, theirs)
    assert not any("FusedBatchNorm" in name for name in _operations(layers[0]))


def test_masked_images_fall_back_to_the_stock_layer():
    mask = RNG.random(IMAGES.shape[:3]) < 0.5
    ours, theirs = (
        layer(IMAGES, training=True, mask=mask)
        for layer in (_layer(BatchNormalization), _layer(keras.layers.BatchNormalization))
    )
    np.testing.assert_array_equal(ours, theirs)


def test_feature_vectors_fall_back_to_the_stock_layer():
    vectors = IMAGES.reshape(-1, 6)
    ours, theirs = (
        kind()(vectors, training=True) for kind in (BatchNormalization, keras.layers.BatchNormalization)
    )
    np.testing.assert_array_equal(ours, theirs)


def test_has_the_variables_and_config_of_the_stock_layer():
    fused, stock = _layer(BatchNormalization), _layer(keras.layers.BatchNormalization)
    assert [w.name for w in fused.weights] == [w.name for w in stock.weights]
    assert [w.shape for w in fused.trainable_weights] == [w.shape for w in stock.trainable_weights]
    config = {**fused.get_config(), "name": "", "dtype": ""}
    assert config == {**stock.get_config(), "name": "", "dtype": ""}


def _model(kind):
    return keras.Sequential([keras.Input((5, 7, 6)), kind(epsilon=1e-5, name="bn")])


def test_weights_go_both_ways(tmp_path):
    fused, stock = _model(BatchNormalization), _model(keras.layers.BatchNormalization)
    fused.layers[0].set_weights(WEIGHTS)
    fused.save_weights(tmp_path / "net.weights.h5")
    stock.load_weights(tmp_path / "net.weights.h5")
    np.testing.assert_allclose(fused.predict(IMAGES, verbose=0), stock.predict(IMAGES, verbose=0), atol=2e-5)
    stock.save_weights(tmp_path / "back.weights.h5")
    fused.load_weights(tmp_path / "back.weights.h5")
    for weight, value in zip(fused.weights, WEIGHTS, strict=True):
        np.testing.assert_array_equal(weight, value)


@pytest.mark.slow
def test_trains_under_a_mirrored_strategy_as_the_stock_layer():
    from keras_resnet.training.strategy import make_strategy

    strategy = make_strategy("auto", ("CPU:0", "CPU:1"))
    weights = []
    for kind in (BatchNormalization, keras.layers.BatchNormalization):
        with strategy.scope():
            model = _model(kind)
            model.compile(keras.optimizers.SGD(0.1), "mse", jit_compile=False)
            batches = tf.data.Dataset.from_tensors((IMAGES, OUTPUT_GRADIENT)).repeat(3)
            model.fit(batches, epochs=1, verbose=0)
        weights.append(model.get_weights())
    for ours, theirs in zip(*weights, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-5)
        assert not np.allclose(ours, 0)
