import collections
import dataclasses

import numpy as np
import pytest
import tensorflow as tf
from helpers.errors import refused
from helpers.marks import slow
from helpers.pictures import PHOTOS, encoded

from keras_resnet.data import pipeline
from keras_resnet.data.batch_augment import BatchAugment
from keras_resnet.data.dataset import Dataset, Split
from keras_resnet.data.input_spec import InputSpec, InputTransform
from keras_resnet.data.load import load_dataset
from keras_resnet.data.pipeline import Pipeline
from keras_resnet.data.sources import digits
from keras_resnet.data.sources.arrays import split_from_arrays

DIGITS = load_dataset("digits")
SQUASH = InputTransform(InputSpec(8, 1), hflip=False)
CROP = InputTransform(InputSpec(32, 3, "center"), hflip=True)
NO_UP = {"vflip": True, "rotate90": True, "trivial_augment": True}
NO_MEAN = np.zeros((8, 8, 1), "float32")


def _files(name, size, labels=2):
    """The two photographs in turn, as JPEG files, each image labeled with its number modulo `labels`."""
    contents = tf.constant([encoded(photo[::4, ::4]) for photo in PHOTOS])

    def read(key, start=0, step=1):
        indices = tf.range(size, dtype=tf.int64)
        if key is not None:
            indices = tf.random.experimental.stateless_shuffle(indices, key)
        stream = tf.data.Dataset.from_tensor_slices(indices[start::step])
        return stream.map(lambda index: (index, contents[index % 2], index % labels))

    return Split(name, size, read, str)


PHOTOGRAPHS = Dataset(
    "photographs", ("church", "flower"), (None, None, 3), _files("train", 14), _files("val", 2), True
)
# Labels that tell which image each is.
NUMBERED = dataclasses.replace(PHOTOGRAPHS, train=_files("train", 24, labels=24))
NUMBERED_SQUASH = dataclasses.replace(
    DIGITS,
    train=split_from_arrays("train", digits.load("train")[0][:24], np.arange(24)),
)


def _list(batches):
    return list(batches.as_numpy_iterator())


def _images(batches):
    return np.concatenate([images for images, _ in _list(batches)])


def _labels(batches):
    return [label for _, labels in _list(batches) for label in labels.tolist()]


def test_validation_batches_have_every_image_once_in_order():
    batches = _list(Pipeline(DIGITS, SQUASH).validation_batches(100))
    images, labels = digits.load("test")
    np.testing.assert_array_equal(np.concatenate([batch[0] for batch in batches]), images)
    np.testing.assert_array_equal(np.concatenate([batch[1] for batch in batches]), labels)


@pytest.mark.parametrize("workers", [2, 3, 8])
def test_workers_share_the_validation_images(workers):
    pipe = Pipeline(DIGITS, SQUASH)
    (images, labels), *rest = _list(pipe.validation_batches(355))
    assert not rest
    for worker in range(workers):
        shares = _list(pipe.validation_batches(100, worker=worker, workers=workers))
        np.testing.assert_array_equal(np.concatenate([share[0] for share in shares]), images[worker::workers])
        np.testing.assert_array_equal(np.concatenate([share[1] for share in shares]), labels[worker::workers])


@pytest.mark.parametrize(
    ("dataset", "transform", "shape"),
    [(DIGITS, SQUASH, (22 * 64, 8, 8, 1)), slow(PHOTOGRAPHS, CROP, (12, 32, 32, 3))],
    ids=["squash", "crop"],
)
def test_epochs_differ_and_repeat_with_the_seed(dataset, transform, shape):
    size = 64 if transform.spec.crop_mode == "squash" else 4

    def two_epochs(seed):
        return _images(Pipeline(dataset, transform, seed=seed).train_batches(size, 2, NO_MEAN))

    both = two_epochs(1)
    assert both.dtype == "uint8"
    assert both.shape == (2 * shape[0], *shape[1:])
    first, second = np.split(both, 2)
    assert not np.array_equal(first, second)
    np.testing.assert_array_equal(both, two_epochs(1))
    assert not np.array_equal(both, two_epochs(2))


@pytest.mark.parametrize(
    ("dataset", "transform"),
    [
        (NUMBERED_SQUASH, SQUASH),
        slow(NUMBERED, CROP),
        slow(NUMBERED_SQUASH, dataclasses.replace(SQUASH, **NO_UP)),
        slow(NUMBERED, dataclasses.replace(CROP, **NO_UP)),
    ],
    ids=["squash", "crop", "squash, no up", "crop, no up"],
)
class TestResumedRun:
    def _batches(self, dataset, transform, **options):
        mean = np.zeros(transform.spec.channels, "float32")
        return Pipeline(dataset, transform, seed=3).train_batches(4, 3, mean, **options)

    def test_each_image_once_an_epoch(self, dataset, transform):
        labels = _labels(self._batches(dataset, transform))
        epochs = [labels[start : start + 24] for start in (0, 24, 48)]
        assert all(sorted(epoch) == list(range(24)) for epoch in epochs)
        assert epochs[0] != epochs[1]

    def test_goes_on_where_it_was_killed(self, dataset, transform):
        uninterrupted = _list(self._batches(dataset, transform))
        assert len(uninterrupted) == 18
        for killed in (5, 6, 11):  # in an epoch, between two and in another one
            resumed = _list(self._batches(dataset, transform, first_step=killed))
            for (images, labels), (again, labels_again) in zip(uninterrupted[killed:], resumed, strict=True):
                np.testing.assert_array_equal(again, images)
                np.testing.assert_array_equal(labels_again, labels)

    def test_workers_share_each_batch(self, dataset, transform):
        one = _list(self._batches(dataset, transform))
        shares = [_list(self._batches(dataset, transform, worker=worker, workers=2)) for worker in (0, 1)]
        for batch, *parts in zip(one, *shares, strict=True):
            assert [len(labels) for _, labels in parts] == [2, 2]
            image_of = dict(zip(batch[1].tolist(), batch[0], strict=True))
            together = {
                label: image
                for images, labels in parts
                for label, image in zip(labels.tolist(), images, strict=True)
            }
            assert image_of.keys() == together.keys()
            for label, image in together.items():
                np.testing.assert_array_equal(image, image_of[label])


def test_images_that_are_not_cached_give_the_same_batches(monkeypatch):
    def batches():
        return _list(Pipeline(DIGITS, SQUASH, seed=1).train_batches(64, 2, NO_MEAN))

    cached = batches()
    monkeypatch.setattr(pipeline, "_MAX_CACHED_BYTES", 0)
    for (images, labels), (again, labels_again) in zip(cached, batches(), strict=True):
        np.testing.assert_array_equal(images, again)
        np.testing.assert_array_equal(labels, labels_again)


def test_labels_stay_with_their_images_through_shuffling_and_cropping():
    images, labels = digits.load("train")
    center = {bytes(image[2:6, 2:6]): label for image, label in zip(images, labels, strict=True)}
    found = agreeing = 0
    for crops, crop_labels in _list(Pipeline(DIGITS, SQUASH).train_batches(64, 1, NO_MEAN)):
        for image, label in zip(crops, crop_labels, strict=True):
            known = center.get(bytes(image[2:6, 2:6]))  # one in nine is not moved
            if known is not None:
                found += 1
                agreeing += known == label
    assert found > 100
    assert agreeing / found > 0.99  # two digits may share their center


def test_mean_of_pixels_and_of_channels():
    images = digits.load("train")[0]
    pipe = Pipeline(DIGITS, SQUASH)
    np.testing.assert_allclose(pipe.mean(per_pixel=True), images.mean(axis=0), rtol=1e-5)
    np.testing.assert_allclose(pipe.mean(per_pixel=False), images.mean(axis=(0, 1, 2)), rtol=1e-5)
    crops = Pipeline(PHOTOGRAPHS, CROP)
    ((centers, _),) = _list(crops.validation_batches(4))  # one of each, as among the training images
    np.testing.assert_allclose(crops.mean(per_pixel=True), centers.mean(axis=0), rtol=1e-5)
    np.testing.assert_allclose(crops.mean(per_pixel=False), centers.mean(axis=(0, 1, 2)), rtol=1e-5)


def test_small_images_are_enlarged():
    batches = Pipeline(DIGITS, InputTransform(InputSpec(32, 1), hflip=False)).validation_batches(355)
    ((images, _),) = _list(batches)
    assert images.shape == (355, 32, 32, 1)
    assert abs(images.mean() - digits.load("test")[0].mean()) < 0.5


@pytest.mark.parametrize(
    ("dataset", "transform", "images"), [(DIGITS, SQUASH, 1442), (PHOTOGRAPHS, CROP, 14)]
)
def test_a_batch_of_more_images_than_there_are_is_refused_with_their_number(dataset, transform, images):
    with refused("batch_size", 2000) as caught:
        Pipeline(dataset, transform).train_batches(2000, 1, NO_MEAN)
    assert str(images) in caught.value.reason


@pytest.mark.parametrize("augmentation", ["paper", "random_resized_crop"])
def test_labels_stay_with_their_crops(augmentation):
    transform = dataclasses.replace(CROP, augmentation=augmentation)
    blue = collections.defaultdict(list)
    for images, labels in _list(Pipeline(PHOTOGRAPHS, transform).train_batches(7, 10, NO_MEAN)):
        for image, label in zip(images, labels, strict=True):
            blue[int(label)].append(image[..., 2].mean())
    # The church's sky is blue and the flower is not.
    assert np.median(blue[0]) > 1.5 * np.median(blue[1])


@pytest.mark.parametrize(
    "fields",
    [
        slow({"augmentation": "paper"}),
        slow({"augmentation": "random_resized_crop"}),
        {"vflip": True, "rotate90": True, "trivial_augment": True},
    ],
    ids=str,
)
def test_smaller_training_crops_leave_the_validation_images(fields):
    def images(size, train_size=None):
        spec = InputSpec(size, 3, "center")
        return Pipeline(PHOTOGRAPHS, InputTransform(spec, hflip=True, train_size=train_size, **fields))

    smaller, like_train, like_validation = images(32, 24), images(24), images(32)
    for crops, expected in zip(
        *(_images(one.train_batches(7, 1, NO_MEAN)) for one in (smaller, like_train)), strict=True
    ):
        np.testing.assert_array_equal(crops, expected)
    np.testing.assert_array_equal(
        _images(smaller.validation_batches(2)), _images(like_validation.validation_batches(2))
    )


def test_half_of_the_crops_are_flipped():
    def crops(hflip):
        transform = dataclasses.replace(CROP, hflip=hflip)
        return _images(Pipeline(PHOTOGRAPHS, transform).train_batches(14, 20, NO_MEAN))

    pairs = list(zip(crops(True), crops(False), strict=True))
    same = [np.array_equal(one, other) for one, other in pairs]
    assert all(s or np.array_equal(one, other[:, ::-1]) for s, (one, other) in zip(same, pairs, strict=True))
    assert abs(np.mean(same) - 0.5) < 0.15  # five standard deviations


@pytest.mark.parametrize(("dataset", "transform"), [(NUMBERED_SQUASH, SQUASH), (NUMBERED, CROP)])
def test_turned_images_are_the_others_turned(dataset, transform):
    """Crops stay what they were without these; only what comes after them changes."""

    def images(transform):
        return _images(Pipeline(dataset, transform).train_batches(24, 20, NO_MEAN))

    turned = dataclasses.replace(transform, vflip=True, rotate90=True)
    counts = collections.Counter()
    for one, other in zip(images(transform), images(turned), strict=True):
        symmetries = [np.rot90(start, times) for start in (one, one[::-1]) for times in range(4)]
        found = [number for number, image in enumerate(symmetries) if np.array_equal(image, other)]
        assert found
        counts[found[0]] += 1
    assert len(counts) == 8
    assert max(abs(count / 480 - 1 / 8) for count in counts.values()) < 0.075  # five standard deviations


@pytest.mark.parametrize(("dataset", "transform"), [(NUMBERED_SQUASH, SQUASH), slow(NUMBERED, CROP)])
def test_a_worker_that_resumes_augments_as_one_that_does_not(dataset, transform):
    pipe = Pipeline(dataset, dataclasses.replace(transform, **NO_UP), seed=5)
    mean = np.zeros(transform.spec.channels, "float32")
    images = {
        (label, number // 6): image
        for number, (batch, labels) in enumerate(_list(pipe.train_batches(4, 2, mean)))
        for image, label in zip(batch, labels.tolist(), strict=True)
    }
    resumed = _list(pipe.train_batches(4, 2, mean, first_step=4, worker=1, workers=2))
    assert len(resumed) == 8
    for number, (batch, labels) in enumerate(resumed, start=4):
        for image, label in zip(batch, labels.tolist(), strict=True):
            np.testing.assert_array_equal(image, images[label, number // 6])


def test_gray_crops_are_augmented():
    gray = dataclasses.replace(PHOTOGRAPHS, image_shape=(None, None, 1))
    transform = InputTransform(InputSpec(32, 1, "center"), hflip=True, **NO_UP)
    images = _images(Pipeline(gray, transform).train_batches(7, 2, np.full(1, 99, "float32")))
    assert images.shape == (28, 32, 32, 1)


def test_what_comes_from_outside_is_the_mean():
    transform = dataclasses.replace(CROP, trivial_augment=True)
    images = _images(Pipeline(PHOTOGRAPHS, transform).train_batches(14, 10, np.array([11.2, 200.6, 3.0])))
    outside = (images == (11, 201, 3)).all(axis=-1).mean(axis=(1, 2))
    # Five operations of 14 move pixels, and a quarter of their strengths move few.
    assert 0.1 < np.mean(outside > 0.05) < 5 / 14 + 0.2


def test_mixed_batches_are_resumed():
    def batches(**options):
        images = Pipeline(NUMBERED_SQUASH, SQUASH)
        images = dataclasses.replace(
            images, dataset=dataclasses.replace(NUMBERED_SQUASH, class_names=tuple(map(str, range(24))))
        )
        return _list(images.train_batches(4, 2, NO_MEAN, batch_augment=BatchAugment(mixup=0.3), **options))

    one = batches()
    assert one[0][1].shape == (4, 24)
    for (images, labels), (again, labels_again) in zip(one[8:], batches(first_step=8), strict=True):
        np.testing.assert_array_equal(images, again)
        np.testing.assert_array_equal(labels, labels_again)


def test_channels_that_differ_from_the_models_are_refused():
    with refused("dataset", "digits"):
        Pipeline(DIGITS, InputTransform(InputSpec(8, 3), hflip=False))
