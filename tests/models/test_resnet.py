import inspect

import keras
import numpy as np
import pytest

import keras_resnet
from keras_resnet.models import architectures, resnet
from keras_resnet.models.architectures import Architecture
from keras_resnet.models.layers import MeanSubtraction

IMAGES = np.random.default_rng(0).integers(0, 256, (2, 9, 9, 3)).astype("float32")


@pytest.fixture
def mixed_float16():
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_float16")
    yield
    keras.config.set_dtype_policy(before)


def test_probabilities_are_float32_under_a_mixed_policy(mixed_float16):
    model = resnet.CifarResNet(8)
    assert model.get_layer("conv2_block1_1_conv").compute_dtype == "float16"
    probabilities = model(np.zeros((2, 32, 32, 3), "float32"))
    assert keras.backend.standardize_dtype(probabilities.dtype) == "float32"
    np.testing.assert_allclose(np.asarray(probabilities).sum(axis=1), 1, rtol=1e-6)


def _small(**options):
    return resnet.CifarResNet(8, input_shape=(9, 9, 3), **options)


@pytest.mark.parametrize("suffix", [".weights.h5", ".keras"])
def test_weights_from_a_file(tmp_path, suffix):
    model = _small()
    path = tmp_path / f"net{suffix}"
    model.save_weights(path) if suffix == ".weights.h5" else model.save(path)
    again = _small(weights=path)
    np.testing.assert_array_equal(again.predict(IMAGES, verbose=0), model.predict(IMAGES, verbose=0))


def test_weights_of_another_net_are_refused_by_name(tmp_path):
    path = tmp_path / "net.weights.h5"
    _small().save_weights(path)
    with pytest.raises(ValueError, match=r"net\.weights\.h5 do not fit cifar_resnet8"):
        _small(weights=path, shortcut="C")


def test_damaged_weights_are_refused_by_name(tmp_path):
    path = tmp_path / "net.weights.h5"
    path.write_bytes(b"no weights at all")
    with pytest.raises(ValueError, match=r"net\.weights\.h5 is damaged"):
        _small(weights=path)
    with pytest.raises(ValueError, match=r"test_resnet\.py is no file of weights"):
        _small(weights=__file__)


def test_saved_model_with_all_layers_of_this_package_loads(tmp_path):
    inputs = keras.Input((9, 9, 3), dtype="uint8")
    subtraction = MeanSubtraction((9, 9, 3))
    model = resnet.CifarResNet(8, input_tensor=subtraction(inputs))
    subtraction.mean.assign(np.random.default_rng(1).uniform(0, 255, (9, 9, 3)))
    model.save(tmp_path / "net.keras")
    again = keras_resnet.load_model(tmp_path / "net.keras")
    images = IMAGES.astype("uint8")
    np.testing.assert_array_equal(again.predict(images, verbose=0), model.predict(images, verbose=0))


def test_mean_is_subtracted_from_bytes_without_wrapping():
    layer = MeanSubtraction((1, 1, 2))
    images = np.array([[[[0, 255]]]], "uint8")
    layer.build(images.shape)
    layer.mean.assign([[[100.5, 10.0]]])
    np.testing.assert_array_equal(layer(images), [[[[-100.5, 245.0]]]])


def test_initialisation_is_hes_gaussian():
    model = resnet.ResNet18(include_top=False)
    kernel = np.asarray(model.get_layer("conv5_block2_1_conv").kernel)
    expected = np.sqrt(2 / (3 * 3 * 512))
    assert kernel.std() == pytest.approx(expected, rel=0.01)
    assert kernel.mean() == pytest.approx(0, abs=expected / 100)
    # A Gaussian has 4.6% beyond two standard deviations, a truncated one none.
    assert np.mean(abs(kernel) > 2 * expected) == pytest.approx(0.0455, rel=0.05)
    other = np.asarray(model.get_layer("conv5_block2_2_conv").kernel)
    assert abs(np.corrcoef(kernel.ravel(), other.ravel())[0, 1]) < 0.01


def test_seed_repeats_the_initialisation():
    weights = []
    for seed in (1, 1, 2):
        keras.utils.set_random_seed(seed)
        weights.append(_small().get_weights()[0])
    np.testing.assert_array_equal(weights[0], weights[1])
    assert not np.array_equal(weights[0], weights[2])


def test_batch_norm_has_the_released_models_settings():
    layers = [layer for layer in _small().layers if isinstance(layer, keras.layers.BatchNormalization)]
    assert len(layers) == 7
    assert {(layer.epsilon, layer.momentum) for layer in layers} == {(1e-5, 0.9)}


def test_number_of_channels_must_be_known():
    with pytest.raises(ValueError, match="number of channels must be given"):
        resnet.ResNet18(input_shape=(64, 64, None))


def _rates(model):
    return {layer.name: layer.rate for layer in model.layers if isinstance(layer, keras.layers.Dropout)}


def test_drop_path_grows_linearly_over_the_blocks():
    rates = _rates(resnet.CifarResNet(14, drop_path=0.5))
    wanted = {
        "conv2_block2_drop": 0.1,
        "conv3_block1_drop": 0.2,
        "conv3_block2_drop": 0.3,
        "conv4_block1_drop": 0.4,
        "conv4_block2_drop": 0.5,
    }
    assert rates == pytest.approx(wanted)
    assert _rates(resnet.ResNet50(drop_path=0.3))["conv3_block3_drop"] == pytest.approx(0.3 * 5 / 15)
    assert _rates(_small()) == {}


def test_inference_is_as_without_drop_path(tmp_path):
    # Behind a projection Keras orders the layers otherwise where one drops: by their names they still fit.
    model = _small(shortcut="B")
    wanted = model.predict(IMAGES, verbose=0)
    model.save_weights(tmp_path / "net.weights.h5")
    dropping = _small(shortcut="B", weights=tmp_path / "net.weights.h5", drop_path=0.5)
    np.testing.assert_array_equal(dropping.predict(IMAGES, verbose=0), wanted)
    dropping.save(tmp_path / "net.keras")
    assert _rates(keras_resnet.load_model(tmp_path / "net.keras")) == _rates(dropping)
    again = _small(shortcut="B", weights=tmp_path / "net.keras")
    np.testing.assert_array_equal(again.predict(IMAGES, verbose=0), wanted)


@pytest.mark.parametrize("rate", [-0.1, 1.0, float("nan")])
def test_drop_path_is_a_probability_below_one(rate):
    with pytest.raises(ValueError, match="`drop_path` must be at least 0 and less than 1"):
        _small(drop_path=rate)


@pytest.mark.parametrize(("depth", "last"), [(18, 2), (50, 3)])
def test_zero_gamma_begins_each_branch_at_zero(depth, last):
    net = architectures.IMAGENET[depth]
    net = Architecture("net", net.blocks_per_stage, (4, 6, 8, 10), net.block, shortcut="C")
    # Built upon a sum that is no block's.
    image = keras.Input((32, 32, 3))
    doubled = keras.layers.Add(name="image_add")([image, image])
    model = resnet.ResNet(net, input_tensor=doubled, classes=3, zero_gamma=True)
    bns = [layer for layer in model.layers if isinstance(layer, keras.layers.BatchNormalization)]
    zero = {layer.name for layer in bns if not np.any(layer.gamma)}
    blocks = {layer.name.removesuffix("_out") for layer in model.layers if layer.name.endswith("_out")}
    assert len(blocks) == sum(net.blocks_per_stage)
    assert zero == {f"{block}_{last}_bn" for block in blocks}
    assert all(np.all(np.asarray(layer.gamma) == 1) for layer in bns if layer.name not in zero)


@pytest.mark.parametrize("given", [IMAGES, "images"], ids=["array", "text"])
def test_what_is_no_tensor_of_keras_is_refused_to_build_upon(given):
    with pytest.raises(ValueError, match=f"`input_tensor` must be a Keras .*; got {type(given).__name__}"):
        resnet.CifarResNet(8, input_tensor=given)


def test_zero_gamma_is_for_new_nets(tmp_path):
    path = tmp_path / "net.weights.h5"
    _small().save_weights(path)
    with pytest.raises(ValueError, match="`zero_gamma` is for new nets"):
        _small(weights=path, zero_gamma=True)


@pytest.mark.parametrize("options", [{"drop_path": 0.1}, {"zero_gamma": True}], ids=str)
def test_plain_nets_have_no_branches(options):
    (option,) = options
    for make in (_small, resnet.ResNet18):
        with pytest.raises(ValueError, match=f"`{option}` is for nets with shortcuts"):
            make(shortcut=None, **options)
    with pytest.raises(ValueError, match=f"`{option}` is for nets with shortcuts; plainnet34 has none"):
        resnet.PlainNet34(**options)


def test_constructors_tell_their_arguments():
    shared = list(inspect.signature(resnet.ResNet).parameters)[1:]
    options = ["output_stride", "drop_path", "zero_gamma"]
    assert shared[-3:] == options
    for make, first, own, classes in (
        (resnet.ResNet34, [], ["shortcut", "variant"], 1000),
        (resnet.PlainNet18, [], [], 1000),
        (resnet.CifarResNet, ["depth"], ["shortcut"], 10),
        (resnet.CifarPlainNet, ["depth"], [], 10),
    ):
        arguments = inspect.signature(make).parameters
        assert list(arguments) == [*first, *shared[:-3], *own, *options]
        assert arguments["classes"].default == classes
        assert all(argument.annotation is not inspect.Parameter.empty for argument in arguments.values())
        keyword_only = [name for name in arguments if arguments[name].kind is inspect.Parameter.KEYWORD_ONLY]
        assert keyword_only == [*own, *options]
    with pytest.raises(TypeError, match="depth"):
        resnet.CifarResNet()
    with pytest.raises(TypeError, match="shortcut"):
        resnet.PlainNet18(shortcut="A")
    assert resnet.CifarPlainNet(8).output_shape == (None, 10)
    assert resnet.CifarResNet(8, False, None, None, (9, 9, 3), "max").output_shape == (None, 64)
