"""Keras' own callbacks: the same weights, learning rates and files as under `fit`, also when resumed."""

import dataclasses

import keras
import numpy as np
import pytest
import tensorflow as tf
from helpers.callbacks import AfterStep
from helpers.errors import refused

from keras_resnet.training import Checkpoints, Recipe, train
from keras_resnet.training.optimizer import CoupledSGD
from keras_resnet.training.schedule import LearningRate

RNG = np.random.default_rng(0)
X = RNG.normal(size=(64, 4)).astype("float32")
Y = (X[:, 0] > 0).astype("int64")
STEPS = 4
EPOCHS = 6
# As under `fit`, nothing but callbacks changes the learning rate.
RECIPE = Recipe("this test", batch_size=16, epochs=EPOCHS, learning_rate=0.5, patience=100)


def _dense():
    keras.utils.set_random_seed(0)
    return keras.Sequential([keras.Input((4,)), keras.layers.Dense(2, "softmax")])


def _batches():
    return tf.data.Dataset.from_tensor_slices((X, Y)).batch(16)


class _EachStep(keras.callbacks.Callback):
    """A learning rate for every step, assigned to the variable."""

    def on_train_batch_begin(self, batch, logs=None):
        self.model.optimizer.learning_rate.assign(0.5 / (1 + batch))


def _stop(model):
    model.stop_training = True


CALLBACKS = {
    "scheduler": lambda: keras.callbacks.LearningRateScheduler(lambda epoch, rate: rate * 0.7),
    "constant": lambda: keras.callbacks.LearningRateScheduler(lambda epoch: 0.5),
    "plateau": lambda: keras.callbacks.ReduceLROnPlateau(min_delta=0.05, patience=1, factor=0.3),
    "each-step": _EachStep,
    "early-stopping": lambda: keras.callbacks.EarlyStopping(
        min_delta=0.03, patience=1, restore_best_weights=True
    ),
    "stop-inside-an-epoch": lambda: AfterStep(STEPS + 2, _stop),
}


def _assert_same_weights(model, other, **tolerance):
    for ours, theirs in zip(model.get_weights(), other.get_weights(), strict=True):
        np.testing.assert_allclose(ours, theirs, **tolerance)


@pytest.mark.parametrize("name", CALLBACKS)
def test_weights_and_learning_rates_are_those_of_fit(name):
    ours, theirs = _dense(), _dense()
    state = train(ours, _batches(), _batches(), RECIPE, callbacks=[CALLBACKS[name]()])
    theirs.compile(CoupledSGD(0.5, 0.9, 1e-4), "sparse_categorical_crossentropy")
    used = []
    note = keras.callbacks.LambdaCallback(
        on_train_batch_end=lambda batch, logs: used.append(float(theirs.optimizer.learning_rate.numpy()))
    )
    history = theirs.fit(
        _batches(), validation_data=_batches(), epochs=EPOCHS, verbose=0, callbacks=[CALLBACKS[name](), note]
    ).history
    _assert_same_weights(ours, theirs, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(state.history["val_loss"], history["val_loss"], rtol=1e-4)
    last_steps = [min(STEPS * (epoch + 1), len(used)) - 1 for epoch in range(len(history["loss"]))]
    np.testing.assert_allclose(state.history["learning_rate"], [used[step] for step in last_steps], rtol=1e-6)
    # Measured on what was returned, which is not always what the last epoch ended with.
    loss = theirs.evaluate(_batches(), verbose=0)
    assert state.validation["val_loss"] == pytest.approx(loss, rel=1e-4)


@pytest.mark.parametrize("schedule", ["cosine", "multistep", "plateau"])
def test_a_callbacks_learning_rate_replaces_the_recipes_schedule(schedule):
    """The value that the recipe starts with, too; a loop by hand gives the weights."""
    recipe = dataclasses.replace(
        RECIPE, schedule=schedule, milestones=(6,) if schedule == "multistep" else (), patience=1
    )
    model, expected = _dense(), _dense()
    constant = keras.callbacks.LearningRateScheduler(lambda epoch: 0.5)
    history = train(model, _batches(), _batches(), recipe, callbacks=[constant]).history
    expected.compile(CoupledSGD(0.5, 0.9, 1e-4), "sparse_categorical_crossentropy")
    expected.fit(_batches(), epochs=EPOCHS, verbose=0)
    assert history["learning_rate"] == [0.5] * EPOCHS
    _assert_same_weights(model, expected, rtol=1e-4)


@pytest.mark.parametrize("step", [2 * STEPS, 2 * STEPS + 3])
@pytest.mark.parametrize("name", ["scheduler", "plateau", "early-stopping"])
def test_a_resumed_training_is_the_same_to_the_last_bit(tmp_path, name, step):
    """Interrupted at the end of an epoch or inside it; and once more after its end."""

    class Interrupt(keras.callbacks.Callback):
        steps = 0

        def on_train_batch_end(self, batch, logs=None):
            self.steps += 1
            if self.steps == step and step % STEPS:
                raise KeyboardInterrupt

        def on_epoch_end(self, epoch, logs=None):
            if self.steps == step:
                raise KeyboardInterrupt

    def call(model, *more):
        checkpoints = Checkpoints(tmp_path, minutes=0)
        callbacks = [CALLBACKS[name](), *more]
        return train(model, _batches(), _batches(), RECIPE, callbacks=callbacks, checkpoints=checkpoints)

    expected = _dense()
    uninterrupted = train(expected, _batches(), _batches(), RECIPE, callbacks=[CALLBACKS[name]()])
    with pytest.raises(KeyboardInterrupt):
        call(_dense(), Interrupt())
    for _ in range(2):
        model = _dense()
        state = call(model)
        assert state.history == uninterrupted.history
        assert state.validation == uninterrupted.validation
        _assert_same_weights(model, expected, rtol=0)


def test_a_rollback_lowers_the_learning_rate_of_a_callback():
    rate = LearningRate(RECIPE, STEPS, callback_rate=0.2)
    rate.lower(0.1)
    assert rate.at(0) == pytest.approx(0.02)


def test_every_moment_of_fit_is_one_here():
    def moments(run):
        seen = []

        class Note(keras.callbacks.Callback):
            pass

        def note(moment):
            def call(self, *arguments, logs=None):
                numbers = [value for value in arguments if isinstance(value, int)]
                logs = {key for value in (*arguments, logs) if isinstance(value, dict) for key in value}
                seen.append((moment, *numbers, logs & {"loss", "val_loss"}))

            return call

        for moment in ("train", "test", "epoch", "train_batch", "test_batch"):
            for end in ("begin", "end"):
                setattr(Note, f"on_{moment}_{end}", note(f"{moment}_{end}"))
        run(Note())
        return seen

    model = _dense()
    model.compile(CoupledSGD(0.5, 0.9, 1e-4), "sparse_categorical_crossentropy")
    theirs = moments(
        lambda note: model.fit(_batches(), validation_data=_batches(), epochs=2, verbose=0, callbacks=[note])
    )
    recipe = dataclasses.replace(RECIPE, epochs=2)
    ours = moments(lambda note: train(_dense(), _batches(), _batches(), recipe, callbacks=[note]))
    assert ours == theirs


REFUSED = {
    "needs-fit": lambda tmp_path: keras.callbacks.BackupAndRestore(tmp_path / "backup"),
    "not-measured": lambda tmp_path: keras.callbacks.EarlyStopping("val_accuracy"),
    "no-direction": lambda tmp_path: keras.callbacks.ReduceLROnPlateau("val_top"),
    "no-callback": lambda tmp_path: "EarlyStopping",
    "a-schedule": lambda tmp_path: keras.callbacks.LambdaCallback(
        on_epoch_begin=lambda epoch, logs: setattr(
            _MODEL[0].optimizer, "learning_rate", keras.optimizers.schedules.CosineDecay(0.1, 10)
        )
    ),
}
_MODEL: list = []


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_work_here_is_refused(tmp_path, name):
    _MODEL[:] = [_dense()]
    metrics = {"top": keras.metrics.sparse_categorical_accuracy}
    with refused("callbacks"):
        train(_MODEL[0], _batches(), _batches(), RECIPE, callbacks=[REFUSED[name](tmp_path)], metrics=metrics)


def test_the_error_is_known_to_be_better_when_less():
    stop = keras.callbacks.EarlyStopping("val_error", patience=EPOCHS)
    train(_dense(), _batches(), _batches(), dataclasses.replace(RECIPE, epochs=2), callbacks=stop)
    assert stop.best < 0.5
