import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_resnet.data import sources
from keras_resnet.data.pipeline import Pipeline
from keras_resnet.data.view import View
from keras_resnet.models import architectures
from keras_resnet.training.classifier import build_classifier
from keras_resnet.training.loop import train
from keras_resnet.training.recipes import Recipe
from keras_resnet.training.strategy import make_strategy, synchronize_batch_norm

DIGITS = sources.find("digits")
VIEW = View(8, whole=True, mirrored=False)
RECIPE = Recipe(source="this test", epochs=3, batch_size=48, learning_rate=0.02)


class Losses(keras.callbacks.Callback):
    """Loss of every step; Keras reports the mean since the epoch began."""

    def __init__(self):
        super().__init__()
        self.values = []

    def on_train_batch_end(self, batch, logs=None):
        self.values.append(logs["loss"])


def _train(*devices, synchronized):
    keras.utils.set_random_seed(0)
    strategy = make_strategy(*devices)
    images = Pipeline(DIGITS, VIEW)
    mean = images.mean(per_pixel=True)
    losses = Losses()
    with strategy.scope():
        model = build_classifier(architectures.cifar(8), 8, 1, 10, mean)
        if synchronized:
            synchronize_batch_norm(model)
        history = train(
            model,
            images.training_batches(RECIPE.batch_size, RECIPE.epochs, mean),
            # 355 images in batches of 64 leave 35, of which the second device would get three.
            images.evaluation_batches(64, strategy.num_replicas_in_sync),
            RECIPE,
            steps_per_epoch=10,
            callbacks=[losses],
        ).history
    return strategy.num_replicas_in_sync, losses.values, history


@pytest.fixture
def float64():
    """Where a sum over devices rounds otherwise, a ReLU may open that was closed; not with 29 bits more."""
    keras.config.set_floatx("float64")
    keras.config.set_dtype_policy("float64")
    yield
    keras.config.set_floatx("float32")
    keras.config.set_dtype_policy("float32")


def test_two_devices_train_as_one(float64):
    one, losses, history = _train("CPU:0", synchronized=True)
    two, mirrored_losses, mirrored_history = _train("CPU:0", "CPU:1", synchronized=True)
    assert (one, two) == (1, 2)
    assert len(losses) == 30
    np.testing.assert_allclose(mirrored_losses, losses, rtol=1e-6)
    for metric in ("val_loss", "val_error", "error"):
        np.testing.assert_allclose(mirrored_history[metric], history[metric], rtol=1e-6)


def test_without_synchronisation_each_device_has_its_own_statistics():
    _, losses, _ = _train("CPU:0", synchronized=False)
    _, mirrored_losses, _ = _train("CPU:0", "CPU:1", synchronized=False)
    assert abs(np.array(mirrored_losses) / losses - 1).max() > 1e-3


def test_without_gpus_there_is_nothing_to_mirror():
    assert not tf.config.list_logical_devices("GPU")
    assert make_strategy() is tf.distribute.get_strategy()
