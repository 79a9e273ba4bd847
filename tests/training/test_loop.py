import csv

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_resnet.data.mixing import Mixing
from keras_resnet.training.loop import Error, train
from keras_resnet.training.progress import format_seconds
from keras_resnet.training.recipes import Recipe


def _unlearnable(recipe, tmp_path):
    """Train on noise of one class against labels of the other: the validation error cannot fall."""
    noise = np.random.default_rng(0).normal(size=(40, 4)).astype("float32")
    batches = tf.data.Dataset.from_tensor_slices((noise, np.zeros(40, "int64"))).batch(10)
    opposite = tf.data.Dataset.from_tensor_slices((noise, np.ones(40, "int64"))).batch(10)
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(2, "softmax")])
    file = tmp_path / "history.csv"
    return train(model, batches, opposite, recipe, history_file=file).history, file


def test_learning_rate_falls_when_the_validation_error_stays(tmp_path):
    recipe = Recipe(source="this test", epochs=14, batch_size=10, learning_rate=0.5, patience=3)
    history, file = _unlearnable(recipe, tmp_path)
    assert history["val_error"][-1] == 1.0
    drops = [0.5 / rate for rate in history["learning_rate"]]
    # After a first epoch or two the error is 1 and stays: 10 times less every 3 epochs, to a thousandth.
    steps = sorted({round(np.log10(drop)) for drop in drops})
    assert steps == [0, 1, 2, 3]
    for power in (1, 2):
        assert sum(round(np.log10(drop)) == power for drop in drops) == 3
    with file.open() as lines:
        rows = list(csv.DictReader(lines))
    assert len(rows) == 14
    assert [float(row["val_error"]) for row in rows] == pytest.approx(history["val_error"])


def test_error_is_one_minus_accuracy():
    metric = Error()
    metric.update_state(np.array([0, 1, 2, 2]), np.array([[1, 0, 0], [0, 1, 0], [0, 0, 1], [1, 0, 0]]))
    assert float(metric.result()) == pytest.approx(0.25)


def test_error_against_shares_of_classes_counts_the_largest():
    metric = Error()
    metric.update_state(np.array([[0.1, 0.9, 0], [0.6, 0, 0.4]]), np.array([[0, 1, 0], [0, 0, 1]]))
    assert float(metric.result()) == pytest.approx(0.5)


def test_recipe_that_mixes_learns_from_shares_and_is_tested_on_classes():
    x = np.random.default_rng(0).normal(size=(64, 4)).astype("float32")
    y = (x[:, 0] > 0).astype("int64")
    smooth = 0.9 * np.eye(2, dtype="float32")[y] + 0.05
    batches = tf.data.Dataset.from_tensor_slices((x, smooth)).batch(16)
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(2, "softmax")])
    recipe = Recipe(
        "this test", epochs=30, batch_size=16, learning_rate=0.5, mixing=Mixing(label_smoothing=0.1)
    )
    validation = tf.data.Dataset.from_tensor_slices((x, y)).batch(16)
    history = train(model, batches, validation, recipe).history
    assert history["error"][-1] == history["val_error"][-1] < 0.05
    # The best loss against smoothed labels is their entropy.
    assert history["loss"][-1] > -0.95 * np.log(0.95) - 0.05 * np.log(0.05) > history["val_loss"][-1]


def test_a_callback_of_the_users_is_called(tmp_path):
    seen = []
    callback = keras.callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: seen.append(set(logs)))
    batches = tf.data.Dataset.from_tensors((np.zeros((4, 2), "float32"), np.zeros(4, "int64")))
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(2, "softmax")])
    train(model, batches, batches, Recipe("this test", epochs=2, batch_size=4), callbacks=[callback])
    assert len(seen) == 2
    assert {"loss", "error", "val_loss", "val_error", "learning_rate"} <= seen[0]


def test_time_left_is_shown_from_the_third_epoch_on(capsys):
    batches = tf.data.Dataset.from_tensors((np.zeros((4, 2), "float32"), np.zeros(4, "int64")))
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(2, "softmax")])
    train(model, batches, batches, Recipe("this test", epochs=4, batch_size=4))
    lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith("Epoch ")]
    assert [" left" in line for line in lines] == [False, False, True, True]


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.4, "0 s"), (59.6, "1 min 0 s"), (185, "3 min 5 s"), (7800, "2 h 10 min")]
)
def test_seconds_are_written_for_people(seconds, text):
    assert format_seconds(seconds) == text
