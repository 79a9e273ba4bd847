import keras
import numpy as np
import pytest
import tensorflow as tf
from helpers.errors import refused

from keras_resnet import basic_block, bottleneck_block, conv_bn, dense_block
from keras_resnet.models.blocks import identity_shortcut, shortcut_branch, zero_padding_shortcut
from keras_resnet.models.layers import BATCH_NORM_EPSILON, ZeroPaddingShortcut


def _names(block, filters, shape=(8, 8, 4), **options):
    x = keras.Input(shape)
    return {layer.name for layer in keras.Model(x, block(x, filters, name="b", **options)).layers[1:]}


BASIC = {"b_1_conv", "b_1_bn", "b_1_relu", "b_2_conv", "b_2_bn", "b_out"}
BOTTLENECK = BASIC | {"b_2_relu", "b_3_conv", "b_3_bn"}
DENSE = {name.replace("conv", "dense") for name in BASIC}
PROJECTION = {"b_0_conv", "b_0_bn"}


@pytest.mark.parametrize(
    ("shortcut", "grows", "branch"),
    [
        ("A", False, {"b_add"}),
        ("A", True, {"b_add", "b_0_pad"}),
        ("B", False, {"b_add"}),
        ("B", True, {"b_add"} | PROJECTION),
        ("C", False, {"b_add"} | PROJECTION),
        ("C", True, {"b_add"} | PROJECTION),
        (None, False, set()),
        (None, True, set()),
    ],
)
def test_shortcut_is_the_options(shortcut, grows, branch):
    assert _names(basic_block, 8 if grows else 4, shortcut=shortcut) == BASIC | branch
    assert _names(bottleneck_block, 8 if grows else 1, shortcut=shortcut) == BOTTLENECK | branch
    dense = _names(dense_block, 8 if grows else 4, shape=(4,), shortcut=shortcut)
    assert dense == DENSE | {name.replace("conv", "dense") for name in branch}


def test_stride_alone_changes_the_dimensions():
    strided = {"b_1_pad", "b_0_pool"}
    assert _names(basic_block, 4, stride=2, shortcut="B") == BASIC | strided | PROJECTION | {"b_add"}


@pytest.mark.parametrize(("variant", "strides"), [("v1", (2, 1, 1)), ("v1.5", (1, 2, 1))])
def test_stride_of_a_bottleneck(variant, strides):
    x = keras.Input((8, 8, 16))
    model = keras.Model(x, bottleneck_block(x, 2, stride=2, variant=variant, name="b"))
    assert tuple(model.get_layer(f"b_{i}_conv").strides[0] for i in (1, 2, 3)) == strides
    assert model.output_shape == (None, 4, 4, 8)


@pytest.mark.parametrize("size", [8, 9])
@pytest.mark.parametrize("channels", [1, 4, 7, 8, 15, 16, 17])
def test_gradient_of_a_strided_1x1_convolution_of_any_width(channels, size):
    """As float64's, which oneDNN leaves alone: its own is wrong for narrow inputs."""
    rng = np.random.default_rng(channels)
    images = rng.normal(size=(8, size, size, channels)).astype("float32")
    kernel = rng.normal(size=(1, 1, channels, 5)).astype("float32")
    x = keras.Input((size, size, channels))
    model = keras.Model(x, conv_bn(x, 5, 1, stride=2, name="c"))
    model.get_layer("c_conv").kernel.assign(kernel)
    features = keras.Model(x, model.get_layer("c_conv").output)
    weights = rng.normal(size=(8, (size + 1) // 2, (size + 1) // 2, 5))
    with tf.GradientTape() as tape:
        output = features(images)
        loss = tf.reduce_sum(output * weights.astype("float32"))
    gradient = tape.gradient(loss, features.trainable_variables)[0]
    positions = images[:, ::2, ::2].astype("float64")
    np.testing.assert_allclose(output, positions @ kernel[0, 0], rtol=1e-4, atol=1e-5)
    expected = np.einsum("nhwc,nhwd->cd", positions, weights)
    np.testing.assert_allclose(gradient[0, 0], expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("size", [8, 9])
@pytest.mark.parametrize("shortcut", ["A", "B"])
@pytest.mark.parametrize("block", [basic_block, bottleneck_block])
def test_any_size_is_halved_rounding_up(block, shortcut, size):
    x = keras.Input((None, None, 4))
    model = keras.Model(x, block(x, 8, stride=2, shortcut=shortcut, name="b"))
    assert model(np.zeros((1, size, size + 1, 4), "float32")).shape[1:3] == (
        -(-size // 2),
        -(-(size + 1) // 2),
    )


@pytest.mark.parametrize(
    ("block", "options", "rates"),
    [
        (basic_block, {"dilation": 2}, (2, 2)),
        (basic_block, {"dilation": 4, "first_dilation": 2}, (2, 4)),
        (bottleneck_block, {"dilation": 2}, (1, 2, 1)),
        (bottleneck_block, {"dilation": 4, "first_dilation": 2}, (1, 4, 1)),
        (bottleneck_block, {"dilation": 4, "first_dilation": 2, "variant": "v1.5"}, (1, 2, 1)),
    ],
)
def test_dilation_of_a_block(block, options, rates):
    x = keras.Input((9, 8, 4))
    model = keras.Model(x, block(x, 4, name="b", **options))
    names = [f"b_{number}_conv" for number in range(1, len(rates) + 1)]
    assert tuple(model.get_layer(name).dilation_rate[0] for name in names) == rates
    assert model.output_shape[1:3] == (9, 8)


def test_stride_and_dilation_in_one_convolution_are_refused():
    with pytest.raises(ValueError, match="strides"):
        basic_block(keras.Input((8, 8, 4)), 4, stride=2, dilation=2, name="b")


@pytest.mark.parametrize("size", [6, 7])
def test_zero_padding_is_subsampling_and_zeros(size):
    x = np.random.default_rng(0).normal(size=(2, size, size + 1, 3)).astype("float32")
    padded = np.asarray(ZeroPaddingShortcut(5, 2)(x))
    np.testing.assert_array_equal(padded[..., :3], x[:, ::2, ::2])
    assert not padded[..., 3:].any()
    assert padded.shape[-1] == 5
    vector = np.asarray(ZeroPaddingShortcut(5)(x[:, 0, 0]))
    np.testing.assert_array_equal(vector, np.pad(x[:, 0, 0], ((0, 0), (0, 2))))


def test_impossible_identity_is_refused_with_both_shapes():
    x = keras.Input((8, 8, 4))
    for options, expected in (
        ({"filters": 6}, "(None, 8, 8, 6)"),
        ({"filters": 4, "stride": 2}, "(None, 4, 4, 4)"),
    ):
        with refused("shortcut") as caught:
            identity_shortcut(x, name="b", **options)
        assert "(None, 8, 8, 4)" in caught.value.reason
        assert expected in caught.value.reason
    assert identity_shortcut(x, 4, name="b") is x


def test_zero_padding_to_fewer_channels_is_refused_with_both_shapes():
    with refused("shortcut") as caught:
        zero_padding_shortcut(keras.Input((8, 8, 4)), 2, name="b")
    assert "(None, 8, 8, 4)" in caught.value.reason
    assert "(None, 8, 8, 2)" in caught.value.reason
    with refused("shortcut") as caught:
        dense_block(keras.Input((9,)), 3, shortcut="A", name="b")
    assert "(None, 9)" in caught.value.reason
    assert "(None, 3)" in caught.value.reason


def test_unknown_options_are_refused():
    x = keras.Input((8, 8, 4))
    with refused("shortcut", "D"):
        shortcut_branch(x, 4, shortcut="D", name="b")
    with refused("variant", "v2"):
        bottleneck_block(x, 4, variant="v2", name="b")


@pytest.mark.parametrize("block", [basic_block, bottleneck_block, dense_block])
def test_each_weighted_layer_is_normalized_before_its_activation(block):
    x = keras.Input((4,) if block is dense_block else (8, 8, 4))
    model = keras.Model(x, block(x, 8, shortcut="C", name="b"))
    weighted = [layer for layer in model.layers if layer.name.endswith(("_conv", "_dense"))]
    assert len(weighted) == (4 if block is bottleneck_block else 3)
    for layer in weighted:
        assert not layer.use_bias
        assert layer.activation is keras.activations.linear
        (consumer,) = [node.operation for node in layer._outbound_nodes]
        assert isinstance(consumer, keras.layers.BatchNormalization)


def _convolve(x, kernel, stride, padding):
    """Convolves by definition, with symmetric padding."""
    x = np.pad(x, ((0, 0), (padding, padding), (padding, padding), (0, 0)))
    size = kernel.shape[0]
    rows, columns = ((side - size) // stride + 1 for side in x.shape[1:3])
    out = np.zeros((len(x), rows, columns, kernel.shape[-1]))
    for i in range(rows):
        for j in range(columns):
            window = x[:, i * stride : i * stride + size, j * stride : j * stride + size]
            out[:, i, j] = np.tensordot(window, kernel, 3)
    return out


@pytest.mark.parametrize("size", [6, 7])
def test_basic_block_is_the_papers_equation(size):
    """relu(BN(W2 relu(BN(W1 x))) + BN(Ws x)), computed by NumPy."""
    random = np.random.default_rng(0)
    inputs = keras.Input((size, size, 3))
    model = keras.Model(inputs, basic_block(inputs, 5, stride=2, shortcut="B", name="b"))
    for layer in model.layers:
        layer.set_weights(
            [random.uniform(0.2, 1, w.shape) - (w.ndim == 4) * 0.6 for w in layer.get_weights()]
        )
    x = random.normal(size=(2, size, size, 3))

    def weighted(x, number, stride, padding):
        bn = model.get_layer(f"b_{number}_bn")
        gamma, beta, mean, variance = bn.get_weights()
        y = _convolve(x, model.get_layer(f"b_{number}_conv").get_weights()[0], stride, padding)
        return gamma * (y - mean) / np.sqrt(variance + BATCH_NORM_EPSILON) + beta

    residual = weighted(np.maximum(weighted(x, 1, 2, 1), 0), 2, 1, 1)
    expected = np.maximum(residual + weighted(x, 0, 2, 0), 0)
    np.testing.assert_allclose(model(x.astype("float32")), expected, rtol=1e-4, atol=1e-5)


def test_plain_convolution_pads_symmetrically():
    """For an even size at stride 2, where TensorFlow's "same" does not."""
    inputs = keras.Input((6, 6, 1))
    model = keras.Model(inputs, conv_bn(inputs, 1, 3, stride=2, activation=None, name="c"))
    kernel = np.arange(9.0).reshape(3, 3, 1, 1)
    model.get_layer("c_conv").set_weights([kernel])
    x = np.random.default_rng(0).normal(size=(1, 6, 6, 1))
    expected = _convolve(x, kernel, 2, 1) / np.sqrt(1 + BATCH_NORM_EPSILON)
    np.testing.assert_allclose(model(x.astype("float32")), expected, rtol=1e-4, atol=1e-4)


@pytest.fixture
def data_format(request):
    before = keras.config.image_data_format()
    keras.config.set_image_data_format(request.param)
    yield
    keras.config.set_image_data_format(before)


@pytest.mark.parametrize("data_format", ["channels_last", "channels_first"], indirect=True)
@pytest.mark.parametrize("block", [basic_block, bottleneck_block])
def test_drop_path_drops_the_residual_branch_of_an_entire_image(block, data_format):
    keras.utils.set_random_seed(0)
    filters, last = {basic_block: (8, "b_2_bn"), bottleneck_block: (2, "b_3_bn")}[block]
    inputs = keras.Input((8, 8, 8))
    model = keras.Model(inputs, block(inputs, filters, drop_path=0.75, name="b"))
    branch = keras.Model(inputs, model.get_layer(last).output)
    assert model.get_layer("b_add").input[1] is model.get_layer("b_drop").output
    x = np.random.default_rng(0).normal(size=(400, 8, 8, 8)).astype("float32")
    of_any_size = tf.function(
        lambda x: (model(x, training=True), branch(x, training=True)),
        input_signature=[tf.TensorSpec((None, 8, 8, 8))],
    )
    outputs, residual = of_any_size(x)
    without = np.maximum(x, 0)
    kept = np.any(abs(outputs - without) > 1e-4, axis=(1, 2, 3))
    np.testing.assert_allclose(
        outputs,
        np.where(kept[:, None, None, None], np.maximum(x + 4 * residual, 0), without),
        rtol=1e-4,
        atol=1e-4,
    )
    assert np.mean(kept) == pytest.approx(0.25, abs=0.07)  # three standard deviations
    np.testing.assert_allclose(model(x), np.maximum(x + branch(x), 0), rtol=1e-4, atol=1e-4)


def test_a_block_without_a_shortcut_has_no_branch_to_drop():
    for block in (basic_block, bottleneck_block):
        with refused("drop_path", 0.5):
            block(keras.Input((8, 8, 4)), 4, shortcut=None, drop_path=0.5, name="b")
