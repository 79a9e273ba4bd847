import time

import numpy as np
import pytest
import tensorflow as tf

from keras_resnet.training.waiting import InputWait


def _epoch(wait, batches, step):
    wait.on_epoch_begin(0)
    for i, _ in enumerate(wait.timed(batches)):
        time.sleep(step)
        wait.on_train_batch_end(i)
    wait.on_epoch_end(0)


def _slow(seconds):
    def sleep(x):
        time.sleep(seconds)
        return x

    data = tf.data.Dataset.range(20)
    return data.map(lambda x: tf.numpy_function(sleep, [x], tf.int64)).prefetch(4)


def test_slow_input_is_told(capsys):
    _epoch(InputWait(), _slow(0.03), 0.01)
    said = capsys.readouterr().out
    share = int(said.split("input-bound: ")[1].split("%")[0])
    # 30 ms a batch, of which 10 are the step's own.
    assert 50 < share < 85


def test_fast_input_is_not(capsys):
    _epoch(InputWait(), _slow(0.001), 0.02)
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("parts", [1, 2])
def test_batches_stay_as_they_are(parts):
    data = tf.data.Dataset.from_tensor_slices(tuple(np.arange(6) + i for i in range(parts))).batch(4)
    timed = InputWait().timed(data)
    assert timed.element_spec == data.element_spec
    for ours, theirs in zip(timed, data, strict=True):
        tf.nest.map_structure(np.testing.assert_array_equal, ours, theirs)
