"""`train` on small models and data: its history, averages, callbacks, metrics and divergence."""

import csv
import dataclasses
import errno
import logging
import math
import os
import tempfile
import time

import keras
import numpy as np
import pytest
import tensorflow as tf
from helpers.errors import refused
from helpers.marks import slow

from keras_resnet._utils.progress import format_seconds
from keras_resnet.models import architectures, resnet
from keras_resnet.training import Checkpoints, Recipe, ResumableData, throughput, train
from keras_resnet.training.callbacks.curves import PlotCurves
from keras_resnet.training.callbacks.history import CSVHistory
from keras_resnet.training.callbacks.progress import LineLogger, ProgressBar
from keras_resnet.training.checkpoint import read_checkpoint
from keras_resnet.training.engines import default_engine
from keras_resnet.training.input import as_resumable_data
from keras_resnet.training.measures import top1_error

RNG = np.random.default_rng(0)
X = RNG.normal(size=(64, 4)).astype("float32")
Y = (X[:, 0] > 0).astype("int64")
RECIPE = Recipe("this test", batch_size=16, epochs=3, learning_rate=0.5)


def _dense():
    keras.utils.set_random_seed(0)
    return keras.Sequential([keras.Input((4,)), keras.layers.Dense(2, "softmax")])


def _batches(x=X, y=Y, size=16):
    return tf.data.Dataset.from_tensor_slices((x, y)).batch(size)


def _unlearnable(recipe, tmp_path):
    """Trains on noise of one class against labels of the other: the validation error cannot fall."""
    noise, zeros = RNG.normal(size=(40, 4)).astype("float32"), np.zeros(40, "int64")
    file = CSVHistory(tmp_path / "history.csv")
    state = train(
        _dense(), _batches(noise, zeros, 10), _batches(noise, zeros + 1, 10), recipe, callbacks=[file]
    )
    return state.history


def test_learning_rate_drops_when_the_validation_error_plateaus(tmp_path):
    recipe = Recipe("this test", batch_size=10, epochs=14, learning_rate=0.5, patience=3)
    history = _unlearnable(recipe, tmp_path)
    assert history["val_error"][-1] == 1.0
    drops = [0.5 / rate for rate in history["learning_rate"]]
    # After a first epoch or two the error is 1 and stays: 10 times less every 3 epochs, to a thousandth.
    steps = sorted({round(np.log10(drop)) for drop in drops})
    assert steps == [0, 1, 2, 3]
    for power in (1, 2):
        assert sum(round(np.log10(drop)) == power for drop in drops) == 3
    with (tmp_path / "history.csv").open() as lines:
        rows = list(csv.DictReader(lines))
    assert [int(row["epoch"]) for row in rows] == list(range(1, 15))
    assert [float(row["val_error"]) for row in rows] == history["val_error"]


def test_error_is_one_minus_accuracy():
    probabilities = np.array([[1, 0, 0], [0, 1, 0], [0, 0, 1], [1, 0, 0]], "float32")
    errors = top1_error(tf.constant([0, 1, 2, 2]), tf.constant(probabilities))
    assert errors.numpy().tolist() == [0, 0, 0, 1]


def test_error_against_probabilities_counts_the_largest():
    labels, probabilities = [[0.1, 0.9, 0], [0.6, 0, 0.4]], [[0.0, 1, 0], [0, 0, 1]]
    assert top1_error(tf.constant(labels), tf.constant(probabilities)).numpy().tolist() == [0, 1]


def test_labels_may_be_probabilities_and_validation_labels_integers():
    smooth = 0.9 * np.eye(2, dtype="float32")[Y] + 0.05
    recipe = dataclasses.replace(RECIPE, epochs=30)
    history = train(_dense(), _batches(y=smooth), _batches(), recipe, callbacks=[]).history
    assert history["error"][-1] == history["val_error"][-1] < 0.05
    # The best loss against smoothed labels is their entropy.
    assert history["loss"][-1] > -0.95 * np.log(0.95) - 0.05 * np.log(0.05) > history["val_loss"][-1]


def test_losses_and_metrics_are_those_of_keras():
    model = _dense()
    model.compile("sgd", "sparse_categorical_crossentropy", metrics=["accuracy"])
    # 37 images in batches of 16: the last place of a batch must not count.
    loss, accuracy = model.evaluate(X[:37], Y[:37], verbose=0)
    recipe = dataclasses.replace(RECIPE, epochs=1, learning_rate=1e-12)
    top1 = {"accuracy": keras.metrics.sparse_categorical_accuracy}
    history = train(model, _batches(), _batches(X[:37], Y[:37]), recipe, callbacks=[], metrics=top1).history
    assert history["val_loss"][0] == pytest.approx(loss, rel=1e-5)
    assert history["val_error"][0] == pytest.approx(1 - accuracy)
    assert history["val_accuracy"][0] == pytest.approx(accuracy)


def test_trains_as_keras_does():
    """The same optimizer through Keras' own fit: the same weights."""
    from keras_resnet.training.optimizer import CoupledSGD

    ours, theirs = _dense(), _dense()
    train(ours, _batches(), _batches(), RECIPE, callbacks=[])
    theirs.compile(CoupledSGD(0.5, 0.9, 1e-4), "sparse_categorical_crossentropy")
    theirs.fit(_batches(), epochs=3, verbose=0)
    for a, b in zip(ours.get_weights(), theirs.get_weights(), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5)


@pytest.mark.parametrize("soft_labels", [slow(False), True])
def test_parts_of_a_batch_add_up_to_it(soft_labels):
    """Without batch statistics a batch in four parts is the same step."""
    images = RNG.normal(size=(16, 8, 8, 3)).astype("float32")
    labels = RNG.integers(0, 3, 16)
    labels = np.eye(3, dtype="float32")[labels] if soft_labels else labels
    results = []
    for parts in (1, 4):
        keras.utils.set_random_seed(0)
        small = architectures.Architecture("small", (1, 1), (4, 8), stem="cifar")
        model = resnet.ResNet(small, input_shape=(8, 8, 3), classes=3)
        for layer in model.layers:
            if isinstance(layer, keras.layers.BatchNormalization):
                layer.trainable = False
        steps = default_engine().make_steps(model, RECIPE, gradient_accumulation_steps=parts)
        sums = [steps.train_step(tf.constant(images), tf.constant(labels)) for _ in range(3)]
        results.append((sums, model.get_weights()))
    np.testing.assert_allclose(results[0][0], results[1][0], rtol=1e-4)
    for one, four in zip(results[0][1], results[1][1], strict=True):
        np.testing.assert_allclose(one, four, rtol=1e-3, atol=1e-5)


def test_parts_that_do_not_divide_the_batch_are_refused():
    with refused("gradient_accumulation_steps", 3):
        train(_dense(), _batches(), _batches(), RECIPE, callbacks=[], gradient_accumulation_steps=3)


def test_a_full_disk_does_not_end_the_training(tmp_path, monkeypatch, caplog):
    def full(*args, **kwargs):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(tempfile, "TemporaryDirectory", full)
    state = train(
        _dense(),
        _batches(),
        _batches(),
        RECIPE,
        callbacks=[CSVHistory(tmp_path / "history.csv"), PlotCurves(tmp_path / "curves.png", "title")],
        checkpoints=Checkpoints(tmp_path / "checkpoints"),
    )
    assert len(state.history["loss"]) == 3
    warnings = caplog.text
    for name in ("history.csv", "curves.png", "step-0000000012.npz"):
        assert f"{name} could not be written (No space left on device)" in warnings
    assert not list(tmp_path.rglob("*.*"))


def test_callbacks_get_the_averages_in_the_users_own_model(tmp_path):
    """What EarlyStopping would keep and ModelCheckpoint would write."""
    recipe = Recipe("this test", batch_size=16, epochs=2, learning_rate=0.5, ema_decay=0.9)
    model = _dense()
    file = keras.callbacks.ModelCheckpoint(tmp_path / "model.keras")
    history = train(model, _batches(), _batches(), recipe, callbacks=[file]).history
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    loaded.compile(loss="sparse_categorical_crossentropy")
    assert loaded.evaluate(X, Y, verbose=0) == pytest.approx(history["val_loss"][-1], rel=1e-5)
    np.testing.assert_array_equal(loaded.get_weights()[0], model.get_weights()[0])


def test_averages_are_those_of_the_steps():
    recipe = Recipe("this test", batch_size=16, iterations=40, learning_rate=0.5, ema_decay=0.9)
    after_steps, model = [], _dense()
    note = keras.callbacks.LambdaCallback(
        on_train_batch_end=lambda batch, logs: after_steps.append(model.get_weights()[0])
    )
    start = model.get_weights()[0]
    train(model, _batches(), _batches(), recipe, callbacks=[note])
    average = start
    for step, weights in enumerate(after_steps, start=1):
        if step < 8 or step % 8 == 0:
            decay = min(0.9**8, (step / 8) / (step / 8 + 9))
            average = decay * average + (1 - decay) * weights
    np.testing.assert_allclose(model.get_weights()[0], average, rtol=1e-5)
    assert abs(average - after_steps[-1]).max() > 1e-3


@pytest.mark.parametrize("steps", [1, 5])
def test_averages_of_a_few_steps_are_near_the_last_weights(steps):
    recipe = Recipe("this test", batch_size=16, iterations=steps, learning_rate=0.5)
    plain, averaged = _dense(), _dense()
    start = plain.get_weights()[0]
    train(plain, _batches(), _batches(), recipe, callbacks=[])
    train(averaged, _batches(), _batches(), dataclasses.replace(recipe, ema_decay=0.9), callbacks=[])
    moved, behind = (
        abs(plain.get_weights()[0] - other).max() for other in (start, averaged.get_weights()[0])
    )
    assert behind < 0.1 * moved


def test_averages_are_what_is_validated():
    recipe = Recipe("this test", batch_size=16, epochs=2, learning_rate=0.5, ema_decay=0.9)
    model = _dense()
    history = train(model, _batches(), _batches(), recipe, callbacks=[]).history
    model.compile(loss="sparse_categorical_crossentropy")
    assert history["val_loss"][-1] == pytest.approx(model.evaluate(X, Y, verbose=0), rel=1e-5)


def test_iterations_may_end_inside_an_epoch():
    recipe = Recipe("this test", batch_size=16, iterations=10)
    state = train(_dense(), _batches(), _batches(), recipe, callbacks=[])
    assert state.step == 10
    assert len(state.history["loss"]) == 3


def test_a_callback_of_the_users_is_called_and_may_stop():
    logged = []

    class Stop(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            logged.append(set(logs))
            self.model.stop_training = epoch == 1

    train(_dense(), _batches(), _batches(), RECIPE, callbacks=[Stop()])
    assert len(logged) == 2
    assert {"loss", "error", "val_loss", "val_error", "learning_rate"} <= logged[0]


def test_a_callback_of_keras_may_change_the_learning_rate():
    halve = keras.callbacks.LearningRateScheduler(lambda epoch, rate: rate / 2)
    model = _dense()
    train(model, _batches(), _batches(), dataclasses.replace(RECIPE, epochs=1), callbacks=[halve])
    other = _dense()
    train(other, _batches(), _batches(), dataclasses.replace(RECIPE, epochs=1), callbacks=[])
    assert abs(model.get_weights()[0] - other.get_weights()[0]).max() > 1e-4


def test_a_compiled_model_keeps_its_optimizer():
    model = _dense()
    model.compile("adam", "sparse_categorical_crossentropy")
    optimizer = model.optimizer
    train(model, _batches(), _batches(), RECIPE, callbacks=[])
    assert model.optimizer is optimizer


def test_seconds_add_up_over_calls(tmp_path):
    recipe = dataclasses.replace(RECIPE, epochs=1)
    first = train(_dense(), _batches(), _batches(), recipe, callbacks=[], checkpoints=Checkpoints(tmp_path))
    second = train(_dense(), _batches(), _batches(), recipe, callbacks=[], checkpoints=Checkpoints(tmp_path))
    saved = read_checkpoint(tmp_path / "step-0000000004.npz").meta["state"]["seconds"]
    assert second.history == first.history
    assert 0 < saved <= min(first.seconds, second.seconds)


def _poisoned(step_of_nan):
    def batches(first_step, worker, workers):
        return tf.data.Dataset.range(first_step, 10**6).map(
            lambda step: (
                tf.fill([16, 4], tf.where(step == step_of_nan, math.nan, 1.0)),
                tf.zeros(16, tf.int64),
            )
        )

    return ResumableData(5, batches)


def test_a_loss_of_nan_stops_with_the_step_and_the_last_good_checkpoint(tmp_path):
    with refused("learning_rate", 0.5) as caught:
        train(_dense(), _poisoned(7), _batches(), RECIPE, callbacks=[], checkpoints=Checkpoints(tmp_path))
    assert "at step 8 (learning_rate=0.5)" in caught.value.reason
    assert "on_nan=rollback" in caught.value.reason
    checkpoint = tmp_path / "step-0000000005.npz"
    assert f"Last good checkpoint: {checkpoint}." in caught.value.reason
    assert checkpoint.exists()


def test_a_rollback_lowers_the_learning_rate_and_gives_up_in_the_end(tmp_path, caplog):
    rates = []
    note = keras.callbacks.LambdaCallback(
        on_train_batch_end=lambda batch, logs: rates.append(logs["learning_rate"])
    )
    with refused("learning_rate", 0.5) as caught:
        train(
            _dense(),
            _poisoned(7),
            _batches(),
            RECIPE,
            callbacks=[note],
            checkpoints=Checkpoints(tmp_path),
            max_rollbacks=2,
        )
    assert "after 2 rollbacks" in caught.value.reason
    assert "on_nan" not in caught.value.reason
    # Steps 1 to 7, and twice 6 and 7 from the checkpoint after 5 on.
    assert rates == pytest.approx([0.5] * 7 + [0.05] * 2 + [0.005] * 2)
    assert caplog.text.count("Going back to step 5 ") == 2


def test_a_training_that_diverges_is_saved_by_a_rollback(tmp_path):
    recipe = dataclasses.replace(RECIPE, learning_rate=1e22, epochs=6)
    state = train(
        _dense(),
        _batches(),
        _batches(),
        recipe,
        callbacks=[],
        checkpoints=Checkpoints(tmp_path),
        max_rollbacks=30,
    )
    assert state.rollbacks > 0
    assert all(map(math.isfinite, state.history["loss"]))


def test_a_bar_has_the_time_left_from_the_third_epoch_on(capsys):
    train(_dense(), _batches(), _batches(), dataclasses.replace(RECIPE, epochs=4))
    out = capsys.readouterr().out
    lines = [line for line in out.splitlines() if line.startswith("Epoch ")]
    assert [" left" in line for line in lines] == [False, False, True, True]
    for name in ("loss", "error", "learning_rate", "images_per_second", "val_error"):
        assert f"{name}: " in out


def test_a_log_has_a_line_per_epoch(caplog):
    caplog.set_level(logging.INFO)
    train(_dense(), _batches(), _batches(), RECIPE, callbacks=[LineLogger()])
    lines = [message for message in caplog.messages if message.startswith("epoch")]
    assert [line.split(":")[0] for line in lines] == [f"epoch {i}/3 done" for i in (1, 2, 3)]
    assert "val_error=" in lines[0]
    assert "left" in lines[1]


def test_waiting_for_images_is_logged(caplog):
    caplog.set_level(logging.INFO)

    def wait(x):
        time.sleep(0.02)
        return x

    slow = _batches().map(
        lambda x, y: (tf.ensure_shape(tf.numpy_function(wait, [x], tf.float32), (None, 4)), y)
    )
    train(_dense(), slow, _batches(), RECIPE, callbacks=[ProgressBar()])
    assert "input-bound: " in caplog.text
    assert "To wait less" not in caplog.text  # nothing is known about these images
    data = dataclasses.replace(as_resumable_data(slow, 16), advice=lambda: "To wait less, do this.")
    train(_dense(), data, _batches(), RECIPE, callbacks=[])
    (advice,) = [message for message in caplog.messages if "To wait less" in message]
    assert advice.endswith("% of the step time is spent waiting for images. To wait less, do this.")


@pytest.mark.parametrize(("steps", "advised"), [(60, 0), (150, 1)])
def test_advice_does_not_wait_for_the_end_of_a_long_epoch(steps, advised, caplog, monkeypatch):
    monkeypatch.setattr(throughput.Throughput, "wait_fraction", property(lambda _: 0.3))
    seen = []

    class Watch(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            seen.append(sum("do this" in message for message in caplog.messages))

    caplog.set_level(logging.INFO)
    batches = _batches().repeat().take(steps)
    data = dataclasses.replace(as_resumable_data(batches, 16), advice=lambda: "do this")
    train(_dense(), data, _batches(), dataclasses.replace(RECIPE, epochs=1), callbacks=[Watch()])
    assert seen == [advised]  # notes are logged behind the callbacks
    assert sum("do this" in message for message in caplog.messages) == 1


def test_an_unknown_recipe_is_refused():
    with refused("recipe", "fast") as caught:
        train(_dense(), _batches(), _batches(), "fast", callbacks=[])
    assert "modern" in caught.value.reason


@pytest.mark.parametrize("resumable", [False, True])
def test_batches_of_another_size_than_the_recipes_are_refused(resumable, tmp_path):
    data = ResumableData(4, lambda *_: _batches(size=8).repeat()) if resumable else _batches(size=8)
    with refused("batch_size", 16):
        train(_dense(), data, _batches(), RECIPE, callbacks=[], checkpoints=Checkpoints(tmp_path))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.4, "0 s"), (59.6, "1 min 0 s"), (185, "3 min 5 s"), (7800, "2 h 10 min")]
)
def test_seconds_are_written_for_people(seconds, text):
    assert format_seconds(seconds) == text
