import dataclasses

import numpy as np
import pytest
import tensorflow as tf
from sklearn.datasets import load_sample_images

from keras_resnet.data import digits, pipeline, sources
from keras_resnet.data.view import View
from keras_resnet.errors import UserError

DIGITS = sources.find("digits")
WHOLE = View(8, whole=True, mirrored=False)
CROP = View(32, whole=False, mirrored=True)


@pytest.fixture(scope="module")
def photographs():
    """The two photographs, each with its number as label, seven times."""
    photos = load_sample_images().images

    def read(split):
        images = tf.data.Dataset.from_tensor_slices((np.stack(photos), np.arange(2)))
        return images.repeat(7 if split == "train" else 1)

    return dataclasses.replace(
        DIGITS, image_shape=(None, None, 3), train_size=14, test_size=2, mirrored=True, read=read
    )


def _epoch(batches):
    return [(images, labels) for images, labels in batches.as_numpy_iterator()]


def test_evaluation_batches_have_every_image_once_in_order():
    batches = _epoch(pipeline.evaluation_batches(DIGITS, WHOLE, 100))
    images, labels = digits.load("test")
    np.testing.assert_array_equal(np.concatenate([batch[0] for batch in batches]), images)
    np.testing.assert_array_equal(np.concatenate([batch[1] for batch in batches]), labels)


def test_training_epochs_differ_and_repeat_with_the_seed():
    mean = pipeline.mean_of_training_images(DIGITS, WHOLE)

    def two_epochs(seed):
        batches = pipeline.training_batches(DIGITS, WHOLE, 64, mean, seed)
        return [np.concatenate([images for images, _ in _epoch(batches)]) for _ in range(2)]

    first, second = two_epochs(1)
    assert first.shape == (22 * 64, 8, 8, 1)
    assert first.dtype == "uint8"
    assert not np.array_equal(first, second)
    again = two_epochs(1)
    np.testing.assert_array_equal(first, again[0])
    np.testing.assert_array_equal(second, again[1])
    assert not np.array_equal(first, two_epochs(2)[0])


def test_labels_stay_with_their_images_through_shuffling_and_shifting():
    mean = np.zeros((8, 8, 1), "float32")
    images, labels = digits.load("train")
    centre = {bytes(image[2:6, 2:6]): label for image, label in zip(images, labels, strict=True)}
    batches = _epoch(pipeline.training_batches(DIGITS, WHOLE, 64, mean, 0))
    found = agreeing = 0
    for shifted, of_shifted in batches:
        for image, label in zip(shifted, of_shifted, strict=True):
            known = centre.get(bytes(image[2:6, 2:6]))  # one in nine is not shifted
            if known is not None:
                found += 1
                agreeing += known == label
    assert found > 100
    assert agreeing / found > 0.99  # two digits may share their centre


def test_mean_of_whole_images_is_per_pixel():
    mean = pipeline.mean_of_training_images(DIGITS, WHOLE)
    np.testing.assert_allclose(mean, digits.load("train")[0].mean(axis=0), rtol=1e-5)


def test_whole_images_are_enlarged():
    batches = pipeline.evaluation_batches(DIGITS, View(32, whole=True, mirrored=False), 355)
    ((images, _),) = _epoch(batches)
    assert images.shape == (355, 32, 32, 1)
    assert abs(images.mean() - digits.load("test")[0].mean()) < 0.5


def test_crops_of_photographs(photographs):
    mean = pipeline.mean_of_training_images(photographs, CROP)
    assert mean.shape == (3,)
    ((test_images, _),) = _epoch(pipeline.evaluation_batches(photographs, CROP, 4))
    np.testing.assert_allclose(mean, test_images.mean(axis=(0, 1, 2)), rtol=1e-5)
    batches = _epoch(pipeline.training_batches(photographs, CROP, 4, mean, 0))
    assert [images.shape for images, _ in batches] == [(4, 32, 32, 3)] * 3
    # The church's sky is blue and the flower is not: labels stay with their crops.
    blue = {0: [], 1: []}
    for images, labels in batches:
        for image, label in zip(images, labels, strict=True):
            blue[int(label)].append(image[..., 2].mean())
    assert min(blue[0]) > max(blue[1])


@pytest.mark.parametrize(
    ("images", "at_most"), [(355, 256), (355, 128), (50_000, 256), (10_000, 500), (17, 8)]
)
@pytest.mark.parametrize("devices", [1, 2, 3, 8])
def test_no_device_is_left_without_images(images, at_most, devices):
    if (images, devices) == (17, 8):
        with pytest.raises(UserError, match="17 test images cannot be shared out to 8 devices"):
            pipeline.shared_batch_size(images, at_most, devices)
        return
    size = pipeline.shared_batch_size(images, at_most, devices)
    assert at_most // 4 <= size <= at_most
    assert size % devices == 0
    last = images % size or size
    shares = [min(size // devices, last - device * (size // devices)) for device in range(devices)]
    assert min(shares) > 0
