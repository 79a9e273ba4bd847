"""The images of a split as tests see them, in an order that is always the same."""

from collections.abc import Callable
from typing import Any

import tensorflow as tf

from keras_resnet.data.bad_images import BadImages
from keras_resnet.data.source import Split


def in_order(
    split: Split,
    see: Callable[[tf.Tensor], Any],
    batch_size: int,
    bad_images: BadImages,
    channels: int,
    *,
    start: int = 0,
    drawn: int | None = None,
    worker: int = 0,
    workers: int = 1,
) -> tf.data.Dataset:
    """Batches (places, indices, what is seen of the images, labels) of all images of a split, each once.

    The place of an image is its number in this order, int64, whether others before it can be decoded or not.

    Args:
        see: takes an image, an encoded file or pixels, and gives a tensor or several in a tuple. Batches of
            more than one image need shapes that are the same for all.
        batch_size: the most images of a batch.
        bad_images: what happens to those that cannot be decoded.
        channels: of the images.
        start: number of images that were already seen.
        drawn: so many of the images instead, drawn at random, always the same.
        worker, workers: which of how many that share the images.
    """
    size = min(split.size, drawn or split.size)
    order = None if drawn is None else tf.zeros(2, tf.int32)
    first = start + worker
    count = max(0, -(-(size - first) // workers))
    images = (
        numbered(split.read(order, first, workers).take(count), first, workers)
        .map(
            lambda position, example: (position, position, example[0], see(example[1]), example[2]),
            num_parallel_calls=tf.data.AUTOTUNE,
        )
        .ignore_errors()
    )
    # An empty batch at the end, whose position tells of images lost before it.
    end = tf.constant([first + count * workers], tf.int64)
    empty = tf.nest.map_structure(
        lambda spec: tf.zeros((0, *(side or 1 for side in spec.shape)), spec.dtype), images.element_spec[3]
    )
    nothing = tf.zeros([0], tf.int64)
    last = tf.data.Dataset.from_tensors((end, nothing, nothing, empty, nothing))
    batches = bad_images.checked(
        images.batch(batch_size).concatenate(last),
        split,
        lambda key, position: split.read(order, position),
        tf.zeros(2, tf.int32),
        see=see,
        channels=channels,
        start=first,
        step=workers,
    )
    return batches.filter(lambda places, *_: tf.size(places) > 0)


def numbered(stream: tf.data.Dataset, start: tf.Tensor | int, step: int) -> tf.data.Dataset:
    """(position, element), int64, of every `step`-th element of an order from `start` on.

    An element that cannot be read has its position too.
    """
    return tf.data.Dataset.zip(tf.data.Dataset.range(start, tf.int64.max, step), stream)


def one_thread_an_operation() -> tf.data.Options:
    """As many images at a time as there are cores: an operation shared out to several gains nothing more."""
    options = tf.data.Options()
    options.threading.max_intra_op_parallelism = 1
    return options
