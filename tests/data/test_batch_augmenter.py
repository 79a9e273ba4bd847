import numpy as np
import pytest
import tensorflow as tf

from keras_resnet.data.batch_augment import BatchAugment
from keras_resnet.data.batch_augmenter import BatchAugmenter

# Each image of one grey level of its own, so that what was mixed can be told.
IMAGES = np.repeat(np.arange(8, dtype="uint8") * 30, 16 * 16 * 3).reshape(8, 16, 16, 3)
LABELS = np.arange(8)


def _mixed_by_each(keys, images=IMAGES, **what):
    """The same batch, mixed by each of these keys: (images, labels) of each."""
    augmenter = BatchAugmenter(BatchAugment(**what), 8)
    keys = tf.data.Dataset.from_tensor_slices(tf.constant(keys))
    batches = list(keys.map(lambda key: augmenter(images, LABELS, key)).as_numpy_iterator())
    for mixed, labels in batches:
        assert mixed.shape == images.shape
        assert mixed.dtype == "uint8"
        np.testing.assert_allclose(labels.sum(axis=1), 1, atol=1e-5)
    return batches


def _mixed(images=IMAGES, **what):
    (batch,) = _mixed_by_each([(1, 2)], images, **what)
    return batch


def test_label_smoothing_is_the_papers():
    mixed, labels = _mixed(label_smoothing=0.1)
    np.testing.assert_array_equal(mixed, IMAGES)
    np.testing.assert_allclose(labels, 0.9 * np.eye(8) + 0.1 / 8, atol=1e-6)


def test_mixup_mixes_images_as_their_labels():
    mixed, labels = _mixed(mixup=0.4)
    np.testing.assert_allclose(mixed[:, 0, 0, 0], labels @ IMAGES[:, 0, 0, 0], atol=0.51)
    assert (np.count_nonzero(labels, axis=1) <= 2).all()
    assert (np.count_nonzero(labels, axis=1) == 2).any()


def test_cutmix_pastes_rectangles_as_large_as_their_share_of_the_label():
    mixed, labels = _mixed(cutmix=1.0)
    for i, (image, label) in enumerate(zip(mixed, labels, strict=True)):
        assert set(np.unique(image)) <= {30 * k for k in np.flatnonzero(label)}
        own = np.mean(image[..., 0] == 30 * i)
        assert abs(own - label[i]) < 2 / 16 + 1e-6  # whole rows and columns


def test_random_erasing_leaves_labels_and_erases_as_many_as_asked():
    images = np.full((8, 64, 64, 3), 77, "uint8")
    erased = 0
    for mixed, labels in _mixed_by_each([(i, 0) for i in range(25)], images, random_erasing=0.25):
        np.testing.assert_array_equal(labels, np.eye(8))
        shares = (mixed != 77).any(axis=-1).mean(axis=(1, 2))
        erased += np.count_nonzero(shares)
        assert shares.max() < 0.45
    assert abs(erased / 200 - 0.25) < 0.16  # five standard deviations


def test_randaugment_changes_images_and_not_labels():
    images = np.random.default_rng(0).integers(0, 256, IMAGES.shape, "uint8")
    mixed, labels = _mixed(images=images, randaugment=0.5)
    np.testing.assert_array_equal(labels, np.eye(8))
    assert not np.array_equal(mixed, images)


@pytest.mark.parametrize(
    "what",
    [
        {"mixup": 0.4},
        {"cutmix": 1.0},
        {"mixup": 0.4, "cutmix": 1.0},
        {"random_erasing": 1.0},
        {"randaugment": 0.5},
    ],
    ids=str,
)
def test_same_key_same_batch(what):
    images = np.random.default_rng(0).integers(0, 256, IMAGES.shape, "uint8")
    one, two, other = _mixed_by_each([(1, 2), (1, 2), (1, 3)], images, **what)
    for a, b in zip(one, two, strict=True):
        np.testing.assert_array_equal(a, b)
    assert not np.array_equal(one[0], other[0])


def test_mixup_and_cutmix_take_turns():
    kinds = set()
    for mixed, _ in _mixed_by_each([(i, 0) for i in range(20)], mixup=0.4, cutmix=1.0):
        plain = (mixed == mixed[:, :1, :1]).all()
        kinds.add("mixup" if plain else "cutmix")
    assert kinds == {"mixup", "cutmix"}
