import keras
import numpy as np
import pytest

import keras_resnet
from keras_resnet.models import resnet
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


@pytest.mark.parametrize("options", [{"classes": 11}, {"shortcut": "C"}], ids=str)
def test_weights_of_another_net_are_refused_by_name(tmp_path, options):
    path = tmp_path / "net.weights.h5"
    _small().save_weights(path)
    with pytest.raises(ValueError, match=r"net\.weights\.h5 do not fit cifar_resnet8"):
        _small(weights=path, **options)


def test_damaged_weights_are_refused_by_name(tmp_path):
    path = tmp_path / "net.weights.h5"
    path.write_bytes(b"no weights at all")
    with pytest.raises(ValueError, match=r"net\.weights\.h5 do not fit"):
        _small(weights=path)
    with pytest.raises(ValueError, match=r"must be a \.weights\.h5 or \.keras file"):
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
