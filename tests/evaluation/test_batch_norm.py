import keras
import numpy as np
import pytest
from helpers.errors import refused
from helpers.nets import ARCHITECTURES, trained_model

from keras_resnet.data.sources import digits
from keras_resnet.evaluation import precise_batch_norm

IMAGES = digits.load("train")[0][:90]


def _bns(model):
    return [layer for layer in model.layers if isinstance(layer, keras.layers.BatchNormalization)]


def _in_one_batch(model):
    """Returns a copy with Keras' own averages after one training pass over all images, at momentum 0."""
    config = model.get_config()
    for layer in config["layers"]:
        if "momentum" in layer["config"]:
            layer["config"]["momentum"] = 0.0
    copy = keras.Model.from_config(config)
    copy.set_weights(model.get_weights())
    copy(IMAGES, training=True)
    return copy


@pytest.mark.parametrize("batch", [90, 32], ids=["one batch", "several"])
@pytest.mark.parametrize("name", ["A", "C", "plain", "bottleneck-v1.5", "imagenet-stem"])
def test_statistics_are_those_of_all_images_at_once(name, batch):
    model = trained_model(ARCHITECTURES[name])
    expected = _in_one_batch(model)
    precise_batch_norm(model, np.split(IMAGES, range(batch, len(IMAGES), batch)))
    for bn, other in zip(_bns(model), _bns(expected), strict=True):
        np.testing.assert_allclose(bn.moving_mean, other.moving_mean, rtol=1e-3, atol=1e-4)
        np.testing.assert_allclose(bn.moving_variance, other.moving_variance, rtol=1e-3, atol=1e-5)


def test_nothing_but_the_statistics_changes():
    model = trained_model(ARCHITECTURES["A"])
    before = {weight.path: np.array(weight) for weight in model.weights}
    precise_batch_norm(model, [IMAGES])
    changed = {path for path, value in before.items() if not np.array_equal(value, _weight(model, path))}
    assert {path.rsplit("/", 1)[1] for path in changed} == {"moving_mean", "moving_variance"}


def _weight(model, path):
    return np.array(next(weight for weight in model.weights if weight.path == path))


def test_models_and_batches_without_statistics_are_refused():
    with refused("batches"):
        precise_batch_norm(trained_model(ARCHITECTURES["A"]), [])
    two = keras.Model([one := keras.Input((8,)), other := keras.Input((8,))], one + other, name="sum")
    with refused("model", "sum"):
        precise_batch_norm(two, [IMAGES])
