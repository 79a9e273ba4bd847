"""The weights that a training ends with are those of its best epoch, and it may end early."""

import dataclasses
import logging
import pathlib
import subprocess
import sys
import textwrap

import keras
import numpy as np
import pytest
from helpers.errors import refused

from keras_resnet.training import Checkpoints, Recipe, train

RNG = np.random.default_rng(0)
X = RNG.normal(size=(256, 4)).astype("float32")
Y = (X[:, 0] + 0.5 * RNG.normal(size=256) > 0).astype("int64")
TRAIN, VALIDATION = (X[:64], Y[:64]), (X[64:], Y[64:])
EPOCHS, STEPS = 8, 4
# Down the gradient for three epochs, and then up.
RATES = (0.1, 0.1, 0.1, -1.0, -1.0, -1.0, -1.0, -1.0)
RECIPE = Recipe("this test", batch_size=16, epochs=EPOCHS, learning_rate=0.1, momentum=0.0, patience=100)


def _model():
    keras.utils.set_random_seed(0)
    return keras.Sequential([keras.Input((4,)), keras.layers.Dense(2, "softmax", name="predictions")])


def _worse():
    return keras.callbacks.LearningRateScheduler(lambda epoch: RATES[epoch])


def _train(folder, *callbacks, model=None, recipe=RECIPE, **options):
    options = {"restore_best": True, **options}
    model = model or _model()
    checkpoints = Checkpoints(folder)
    state = train(
        model,
        TRAIN,
        VALIDATION,
        recipe,
        callbacks=[_worse(), *callbacks],
        checkpoints=checkpoints,
        **options,
    )
    return model, state


def _error(model):
    return np.mean(model.predict(VALIDATION[0], verbose=0).argmax(axis=1) != VALIDATION[1])


def _best(history):
    """The epoch of the lowest error and, of equal ones, of the lowest loss, counted from 1."""
    pairs = list(zip(history["val_error"], history["val_loss"], strict=True))
    return pairs.index(min(pairs)) + 1


@pytest.mark.parametrize("decay", [0.0, 0.5])
def test_a_training_ends_with_the_weights_of_its_best_epoch(decay, tmp_path):
    """With moving averages, with the averages of that epoch."""
    recipe = dataclasses.replace(RECIPE, ema_decay=decay)
    model, state = _train(tmp_path / "best", recipe=recipe)
    best = _best(state.history)
    assert 1 < best < EPOCHS
    assert (state.epoch, state.best_step) == (best, best * STEPS)
    assert state.validation["val_error"] == state.history["val_error"][best - 1]
    assert _error(model) == pytest.approx(min(state.history["val_error"]))
    # A training of so many epochs, with the same rates, has these weights.
    expected, _ = _train(
        tmp_path / "short", recipe=dataclasses.replace(recipe, epochs=best), restore_best=False
    )
    for ours, theirs in zip(model.get_weights(), expected.get_weights(), strict=True):
        np.testing.assert_array_equal(ours, theirs)
    last, state = _train(tmp_path / "last", recipe=recipe, restore_best=False)
    assert state.epoch == EPOCHS
    assert _error(last) == pytest.approx(state.history["val_error"][-1])


def test_of_equal_errors_the_lower_loss_is_better(tmp_path):
    """All epochs have the same error here."""
    data = (np.repeat([[1.0, 0, 0, 0], [-1.0, 0, 0, 0]], 32, axis=0).astype("float32"), np.repeat([1, 0], 32))
    model = _model()
    model.layers[-1].kernel.assign([[-0.1, 0.1]] + [[0, 0]] * 3)
    recipe = dataclasses.replace(RECIPE, epochs=3)
    state = train(
        model, data, data, recipe, callbacks=[], checkpoints=Checkpoints(tmp_path), restore_best=True
    )
    assert state.history["val_error"] == [0, 0, 0]
    assert state.best_step == 3 * STEPS


@pytest.mark.parametrize("step", [5 * STEPS, 5 * STEPS + 2])
def test_a_training_that_is_resumed_behind_its_best_epoch_ends_with_it(step, tmp_path):
    class Interrupt(keras.callbacks.Callback):
        steps = 0

        def on_train_batch_end(self, batch, logs=None):
            self.steps += 1

        def on_epoch_end(self, epoch, logs=None):
            if self.steps == step:
                raise KeyboardInterrupt

        def on_train_batch_begin(self, batch, logs=None):
            if self.steps == step and step % STEPS:
                raise KeyboardInterrupt

    expected, uninterrupted = _train(tmp_path / "uninterrupted")
    with pytest.raises(KeyboardInterrupt):
        _train(tmp_path / "resumed", Interrupt())
    for _ in range(2):  # and once more after its end
        model, state = _train(tmp_path / "resumed")
        assert (state.epoch, state.validation) == (uninterrupted.epoch, uninterrupted.validation)
        for ours, theirs in zip(model.get_weights(), expected.get_weights(), strict=True):
            np.testing.assert_array_equal(ours, theirs)


def test_a_training_stops_after_so_many_epochs_without_a_better_one(tmp_path, caplog):
    caplog.set_level(logging.INFO)
    model, state = _train(tmp_path, stop_after=2)
    best = _best(state.history)
    assert len(state.history["val_error"]) == best + 2 < EPOCHS
    assert state.stopped
    assert state.epoch == best
    assert f"no epoch has been better than epoch {best} for 2 epochs" in caplog.text
    again, resumed = _train(tmp_path, stop_after=2)
    assert resumed.history == state.history
    assert _error(again) == _error(model)
    with refused():  # that is another training
        _train(tmp_path, stop_after=3)


def test_layers_unfrozen_later_are_those_of_the_best_epoch(tmp_path):
    keras.utils.set_random_seed(0)
    image = keras.Input((4,))
    x = keras.layers.Dense(4, "relu", name="conv2_block1_1_conv")(image)
    model = keras.Model(image, keras.layers.Dense(2, "softmax", name="predictions")(x))
    recipe = dataclasses.replace(RECIPE, unfreeze=(("head", 0.25), ("conv2", 0.75)))
    _, state = _train(tmp_path, model=model, recipe=recipe)
    assert _error(model) == pytest.approx(min(state.history["val_error"]))


def test_a_callbacks_weights_stay(tmp_path):
    class Zero(keras.callbacks.Callback):
        def on_train_end(self, logs=None):
            self.model.set_weights([np.zeros_like(weight) for weight in self.model.get_weights()])

    model, state = _train(tmp_path, Zero())
    assert state.epoch is None
    assert not any(weight.any() for weight in model.get_weights())


@pytest.mark.parametrize("harm", ["missing", "damaged"])
def test_without_its_checkpoint_the_last_epoch_stays_with_a_warning(harm, tmp_path, caplog):
    class Harm(keras.callbacks.Callback):
        def on_train_end(self, logs=None):
            path = min(tmp_path.glob("step-*.npz"))
            if harm == "missing":
                path.unlink()
            else:
                path.write_bytes(path.read_bytes()[:100])

    model, state = _train(tmp_path, Harm())
    assert state.epoch == EPOCHS
    assert "best epoch cannot be restored" in caplog.text
    assert _error(model) == pytest.approx(state.history["val_error"][-1])


def test_what_cannot_be_is_refused():
    with refused("restore_best"):
        train(_model(), TRAIN, VALIDATION, RECIPE, restore_best=True)
    with refused("stop_after", 0):
        train(_model(), TRAIN, VALIDATION, RECIPE, stop_after=0)


def test_several_devices_restore_it(tmp_path):
    """Two logical devices stand for two GPUs.

    In a process of its own: TensorFlow numbers the reductions of every strategy of a process from 100 on, and
    those of two strategies with other shapes may meet.
    """
    script = f"""
        import sys
        sys.path[:0] = {[str(pathlib.Path(__file__).parent), *sys.path]!r}
        import pathlib
        import tensorflow as tf
        cpu = tf.config.list_physical_devices("CPU")[0]
        tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
        import test_best_epoch as test
        strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
        with strategy.scope():
            model, state = test._train(pathlib.Path({str(tmp_path)!r}), model=test._model())
        assert abs(test._error(model) - min(state.history["val_error"])) < 1e-6
    """
    process = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script)], capture_output=True, text=True, check=False
    )
    assert process.returncode == 0, process.stderr[-3000:]
