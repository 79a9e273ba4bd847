"""Trainings that end early, by a signal, an error or KeyboardInterrupt, and are resumed by the same call."""

import contextlib
import dataclasses
import signal
import threading

import keras
import numpy as np
import pytest
import tensorflow as tf
from helpers.errors import refused
from helpers.marks import slow

from keras_resnet.models import architectures, resnet
from keras_resnet.training import Checkpoints, Recipe, ResumableData, train
from keras_resnet.training.checkpoint import read_checkpoint
from keras_resnet.training.signals import Interrupted

RNG = np.random.default_rng(0)
X = RNG.normal(size=(64, 4)).astype("float32")
Y = (X[:, 0] > 0).astype("int64")
RECIPE = Recipe("this test", batch_size=16, epochs=3, learning_rate=0.5)


def _dense():
    keras.utils.set_random_seed(0)
    return keras.Sequential([keras.Input((4,)), keras.layers.Dense(2, "softmax")])


def _batches():
    return tf.data.Dataset.from_tensor_slices((X, Y)).batch(16)


def _small_resnet():
    keras.utils.set_random_seed(0)
    architecture = architectures.Architecture("small", (1, 1), (4, 8), stem="cifar")
    return resnet.ResNet(architecture, input_shape=(8, 8, 3), classes=3)


# Data that depend on the step alone, as those of a Pipeline do.
def _data():
    def batches(first_step, worker, workers):
        def batch(step):
            images = tf.random.stateless_normal([16, 8, 8, 3], [1, tf.cast(step, tf.int32)])
            return images, tf.cast(tf.reduce_mean(images, [1, 2, 3]) > 0, tf.int64)

        return tf.data.Dataset.range(first_step, 10**6).map(batch)

    return ResumableData(5, batches)


def _validation():
    return _data().batches(1000, 0, 1).take(2)


class _At(keras.callbacks.Callback):
    """Calls something at a moment: after so many steps or epochs, or at the end."""

    def __init__(self, action, *, step=None, epoch=None, end=False):
        super().__init__()
        self._action, self._step, self._epoch, self._end = action, step, epoch, end

    def on_train_batch_end(self, batch, logs=None):
        if self._step is not None:
            self._step -= 1
            if self._step == 0:
                self._action()

    def on_epoch_end(self, epoch, logs=None):
        if epoch == self._epoch:
            self._action()

    def on_train_end(self, logs=None):
        if self._end:
            self._action()


def _stop():
    signal.raise_signal(signal.SIGTERM)


def _raiser(error):
    def action():
        raise error

    return action


@pytest.mark.parametrize(("policy", "ema_decay"), [("float32", 0.0), slow("mixed_float16", 0.9)])
def test_an_interrupted_training_resumes_as_if_nothing_had_happened(tmp_path, ema_decay, policy):
    recipe = Recipe("this test", batch_size=16, epochs=4, patience=1, ema_decay=ema_decay)
    keras.config.set_dtype_policy(policy)
    try:
        uninterrupted = _small_resnet()
        expected = train(uninterrupted, _data(), _validation(), recipe, callbacks=[])
        for steps in (3, 2, 7):  # inside an epoch, at its end, in a later one
            with pytest.raises(Interrupted, match=r"Saved as .*step-.*\. Rerun the same") as stopped:
                train(
                    _small_resnet(),
                    _data(),
                    _validation(),
                    recipe,
                    callbacks=[_At(_stop, step=steps)],
                    checkpoints=Checkpoints(tmp_path),
                )
            assert stopped.value.status == 143
        model = _small_resnet()
        state = train(model, _data(), _validation(), recipe, callbacks=[], checkpoints=Checkpoints(tmp_path))
    finally:
        keras.config.set_dtype_policy("float32")
    assert state.history.keys() == expected.history.keys()
    # A CPU adds in any order unless it is told to be deterministic.
    for name, values in expected.history.items():
        assert state.history[name] == pytest.approx(values, rel=1e-3, abs=1e-3), name
    for ours, theirs in zip(model.get_weights(), uninterrupted.get_weights(), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-2, atol=1e-3)


def test_a_training_that_is_interrupted_at_its_end_keeps_its_averages(tmp_path, caplog):
    recipe = Recipe("this test", batch_size=16, epochs=5, learning_rate=0.5, ema_decay=0.9)
    caplog.set_level("INFO")
    uninterrupted, model = _dense(), _dense()
    expected = train(uninterrupted, _batches(), _batches(), recipe, callbacks=[])
    with pytest.raises(Interrupted, match=r"Stopped after step 20 of 20\. Saved as"):
        train(
            _dense(),
            _batches(),
            _batches(),
            recipe,
            callbacks=[_At(_stop, epoch=4)],
            checkpoints=Checkpoints(tmp_path),
        )
    state = train(model, _batches(), _batches(), recipe, callbacks=[], checkpoints=Checkpoints(tmp_path))
    assert f"Resuming after step 20 of 20 from {tmp_path}" in caplog.text
    assert state.history["val_loss"] == pytest.approx(expected.history["val_loss"], rel=1e-5)
    np.testing.assert_allclose(model.get_weights()[0], uninterrupted.get_weights()[0], rtol=1e-5)


def test_an_interrupted_training_without_checkpoints_says_that_nothing_is_saved():
    with pytest.raises(Interrupted, match=r"step \d of 12\. NOT saved\. Last good checkpoint: none\.$"):
        train(_dense(), _batches(), _batches(), RECIPE, callbacks=[_At(_stop, step=3)])


def _in_thread(call):
    """Runs a call in a thread of its own, as some notebooks do; raises what it raises."""
    raised = []

    def run():
        try:
            call()
        except BaseException as error:
            raised.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    if raised:
        raise raised[0]


@pytest.mark.parametrize(
    ("moments", "error", "in_thread", "minutes"),
    [
        slow([{"step": 6}], RuntimeError, False, 10),
        ([{"step": 2}, {"epoch": 0}, {"step": 7}], RuntimeError, False, 0),
        slow([{"epoch": 2}, {"end": True}], RuntimeError, False, 10),
        slow([{"step": 6}, {"epoch": 1}], KeyboardInterrupt, True, 10),
        slow([{"step": 7}], KeyboardInterrupt, True, 0),
    ],
)
def test_the_same_call_resumes_after_an_error_in_a_callback(tmp_path, moments, error, in_thread, minutes):
    """With the same model, as in a notebook; `moments` are those of one call after another."""
    recipe = dataclasses.replace(RECIPE, epochs=4, ema_decay=0.9)
    expected_model, model = _dense(), _dense()
    expected = train(expected_model, _batches(), _batches(), recipe, callbacks=[])
    checkpoints = Checkpoints(tmp_path, minutes=minutes)

    def call(*callbacks):
        return train(
            model, _batches(), _batches(), recipe, callbacks=list(callbacks), checkpoints=checkpoints
        )

    for moment in moments:
        failing = _At(_raiser(error()), **moment)
        with pytest.raises(error):
            _in_thread(lambda failing=failing: call(failing)) if in_thread else call(failing)
        names = [path.name for path in tmp_path.iterdir()]
        assert names
        assert all(name.startswith("step-") for name in names)  # and nothing half-written
        assert read_checkpoint(max(tmp_path.iterdir())).meta["state"]["step"] > 0 or "step" in moment
    state = call()
    assert state.history == expected.history
    for ours, theirs in zip(model.get_weights(), expected_model.get_weights(), strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_an_error_inside_an_epoch_loses_the_steps_since_the_last_checkpoint_alone(tmp_path):
    for minutes, step in ((10, 4), (0, 6)):
        folder = tmp_path / str(minutes)
        with pytest.raises(RuntimeError):
            train(
                _dense(),
                _batches(),
                _batches(),
                RECIPE,
                callbacks=[_At(_raiser(RuntimeError()), step=7)],
                checkpoints=Checkpoints(folder, minutes=minutes),
            )
        assert max(folder.iterdir()).name == f"step-{step:010}.npz"


class _Weights(keras.callbacks.Callback):
    """The raw weights after each step."""

    def on_train_batch_end(self, batch, logs=None):
        self.last = self.model.get_weights()


@pytest.mark.parametrize("moment", [{"epoch": 1}, {"end": True}, {"step": 6}], ids=str)
def test_an_error_in_a_callback_leaves_the_raw_weights_in_the_model(moment):
    model, weights = _dense(), _Weights()
    recipe = dataclasses.replace(RECIPE, ema_decay=0.9)
    with pytest.raises(RuntimeError):
        train(
            model,
            _batches(),
            _batches(),
            recipe,
            callbacks=[weights, _At(_raiser(RuntimeError()), **moment)],
        )
    for left, raw in zip(model.get_weights(), weights.last, strict=True):
        np.testing.assert_array_equal(left, raw)
    assert model.optimizer is None


def test_an_error_of_a_metric_in_a_validation_step_leaves_the_raw_weights_in_the_model():
    def metric(labels, probabilities):
        # Holds for the training batches, which have labels of both classes.
        with tf.control_dependencies(
            [tf.debugging.assert_equal(tf.reduce_min(labels), tf.constant(0, tf.int64))]
        ):
            return tf.identity(probabilities[:, 0])

    model, weights = _dense(), _Weights()
    recipe = dataclasses.replace(RECIPE, ema_decay=0.9)
    ones = tf.data.Dataset.from_tensor_slices((X, np.ones(64, "int64"))).batch(16)
    with pytest.raises(tf.errors.InvalidArgumentError):
        train(model, _batches(), ones, recipe, callbacks=[weights], metrics={"broken": metric})
    for left, raw in zip(model.get_weights(), weights.last, strict=True):
        np.testing.assert_array_equal(left, raw)


def test_a_checkpoint_of_a_different_training_is_refused(tmp_path):
    train(_dense(), _batches(), _batches(), RECIPE, callbacks=[], checkpoints=Checkpoints(tmp_path))
    other = dataclasses.replace(RECIPE, learning_rate=0.1)
    with refused(None, tmp_path / "step-0000000012.npz") as caught:
        train(_dense(), _batches(), _batches(), other, callbacks=[], checkpoints=Checkpoints(tmp_path))
    assert "training: recipe.learning_rate=0.5 instead of 0.1." in caught.value.reason


def test_prose_does_not_identify_a_training(tmp_path):
    half = dataclasses.replace(RECIPE, epochs=2)
    with contextlib.suppress(RuntimeError):
        train(
            _dense(),
            _batches(),
            _batches(),
            half,
            callbacks=[_At(_raiser(RuntimeError()), epoch=0)],
            checkpoints=Checkpoints(tmp_path),
        )
    reworded = dataclasses.replace(half, reference="the same, without a typo", expected_accuracy="99%")
    epochs = []
    note = keras.callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: epochs.append(epoch))
    state = train(
        _dense(), _batches(), _batches(), reworded, callbacks=[note], checkpoints=Checkpoints(tmp_path)
    )
    assert epochs == [1]
    assert len(state.history["loss"]) == 2
