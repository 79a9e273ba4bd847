import itertools

import numpy as np
import pytest
import tensorflow as tf

from keras_resnet.errors import UserError
from keras_resnet.training.feed import EvaluationData, as_training_data
from keras_resnet.training.strategy import Place


def _batches(count, size):
    """(images, labels), both the numbers from 0 on."""
    numbers = np.arange(count)
    return tf.data.Dataset.from_tensor_slices((numbers.astype("float32"), numbers)).batch(size)


def _labels(batches, count):
    return [labels.numpy().tolist() for _, labels in batches.take(count)]


def test_a_last_batch_of_another_size_is_left_out_of_each_epoch():
    data = as_training_data(_batches(10, 4))
    assert data.steps_per_epoch == 2
    assert _labels(data.batches(0, 0, 1), 3) == [[0, 1, 2, 3], [4, 5, 6, 7], [0, 1, 2, 3]]


def test_a_run_goes_on_at_its_step_with_each_workers_share():
    data = as_training_data(_batches(8, 4))
    assert _labels(data.batches(3, 0, 2), 2) == [[4, 6], [0, 2]]
    assert _labels(data.batches(3, 1, 2), 2) == [[5, 7], [1, 3]]


def test_a_batch_that_the_workers_cannot_share_is_refused():
    with pytest.raises(ValueError, match="batches of 4 images cannot be shared out to 3 workers"):
        as_training_data(_batches(8, 4)).batches(0, 0, 3)


def test_data_without_a_whole_batch_are_refused():
    with pytest.raises(ValueError, match="one at least, and has a cardinality of 0; give it one by"):
        as_training_data(_batches(0, 4))


def test_test_data_without_an_image_are_refused():
    with pytest.raises(UserError, match="give no image to test on"):
        next(iter(EvaluationData(_batches(0, 4), Place(0, 1), 1)))


def test_places_without_an_image_of_their_own_do_not_count():
    given = list(EvaluationData(_batches(5, 3), Place(0, 1), 2))
    assert [len(images) for images, _, _ in given] == [4, 4]  # a multiple of the devices
    assert [counted.numpy().tolist() for _, _, counted in given] == [[1, 1, 1, 0], [1, 1, 0, 0]]
    assert [labels.numpy().tolist() for _, labels, _ in given] == [[0, 1, 2, 0], [3, 4, 3, 3]]


def test_of_several_workers_none_runs_out_of_batches():
    given = list(itertools.islice(EvaluationData(_batches(2, 2), Place(1, 2), 1), 4))
    assert [counted.numpy().sum() for _, _, counted in given] == [2, 0, 0, 0]
