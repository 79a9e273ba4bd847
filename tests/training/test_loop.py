import csv
import dataclasses
import errno
import math
import os
import signal
import tempfile
import time

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_resnet.countdown import format_seconds
from keras_resnet.data.mixing import Mixing
from keras_resnet.errors import UserError
from keras_resnet.models import architectures, resnet
from keras_resnet.training import Checkpoints, Recipe, TrainingData, train
from keras_resnet.training.curves import CurvesFile
from keras_resnet.training.history import HistoryFile
from keras_resnet.training.interruption import Interrupted
from keras_resnet.training.progress import PlainLog, ProgressBar
from keras_resnet.training.step import Steps, error

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
    """Train on noise of one class against labels of the other: the validation error cannot fall."""
    noise, zeros = RNG.normal(size=(40, 4)).astype("float32"), np.zeros(40, "int64")
    file = HistoryFile(tmp_path / "history.csv")
    progress = train(
        _dense(), _batches(noise, zeros, 10), _batches(noise, zeros + 1, 10), recipe, callbacks=[file]
    )
    return progress.history


def test_learning_rate_falls_when_the_validation_error_stays(tmp_path):
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
    answers = np.array([[1, 0, 0], [0, 1, 0], [0, 0, 1], [1, 0, 0]], "float32")
    assert error(tf.constant([0, 1, 2, 2]), tf.constant(answers)).numpy().tolist() == [0, 0, 0, 1]


def test_error_against_shares_of_classes_counts_the_largest():
    labels, answers = [[0.1, 0.9, 0], [0.6, 0, 0.4]], [[0.0, 1, 0], [0, 0, 1]]
    assert error(tf.constant(labels), tf.constant(answers)).numpy().tolist() == [0, 1]


def test_recipe_that_mixes_learns_from_shares_and_is_tested_on_classes():
    smooth = 0.9 * np.eye(2, dtype="float32")[Y] + 0.05
    recipe = dataclasses.replace(RECIPE, epochs=30, mixing=Mixing(label_smoothing=0.1))
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
    """The same optimiser through Keras' own fit: the same weights."""
    from keras_resnet.training.optimizer import CoupledSGD

    ours, theirs = _dense(), _dense()
    train(ours, _batches(), _batches(), RECIPE, callbacks=[])
    theirs.compile(CoupledSGD(0.5, 0.9, 1e-4), "sparse_categorical_crossentropy")
    theirs.fit(_batches(), epochs=3, verbose=0)
    for a, b in zip(ours.get_weights(), theirs.get_weights(), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5)


def _small_net(batch_norm=True):
    keras.utils.set_random_seed(0)
    net = architectures.Architecture("net", (1, 1), (4, 8), stem="cifar")
    model = resnet.ResNet(net, input_shape=(8, 8, 3), classes=3)
    if not batch_norm:
        for layer in model.layers:
            if isinstance(layer, keras.layers.BatchNormalization):
                layer.trainable = False
    return model


@pytest.mark.parametrize("mixing", [False, True])
def test_parts_of_a_batch_add_up_to_it(mixing):
    """Without batch statistics a batch in four parts is the same step."""
    images = RNG.normal(size=(16, 8, 8, 3)).astype("float32")
    labels = RNG.integers(0, 3, 16)
    labels = np.eye(3, dtype="float32")[labels] if mixing else labels
    results = []
    for parts in (1, 4):
        model = _small_net(batch_norm=False)
        steps = Steps(model, RECIPE, accumulate=parts)
        sums = [steps.train(tf.constant(images), tf.constant(labels)) for _ in range(3)]
        results.append((sums, model.get_weights()))
    np.testing.assert_allclose(results[0][0], results[1][0], rtol=1e-4)
    for one, four in zip(results[0][1], results[1][1], strict=True):
        np.testing.assert_allclose(one, four, rtol=1e-3, atol=1e-5)


def test_parts_that_do_not_divide_the_batch_are_refused():
    with pytest.raises(ValueError, match="accumulate=3 must divide a device's 16 images"):
        train(_dense(), _batches(), _batches(), RECIPE, callbacks=[], accumulate=3)


def test_a_full_disk_does_not_end_the_training(tmp_path, monkeypatch, capsys):
    def full(*args, **kwargs):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(tempfile, "TemporaryDirectory", full)
    progress = train(
        _dense(),
        _batches(),
        _batches(),
        RECIPE,
        callbacks=[HistoryFile(tmp_path / "history.csv"), CurvesFile(tmp_path / "curves.png", "title")],
        checkpoints=Checkpoints(tmp_path / "checkpoints"),
    )
    assert len(progress.history["loss"]) == 3
    out = capsys.readouterr().out
    for name in ("history.csv", "curves.png", "step-0000000012.npz"):
        assert f"{name} could not be written (No space left on device)" in out
    assert not list(tmp_path.rglob("*.*"))


def test_callbacks_see_the_averages_in_the_users_own_model(tmp_path):
    """What EarlyStopping would keep and ModelCheckpoint would write."""
    recipe = Recipe("this test", batch_size=16, epochs=2, learning_rate=0.5, ema=0.9)
    model = _dense()
    file = keras.callbacks.ModelCheckpoint(tmp_path / "model.keras")
    history = train(model, _batches(), _batches(), recipe, callbacks=[file]).history
    again = keras.saving.load_model(tmp_path / "model.keras")
    again.compile(loss="sparse_categorical_crossentropy")
    assert again.evaluate(X, Y, verbose=0) == pytest.approx(history["val_loss"][-1], rel=1e-5)
    np.testing.assert_array_equal(again.get_weights()[0], model.get_weights()[0])


def test_another_training_does_not_go_on_from_a_checkpoint(tmp_path):
    train(_dense(), _batches(), _batches(), RECIPE, callbacks=[], checkpoints=Checkpoints(tmp_path))
    other = dataclasses.replace(RECIPE, learning_rate=0.1)
    with pytest.raises(UserError, match=r"another training, with learning_rate=0\.5 and not 0\.1"):
        train(_dense(), _batches(), _batches(), other, callbacks=[], checkpoints=Checkpoints(tmp_path))


def test_averages_are_those_of_the_steps():
    recipe = Recipe("this test", batch_size=16, iterations=40, learning_rate=0.5, ema=0.9)
    seen, model = [], _dense()
    note = keras.callbacks.LambdaCallback(
        on_train_batch_end=lambda batch, logs: seen.append(model.get_weights()[0])
    )
    start = model.get_weights()[0]
    train(model, _batches(), _batches(), recipe, callbacks=[note])
    average = start
    for step, weights in enumerate(seen, start=1):
        if step < 8 or step % 8 == 0:
            decay = min(0.9**8, (step / 8) / (step / 8 + 9))
            average = decay * average + (1 - decay) * weights
    np.testing.assert_allclose(model.get_weights()[0], average, rtol=1e-5)
    assert abs(average - seen[-1]).max() > 1e-3


@pytest.mark.parametrize("steps", [1, 5])
def test_averages_of_a_few_steps_are_near_the_last_weights(steps):
    recipe = Recipe("this test", batch_size=16, iterations=steps, learning_rate=0.5)
    plain, averaged = _dense(), _dense()
    start = plain.get_weights()[0]
    train(plain, _batches(), _batches(), recipe, callbacks=[])
    train(averaged, _batches(), _batches(), dataclasses.replace(recipe, ema=0.9), callbacks=[])
    moved, behind = (
        abs(plain.get_weights()[0] - other).max() for other in (start, averaged.get_weights()[0])
    )
    assert behind < 0.1 * moved


def test_averages_are_what_is_tested():
    recipe = Recipe("this test", batch_size=16, epochs=2, learning_rate=0.5, ema=0.9)
    model = _dense()
    history = train(model, _batches(), _batches(), recipe, callbacks=[]).history
    model.compile(loss="sparse_categorical_crossentropy")
    assert history["val_loss"][-1] == pytest.approx(model.evaluate(X, Y, verbose=0), rel=1e-5)


def test_iterations_may_end_inside_an_epoch():
    recipe = Recipe("this test", batch_size=16, iterations=10)
    progress = train(_dense(), _batches(), _batches(), recipe, callbacks=[])
    assert progress.step == 10
    assert len(progress.history["loss"]) == 3


def test_a_callback_of_the_users_is_called_and_may_stop():
    seen = []

    class Stop(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            seen.append(set(logs))
            self.model.stop_training = epoch == 1

    train(_dense(), _batches(), _batches(), RECIPE, callbacks=[Stop()])
    assert len(seen) == 2
    assert {"loss", "error", "val_loss", "val_error", "learning_rate"} <= seen[0]


def test_a_callback_of_keras_may_change_the_learning_rate():
    halve = keras.callbacks.LearningRateScheduler(lambda epoch, rate: rate / 2)
    model = _dense()
    train(model, _batches(), _batches(), dataclasses.replace(RECIPE, epochs=1), callbacks=[halve])
    other = _dense()
    train(other, _batches(), _batches(), dataclasses.replace(RECIPE, epochs=1), callbacks=[])
    assert abs(model.get_weights()[0] - other.get_weights()[0]).max() > 1e-4


# Data that depend on the step alone, as those of a Pipeline do.
def _data():
    def batches(first_step, worker, workers):
        def batch(step):
            images = tf.random.stateless_normal([16, 8, 8, 3], [1, tf.cast(step, tf.int32)])
            return images, tf.cast(tf.reduce_mean(images, [1, 2, 3]) > 0, tf.int64)

        return tf.data.Dataset.range(first_step, 10**6).map(batch)

    return TrainingData(5, batches)


def _validation():
    return _data().batches(1000, 0, 1).take(2)


class _StopAfter(keras.callbacks.Callback):
    def __init__(self, steps):
        super().__init__()
        self._left = steps

    def on_train_batch_end(self, batch, logs=None):
        self._left -= 1
        if self._left == 0:
            signal.raise_signal(signal.SIGTERM)


@pytest.mark.parametrize(("policy", "ema"), [("float32", 0.0), ("mixed_float16", 0.9)])
def test_an_interrupted_training_goes_on_as_if_nothing_had_been(tmp_path, ema, policy):
    recipe = Recipe("this test", batch_size=16, epochs=4, patience=1, ema=ema)
    keras.config.set_dtype_policy(policy)
    try:
        whole = _small_net()
        expected = train(whole, _data(), _validation(), recipe, callbacks=[])
        for steps in (3, 2, 7):  # inside an epoch, at its end, in a later one
            with pytest.raises(Interrupted, match=r"saved as .*step-") as stopped:
                train(
                    _small_net(),
                    _data(),
                    _validation(),
                    recipe,
                    callbacks=[_StopAfter(steps)],
                    checkpoints=Checkpoints(tmp_path),
                )
            assert stopped.value.status == 143
        model = _small_net()
        progress = train(
            model, _data(), _validation(), recipe, callbacks=[], checkpoints=Checkpoints(tmp_path)
        )
    finally:
        keras.config.set_dtype_policy("float32")
    assert progress.history.keys() == expected.history.keys()
    # A CPU adds in any order, if not asked to be deterministic.
    for name, values in expected.history.items():
        assert progress.history[name] == pytest.approx(values, rel=1e-3, abs=1e-3), name
    for ours, theirs in zip(model.get_weights(), whole.get_weights(), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-2, atol=1e-3)


class _StopInTheLastTest(keras.callbacks.Callback):
    def on_epoch_end(self, epoch, logs=None):
        if epoch + 1 == self.params["epochs"]:
            signal.raise_signal(signal.SIGTERM)


def test_a_training_that_is_interrupted_at_its_end_keeps_its_averages(tmp_path, capsys):
    recipe = Recipe("this test", batch_size=16, epochs=5, learning_rate=0.5, ema=0.9)
    whole, model = _dense(), _dense()
    wanted = train(whole, _batches(), _batches(), recipe, callbacks=[])
    with pytest.raises(Interrupted, match=r"stopped after step 20 of 20, saved as"):
        train(
            _dense(),
            _batches(),
            _batches(),
            recipe,
            callbacks=[_StopInTheLastTest()],
            checkpoints=Checkpoints(tmp_path),
        )
    progress = train(model, _batches(), _batches(), recipe, callbacks=[], checkpoints=Checkpoints(tmp_path))
    assert "Going on after step 20 of 20, from" in capsys.readouterr().out
    assert progress.history["val_loss"] == pytest.approx(wanted.history["val_loss"], rel=1e-5)
    np.testing.assert_allclose(model.get_weights()[0], whole.get_weights()[0], rtol=1e-5)


def test_time_is_counted_without_checkpoints_too():
    start = time.monotonic()
    progress = train(_dense(), _batches(), _batches(), RECIPE, callbacks=[])
    assert 0 < progress.seconds <= time.monotonic() - start


def test_an_interrupted_training_without_a_place_for_checkpoints_says_that_nothing_is_saved():
    with pytest.raises(
        Interrupted, match=r"after step \d of 12, NOT saved; the last good checkpoint is none\."
    ):
        train(_dense(), _batches(), _batches(), RECIPE, callbacks=[_StopAfter(3)])


def _poisoned(step_of_nan):
    def batches(first_step, worker, workers):
        return tf.data.Dataset.range(first_step, 10**6).map(
            lambda step: (
                tf.fill([16, 4], tf.where(step == step_of_nan, math.nan, 1.0)),
                tf.zeros(16, tf.int64),
            )
        )

    return TrainingData(5, batches)


def test_a_loss_that_is_no_number_stops_with_the_step_and_the_last_good_checkpoint(tmp_path):
    with pytest.raises(UserError, match=r"of step 8 is no number, at learning rate 0\.5; the last good "):
        train(_dense(), _poisoned(7), _batches(), RECIPE, callbacks=[], checkpoints=Checkpoints(tmp_path))
    assert (tmp_path / "step-0000000005.npz").exists()


def test_a_rollback_lowers_the_learning_rate_and_gives_up_in_the_end(tmp_path, capsys):
    rates = []
    note = keras.callbacks.LambdaCallback(
        on_train_batch_end=lambda batch, logs: rates.append(logs["learning_rate"])
    )
    with pytest.raises(UserError, match=r"after going back 2 times; .*; lower --learning_rate\.$"):
        train(
            _dense(),
            _poisoned(7),
            _batches(),
            RECIPE,
            callbacks=[note],
            checkpoints=Checkpoints(tmp_path),
            max_rollbacks=2,
        )
    # Steps 1 to 7, and twice 6 and 7 from the checkpoint after 5 on.
    assert rates == pytest.approx([0.5] * 7 + [0.05] * 2 + [0.005] * 2)
    assert capsys.readouterr().out.count("back to step 5") == 2


def test_a_training_that_diverges_is_saved_by_a_rollback(tmp_path):
    recipe = dataclasses.replace(RECIPE, learning_rate=1e22, epochs=6)
    progress = train(
        _dense(),
        _batches(),
        _batches(),
        recipe,
        callbacks=[],
        checkpoints=Checkpoints(tmp_path),
        max_rollbacks=30,
    )
    assert progress.rollbacks > 0
    assert all(map(math.isfinite, progress.history["loss"]))


def test_time_left_is_shown_from_the_third_epoch_on(capsys):
    train(_dense(), _batches(), _batches(), dataclasses.replace(RECIPE, epochs=4))
    out = capsys.readouterr().out
    lines = [line for line in out.splitlines() if line.startswith("Epoch ")]
    assert [" left" in line for line in lines] == [False, False, True, True]
    for name in ("loss", "error", "learning_rate", "images_per_second", "val_error"):
        assert f"{name}: " in out


def test_a_plain_log_has_a_line_an_epoch(capsys):
    train(_dense(), _batches(), _batches(), RECIPE, callbacks=[PlainLog()])
    lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith("epoch")]
    assert [line.split(":")[0] for line in lines] == [f"epoch {i}/3 done" for i in (1, 2, 3)]
    assert "val_error=" in lines[0]
    assert "left" in lines[1]


def test_waiting_for_images_is_told(capsys):
    def wait(x):
        time.sleep(0.02)
        return x

    slow = _batches().map(
        lambda x, y: (tf.ensure_shape(tf.numpy_function(wait, [x], tf.float32), (None, 4)), y)
    )
    train(_dense(), slow, _batches(), RECIPE, callbacks=[ProgressBar()])
    assert "input-bound: " in capsys.readouterr().out


def test_batches_without_a_known_number_are_refused():
    endless = _batches().repeat()
    with pytest.raises(ValueError, match="must know how many batches it has"):
        train(_dense(), endless, _batches(), RECIPE, callbacks=[])


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.4, "0 s"), (59.6, "1 min 0 s"), (185, "3 min 5 s"), (7800, "2 h 10 min")]
)
def test_seconds_are_written_for_people(seconds, text):
    assert format_seconds(seconds) == text
