"""What a dataset looks like: classes, sizes, samples as training sees them, and how fast they come."""

import collections
import dataclasses
import time
import warnings

import numpy as np
import PIL.Image
import tensorflow as tf

from keras_resnet.data.dataset import Split
from keras_resnet.data.images.pixels import open_image, upright_size
from keras_resnet.data.pipeline import Pipeline
from keras_resnet.data.streams import enumerate_stream
from keras_resnet.data.tools.contact_sheet import COLUMNS

# Of larger splits, this many images are drawn at random.
_MAX_IMAGES = 10_000
_ROWS = 6
_SECONDS = 3.0


@dataclasses.dataclass(frozen=True)
class DatasetStatistics:
    """Counts over the images of a split, or over a random sample of a large one.

    Args:
        images: how many were read.
        labels: number of images of each class, by its index; of a multi-label dataset, with each label.
        sizes: number of images of each (height, width).
        unreadable: how many could not be read, or have no readable size.
    """

    images: int
    labels: collections.Counter[int]
    sizes: collections.Counter[tuple[int, int]]
    unreadable: int


def dataset_statistics(split: Split) -> DatasetStatistics:
    """Reads the labels and headers of a split's images."""
    labels: collections.Counter[int] = collections.Counter()
    sizes: collections.Counter[tuple[int, int]] = collections.Counter()
    count = min(split.size, _MAX_IMAGES)
    order = None if count == split.size else tf.constant([0, 0])
    stream = (
        enumerate_stream(split.read(order), 0, 1)
        .ignore_errors()
        .take_while(lambda position, _: position < count)
    )
    with warnings.catch_warnings():
        # The limit of pixels is twice that of which Pillow warns.
        warnings.simplefilter("ignore", PIL.Image.DecompressionBombWarning)
        for _, (_, image, label) in stream.as_numpy_iterator():
            labels.update(np.flatnonzero(label).tolist() if np.ndim(label) else [int(label)])
            size = _size(image)
            if size is not None:
                sizes[size] += 1
    return DatasetStatistics(count, labels, sizes, count - sizes.total())


def samples(pipeline: Pipeline, mean: np.ndarray) -> tuple[np.ndarray, list[str]]:
    """Returns the first training images, (48, H, W, C) or fewer, and their class names or labels."""
    count = min(COLUMNS * _ROWS, pipeline.steps_per_epoch(1))
    with pipeline.decode_errors.translate():
        pixels, labels = next(pipeline.train_batches(count, 1, mean).as_numpy_iterator())
    names = pipeline.dataset.class_names
    if pipeline.dataset.multi_label:
        return pixels, [", ".join(names[label] for label in np.flatnonzero(own)) for own in labels]
    return pixels, [names[label] for label in labels]


def images_per_second(pipeline: Pipeline, mean: np.ndarray, batch_size: int = 64) -> float:
    """Measures how many training images the pipeline makes per second with nothing that consumes them."""
    batch_size = min(batch_size, pipeline.steps_per_epoch(1))
    batches = iter(pipeline.train_batches(batch_size, 10**6, mean))
    with pipeline.decode_errors.translate():
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
        with open_image(image) as picture:
            return upright_size(picture, image)
    except ValueError:
        return None
