"""Each worker's share of the training batches, and validation batches of one size."""

import itertools

import numpy as np
import pytest
import tensorflow as tf
from helpers.errors import refused

from keras_resnet.training.cluster import WorkerInfo
from keras_resnet.training.input import EvaluationData, as_resumable_data


def _batches(count, size):
    """(images, labels), both the numbers from 0 on."""
    numbers = np.arange(count)
    return tf.data.Dataset.from_tensor_slices((numbers.astype("float32"), numbers)).batch(size)


def _labels(batches, count):
    return [np.asarray(labels).tolist() for _, labels in batches.take(count)]


def test_a_last_batch_of_another_size_is_left_out_of_each_epoch():
    data = as_resumable_data(_batches(10, 4), 4)
    assert data.steps_per_epoch == 2
    assert _labels(data.batches(0, 0, 1), 3) == [[0, 1, 2, 3], [4, 5, 6, 7], [0, 1, 2, 3]]


def test_training_resumes_at_its_step_with_each_workers_share():
    data = as_resumable_data(_batches(8, 4), 4)
    assert _labels(data.batches(3, 0, 2), 2) == [[4, 6], [0, 2]]
    assert _labels(data.batches(3, 1, 2), 2) == [[5, 7], [1, 3]]


def test_a_batch_that_the_workers_cannot_share_is_refused():
    with refused("batch_size", 4):
        as_resumable_data(_batches(8, 4), 4).batches(0, 0, 3)


def test_batches_of_another_size_than_the_recipes_are_refused():
    with refused("batch_size", 8):
        as_resumable_data(_batches(8, 4), 8)


@pytest.mark.parametrize("data", [_batches(0, 4), _batches(8, 4).repeat()], ids=["none", "endless"])
def test_data_without_a_known_number_of_batches_are_refused(data):
    with refused("train_data"):
        as_resumable_data(data, 4)


def test_validation_data_without_an_image_are_refused():
    with refused("validation_data"):
        next(iter(EvaluationData(_batches(0, 4), WorkerInfo(0, 1), 1)))


def test_images_that_fill_up_a_batch_have_no_weight():
    batches = list(EvaluationData(_batches(5, 3), WorkerInfo(0, 1), 2))
    assert [len(images) for images, _, _ in batches] == [4, 4]  # a multiple of the devices
    assert [weight.tolist() for _, _, weight in batches] == [[1, 1, 1, 0], [1, 1, 0, 0]]
    assert [np.asarray(labels).tolist() for _, labels, _ in batches] == [[0, 1, 2, 0], [3, 4, 3, 3]]


def test_of_several_workers_none_runs_out_of_batches():
    batches = list(itertools.islice(EvaluationData(_batches(2, 2), WorkerInfo(1, 2), 1), 4))
    assert [weight.sum() for _, _, weight in batches] == [2, 0, 0, 0]
