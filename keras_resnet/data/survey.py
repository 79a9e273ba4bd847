"""What a dataset looks like: classes, sizes, samples as training sees them, and how fast they come."""

import collections
import dataclasses
import io
import time
import warnings

import numpy as np
import PIL.Image
import tensorflow as tf

from keras_resnet.data.in_order import numbered
from keras_resnet.data.pipeline import Pipeline
from keras_resnet.data.sheet import COLUMNS
from keras_resnet.data.source import Split

# Images looked at; of larger splits, as many drawn at random.
_LOOKED_AT = 10_000
_ROWS = 6
_SECONDS = 3.0


@dataclasses.dataclass(frozen=True)
class Survey:
    """Counts of what was looked at.

    Args:
        images: how many.
        labels: images of each class, by its number.
        sizes: images of each (height, width).
        unreadable: images that could not be read, or whose size could not.
    """

    images: int
    labels: collections.Counter[int]
    sizes: collections.Counter[tuple[int, int]]
    unreadable: int


def survey(split: Split) -> Survey:
    """Look at the labels and headers of a split's images."""
    labels: collections.Counter[int] = collections.Counter()
    sizes: collections.Counter[tuple[int, int]] = collections.Counter()
    count = min(split.size, _LOOKED_AT)
    order = None if count == split.size else tf.constant([0, 0])
    stream = (
        numbered(split.read(order), 0, 1).ignore_errors().take_while(lambda position, _: position < count)
    )
    with warnings.catch_warnings():
        # The limit of pixels is twice that of which Pillow warns.
        warnings.simplefilter("ignore", PIL.Image.DecompressionBombWarning)
        for _, (_, image, label) in stream.as_numpy_iterator():
            labels[int(label)] += 1
            size = _size(image)
            if size is not None:
                sizes[size] += 1
    return Survey(count, labels, sizes, count - sizes.total())


def samples(images: Pipeline, mean: np.ndarray) -> tuple[np.ndarray, list[str]]:
    """What training sees first: images (48, H, W, C), fewer where there are fewer, and their classes."""
    count = min(COLUMNS * _ROWS, images.steps_per_epoch(1))
    with images.bad_images.told():
        pixels, labels = next(images.training_batches(count, 1, mean).as_numpy_iterator())
    return pixels, [images.source.class_names[label] for label in labels]


def images_per_second(images: Pipeline, mean: np.ndarray, batch_size: int = 64) -> float:
    """How many training images come each second, with nothing that uses them."""
    batch_size = min(batch_size, images.steps_per_epoch(1))
    batches = iter(images.training_batches(batch_size, 10**6, mean))
    with images.bad_images.told():
        for _ in range(3):
            next(batches)
        count, start = 0, time.perf_counter()
        while time.perf_counter() - start < _SECONDS:
            next(batches)
            count += batch_size
        return count / (time.perf_counter() - start)


def _size(image: bytes | np.ndarray) -> tuple[int, int] | None:
    if not isinstance(image, bytes):
        return image.shape[:2]
    try:
        with PIL.Image.open(io.BytesIO(image)) as picture:
            return picture.height, picture.width
    except (OSError, SyntaxError, ValueError, PIL.Image.DecompressionBombError):
        return None
