"""Batches for training and for tests: read, augment, batch. Pixels stay uint8; the net normalises them."""

import numpy as np
import tensorflow as tf

from keras_resnet.data import augment
from keras_resnet.data.sources import Source
from keras_resnet.data.view import View
from keras_resnet.errors import UserError

# Images held for shuffling: all the small ones, some hundred MB of the others.
_SHUFFLED_WHOLE = 100_000
_SHUFFLED = 1_000
_CACHED_BYTES = 2**30
_MEAN_CROPS = 1024


def training_batches(
    source: Source, view: View, batch_size: int, mean: np.ndarray, seed: int
) -> tf.data.Dataset:
    """Shuffled, augmented batches of the training images, newly at random each epoch.

    The last partial batch is dropped. Gives (images uint8 (batch_size, size, size, C), labels (batch_size,)).

    Args:
        mean: what the net will subtract; padding shows it.
    """
    seeds = tf.data.Dataset.random(seed, rerandomize_each_iteration=True).batch(2)
    images = _images(source, "train", view)
    images = images.shuffle(_SHUFFLED_WHOLE if view.whole else _SHUFFLED, seed=seed)
    if view.whole:
        fill = tf.saturate_cast(tf.round(mean), tf.uint8)

        def shift(batch, seed):
            moved = augment.pad_crop_mirror(batch[0], view.padding, fill, seed, mirror=view.mirrored)
            return moved, batch[1]

        batches = images.batch(batch_size, drop_remainder=True)
        batches = tf.data.Dataset.zip(batches, seeds).map(shift, num_parallel_calls=tf.data.AUTOTUNE)
    else:

        def crop(example, seed):
            return augment.scale_crop_mirror(example[0], view.size, seed, mirror=view.mirrored), example[1]

        batches = tf.data.Dataset.zip(images, seeds).map(crop, num_parallel_calls=tf.data.AUTOTUNE)
        batches = batches.batch(batch_size, drop_remainder=True)
    return batches.prefetch(tf.data.AUTOTUNE)


def evaluation_batches(source: Source, view: View, batch_size: int, devices: int = 1) -> tf.data.Dataset:
    """All test images once, in their order: (images uint8 (n, size, size, C), labels (n,)).

    Args:
        batch_size: the most images of a batch.
        devices: that share each batch.
    """
    images = _centred(_images(source, "test", view), view)
    size = shared_batch_size(source.test_size, batch_size, devices)
    return images.batch(size).prefetch(tf.data.AUTOTUNE)


def shared_batch_size(images: int, at_most: int, devices: int) -> int:
    """The largest batch size that leaves no device without images, in the last batch neither.

    A strategy fills one device's share after the other, and oneDNN's convolutions fail on an empty one.

    Raises:
        UserError: there is no such size.
    """
    for size in range(at_most - at_most % devices, 0, -devices):
        last = images % size
        if last == 0 or last > size - size // devices:
            return size
    raise UserError(
        f"The {images} test images cannot be shared out to {devices} devices; take fewer devices."
    )


def mean_of_training_images(source: Source, view: View) -> np.ndarray:
    """What the net subtracts: the mean of each pixel (H, W, C), or of each channel (C,) where crops are seen.

    All whole images are read, and the centres of the first 1,024 of the others.
    """
    images = _centred(_images(source, "train", view), view)
    if not view.whole:
        images = images.take(_MEAN_CROPS)
    total, count = 0.0, 0
    for batch, _ in images.batch(128).prefetch(1).as_numpy_iterator():
        total = total + batch.sum(axis=0, dtype="float64")
        count += len(batch)
    mean = total / count
    return (mean if view.whole else mean.mean(axis=(0, 1))).astype("float32")


def _images(source: Source, split: str, view: View) -> tf.data.Dataset:
    images = source.read(split)
    if not view.whole:
        return images
    height, width, channels = source.image_shape
    if (height, width) != (view.size, view.size):
        images = images.map(
            lambda image, label: (augment.resize(image, view.size, view.size), label),
            num_parallel_calls=tf.data.AUTOTUNE,
        )
    count = source.train_size if split == "train" else source.test_size
    return images.cache() if count * view.size**2 * channels <= _CACHED_BYTES else images


def _centred(images: tf.data.Dataset, view: View) -> tf.data.Dataset:
    if view.whole:
        return images
    return images.map(
        lambda image, label: (augment.centre_crop(image, view.size), label),
        num_parallel_calls=tf.data.AUTOTUNE,
    )
