"""Streams of a split's images in a fixed order, as validation, tests and calibration read them."""

from collections.abc import Callable
from typing import Any

import tensorflow as tf

from keras_resnet.data.dataset import Split
from keras_resnet.data.decode_errors import DecodeErrors


def iterate_once(
    split: Split,
    transform: Callable[[tf.Tensor], Any],
    batch_size: int,
    decode_errors: DecodeErrors,
    channels: int,
    *,
    start: int = 0,
    num_samples: int | None = None,
    worker: int = 0,
    workers: int = 1,
) -> tf.data.Dataset:
    """Returns batches (positions, indices, transformed images, labels) of a split's images, each image once.

    An image's position is its number in this order, int64, and does not depend on whether others before it
    can be decoded.

    Args:
        transform: takes an image (an encoded file or pixels) and returns a tensor or a tuple of tensors,
            whose shapes must be the same for all images where batches hold more than one.
        batch_size: most images of a batch.
        decode_errors: what happens to images that cannot be decoded.
        channels: channels to which such an image is decoded when the reason is looked for.
        start: position of the first image.
        num_samples: number of images, drawn at random but always the same ones; None: all images, in order.
        worker: number of this worker, 0..workers-1.
        workers: number of workers that share the images.
    """
    size = min(split.size, num_samples or split.size)
    key = None if num_samples is None else tf.zeros(2, tf.int32)
    first = start + worker
    count = max(0, -(-(size - first) // workers))
    images = (
        enumerate_stream(split.read(key, first, workers).take(count), first, workers)
        .map(
            lambda position, example: (position, position, example[0], transform(example[1]), example[2]),
            num_parallel_calls=tf.data.AUTOTUNE,
        )
        .ignore_errors()
    )
    # An empty batch at the end, whose position reveals images lost just before it.
    end = tf.constant([first + count * workers], tf.int64)
    empty, no_labels = tf.nest.map_structure(
        lambda spec: tf.zeros((0, *(side or 1 for side in spec.shape)), spec.dtype), images.element_spec[3:5]
    )
    nothing = tf.zeros([0], tf.int64)
    last = tf.data.Dataset.from_tensors((end, nothing, nothing, empty, no_labels))
    batches = decode_errors.detect_gaps(
        images.batch(batch_size).concatenate(last),
        split,
        lambda _, position: split.read(key, position),
        tf.zeros(2, tf.int32),
        transform=transform,
        channels=channels,
        start=first,
        step=workers,
    )
    return batches.filter(lambda positions, *_: tf.size(positions) > 0)


def enumerate_stream(stream: tf.data.Dataset, start: tf.Tensor | int, step: int) -> tf.data.Dataset:
    """Returns (position, element), int64, of a stream that holds every `step`-th element from `start` on.

    An element that cannot be read still takes up its position.
    """
    return tf.data.Dataset.zip(tf.data.Dataset.range(start, tf.int64.max, step), stream)


def one_thread_per_op() -> tf.data.Options:
    """Returns options that run each operation on one thread: the images already occupy all cores."""
    options = tf.data.Options()
    options.threading.max_intra_op_parallelism = 1
    return options
