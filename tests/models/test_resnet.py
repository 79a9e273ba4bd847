import inspect

import keras
import numpy as np
import pytest
from helpers.errors import refused
from helpers.marks import slow

import keras_resnet
from keras_resnet.models import architectures, constructors, resnet
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
    model = constructors.CifarResNet(8)
    assert model.get_layer("conv2_block1_1_conv").compute_dtype == "float16"
    probabilities = model(np.zeros((2, 32, 32, 3), "float32"))
    assert keras.backend.standardize_dtype(probabilities.dtype) == "float32"
    np.testing.assert_allclose(np.asarray(probabilities).sum(axis=1), 1, rtol=1e-6)


def _small(**options):
    return constructors.CifarResNet(8, input_shape=(9, 9, 3), **options)


@pytest.mark.parametrize("suffix", [".weights.h5", ".keras"])
def test_weights_from_a_file(tmp_path, suffix):
    model = _small()
    path = tmp_path / f"net{suffix}"
    model.save_weights(path) if suffix == ".weights.h5" else model.save(path)
    again = _small(weights=path)
    np.testing.assert_array_equal(again.predict(IMAGES, verbose=0), model.predict(IMAGES, verbose=0))


def test_weights_of_another_architecture_are_refused_by_name(tmp_path):
    path = tmp_path / "net.weights.h5"
    _small().save_weights(path)
    with refused("weights", path) as caught:
        _small(weights=path, shortcut="C")
    assert "cifar_resnet8" in caught.value.reason


def test_damaged_weights_are_refused_by_name(tmp_path):
    path = tmp_path / "net.weights.h5"
    path.write_bytes(b"no weights at all")
    with refused(value=str(path)):
        _small(weights=path)
    with refused(value=__file__):
        _small(weights=__file__)


def test_saved_model_with_all_layers_of_this_package_loads(tmp_path):
    inputs = keras.Input((9, 9, 3), dtype="uint8")
    subtraction = MeanSubtraction((9, 9, 3))
    model = constructors.CifarResNet(8, input_tensor=subtraction(inputs))
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


def test_initialization_is_hes_gaussian():
    model = constructors.ResNet18(include_top=False)
    kernel = np.asarray(model.get_layer("conv5_block2_1_conv").kernel)
    expected = np.sqrt(2 / (3 * 3 * 512))
    assert kernel.std() == pytest.approx(expected, rel=0.01)
    assert kernel.mean() == pytest.approx(0, abs=expected / 100)
    # A Gaussian has 4.6% beyond two standard deviations, a truncated one none.
    assert np.mean(abs(kernel) > 2 * expected) == pytest.approx(0.0455, rel=0.05)
    other = np.asarray(model.get_layer("conv5_block2_2_conv").kernel)
    assert abs(np.corrcoef(kernel.ravel(), other.ravel())[0, 1]) < 0.01


def test_seed_repeats_the_initialization():
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
    with refused("input_shape", (64, 64, None)):
        constructors.ResNet18(input_shape=(64, 64, None))


def _rates(model):
    return {layer.name: layer.rate for layer in model.layers if isinstance(layer, keras.layers.Dropout)}


def test_drop_path_grows_linearly_over_the_blocks():
    rates = _rates(constructors.CifarResNet(14, drop_path=0.5))
    expected = {
        "conv2_block2_drop": 0.1,
        "conv3_block1_drop": 0.2,
        "conv3_block2_drop": 0.3,
        "conv4_block1_drop": 0.4,
        "conv4_block2_drop": 0.5,
    }
    assert rates == pytest.approx(expected)
    assert _rates(constructors.ResNet50(drop_path=0.3))["conv3_block3_drop"] == pytest.approx(0.3 * 5 / 15)
    assert _rates(_small()) == {}


def test_inference_is_as_without_drop_path(tmp_path):
    # Drop path changes the order of Keras' layers after a projection; weights fit by name all the same.
    model = _small(shortcut="B")
    expected = model.predict(IMAGES, verbose=0)
    model.save_weights(tmp_path / "net.weights.h5")
    dropping = _small(shortcut="B", weights=tmp_path / "net.weights.h5", drop_path=0.5)
    np.testing.assert_array_equal(dropping.predict(IMAGES, verbose=0), expected)
    dropping.save(tmp_path / "net.keras")
    assert _rates(keras_resnet.load_model(tmp_path / "net.keras")) == _rates(dropping)
    again = _small(shortcut="B", weights=tmp_path / "net.keras")
    np.testing.assert_array_equal(again.predict(IMAGES, verbose=0), expected)


@pytest.mark.parametrize("rate", [-0.1, 1.0, float("nan")])
def test_drop_path_is_a_probability_below_one(rate):
    with refused("drop_path"):
        _small(drop_path=rate)


@pytest.mark.parametrize(("depth", "last"), [(18, 2), (50, 3)])
def test_zero_gamma_starts_each_branch_at_zero(depth, last):
    original = architectures.IMAGENET[depth]
    filters = (4, 6, 8, 10)
    architecture = Architecture("net", original.blocks_per_stage, filters, original.block, shortcut="C")
    # Built upon a sum that does not belong to a block.
    image = keras.Input((32, 32, 3))
    doubled = keras.layers.Add(name="image_add")([image, image])
    model = resnet.ResNet(architecture, input_tensor=doubled, classes=3, zero_gamma=True)
    bns = [layer for layer in model.layers if isinstance(layer, keras.layers.BatchNormalization)]
    zero = {layer.name for layer in bns if not np.any(layer.gamma)}
    blocks = {layer.name.removesuffix("_out") for layer in model.layers if layer.name.endswith("_out")}
    assert len(blocks) == sum(architecture.blocks_per_stage)
    assert zero == {f"{block}_{last}_bn" for block in blocks}
    assert all(np.all(np.asarray(layer.gamma) == 1) for layer in bns if layer.name not in zero)


@pytest.mark.parametrize("value", [IMAGES, "images"], ids=["array", "text"])
def test_only_keras_tensors_can_be_built_upon(value):
    with refused("input_tensor", type(value).__name__):
        constructors.CifarResNet(8, input_tensor=value)


def test_zero_gamma_is_for_new_models(tmp_path):
    path = tmp_path / "net.weights.h5"
    _small().save_weights(path)
    with refused("zero_gamma", True):
        _small(weights=path, zero_gamma=True)


@pytest.mark.parametrize("options", [{"drop_path": 0.1}, {"zero_gamma": True}], ids=str)
def test_plain_architectures_have_no_branches(options):
    ((option, value),) = options.items()
    for make in (_small, constructors.ResNet18):
        with refused(option, value):
            make(shortcut=None, **options)
    with refused(option, value) as caught:
        constructors.PlainNet34(**options)
    assert "plainnet34" in caught.value.reason


def test_constructors_have_the_arguments_of_resnet():
    shared = list(inspect.signature(resnet.ResNet).parameters)[1:]
    options = ["output_stride", "drop_path", "zero_gamma"]
    assert shared[-3:] == options
    theirs = inspect.signature(resnet.ResNet).parameters
    residual = [getattr(constructors, f"ResNet{depth}") for depth in (18, 34, 50, 101, 152)]
    residual += [constructors.ResNet101V2, constructors.ResNeXt50_32x4d, constructors.ResNet34D]
    plain = [constructors.PlainNet18, constructors.PlainNet34]
    for make, first, own, classes in (
        *((make, [], ["shortcut", "variant"], 1000) for make in residual),
        *((make, [], [], 1000) for make in plain),
        (constructors.CifarResNet, ["depth"], ["shortcut", "block", "preactivation"], 10),
        (constructors.CifarPlainNet, ["depth"], [], 10),
    ):
        arguments = inspect.signature(make).parameters
        for name in shared:
            assert arguments[name].annotation == theirs[name].annotation
            if name not in ("name", "classes"):
                assert arguments[name].default == theirs[name].default
        default_name = None if make.__name__.startswith("Cifar") else make.__name__.lower()
        assert arguments["name"].default == default_name
        assert list(arguments) == [*first, *shared[:-3], *own, *options]
        assert arguments["classes"].default == classes
        assert all(argument.annotation is not inspect.Parameter.empty for argument in arguments.values())
        keyword_only = [name for name in arguments if arguments[name].kind is inspect.Parameter.KEYWORD_ONLY]
        assert keyword_only == [*own, *options]
    with pytest.raises(TypeError, match="depth"):
        constructors.CifarResNet()
    with pytest.raises(TypeError, match="shortcut"):
        constructors.PlainNet18(shortcut="A")
    assert constructors.CifarPlainNet(8).output_shape == (None, 10)
    assert constructors.CifarResNet(8, False, None, None, (9, 9, 3), "max").output_shape == (None, 64)


@pytest.mark.parametrize(
    "constructor",
    [
        slow(constructors.ResNet18),
        slow(constructors.ResNet50),
        constructors.PlainNet18,
        lambda *arguments, **options: constructors.CifarResNet(8, *arguments, **options),
        lambda *arguments, **options: constructors.CifarPlainNet(8, *arguments, **options),
    ],
    ids=["ResNet18", "ResNet50", "PlainNet18", "CifarResNet", "CifarPlainNet"],
)
def test_every_argument_of_a_constructor_has_its_effect(constructor):
    image = keras.Input((32, 32, 1))
    headless = constructor(False, None, image, None, "max", name="own", output_stride=None)
    assert headless.inputs == [image]
    assert headless.layers[-1].name == "max_pool"
    assert headless.name == "own"
    model = constructor(input_shape=(32, 40, 2), classes=7, classifier_activation=None)
    assert model.input_shape == (None, 32, 40, 2)
    assert model.output_shape == (None, 7)
    assert model.get_layer("predictions").activation is keras.activations.linear
    stride = 2 if model.name.startswith("cifar") else 8
    dense = constructor(include_top=False, input_shape=(32, 32, 3), output_stride=stride)
    assert dense.output_shape[1] == 32 // stride
    if "plain" not in model.name:
        options = {"include_top": False, "input_shape": (32, 32, 3), "drop_path": 0.2, "zero_gamma": True}
        model = constructor(**options)
        assert len(_rates(model)) == sum(layer.name.endswith("_add") for layer in model.layers) - 1
        last = [layer for layer in model.layers if isinstance(layer, keras.layers.BatchNormalization)][-1]
        assert not np.any(last.gamma)
