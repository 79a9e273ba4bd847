"""How the decoder reads what TensorFlow's operations alone do not: EXIF, and the rarer files."""

import dataclasses
from collections.abc import Callable

import numpy as np
import tensorflow as tf

from keras_resnet.data.images.exif import jpeg_orientation
from keras_resnet.data.images.pixels import read_pixels


@dataclasses.dataclass(frozen=True)
class Reader:
    """How the decoder reads EXIF, and the files that TensorFlow reads otherwise than Pillow.

    Args:
        orientation: takes the contents of a JPEG and returns its EXIF orientation, 1..8, int64.
        pixels: takes the contents of a file that is neither a PNG nor a gray or RGB JPEG, and returns its
            pixels, (H, W, 3) uint8.
    """

    orientation: Callable[[tf.Tensor], tf.Tensor]
    pixels: Callable[[tf.Tensor], tf.Tensor]


def _orientation(contents: tf.Tensor) -> tf.Tensor:
    def read(value):
        return np.int64(jpeg_orientation(_bytes(value)))

    return tf.ensure_shape(tf.numpy_function(read, [contents], tf.int64, stateful=False), ())


def _pixels(contents: tf.Tensor) -> tf.Tensor:
    def read(value):
        return read_pixels(_bytes(value))

    try:
        pixels = tf.numpy_function(read, [contents], tf.uint8, stateful=False)
    except ValueError as error:
        # A graph translates Python's errors itself.
        raise tf.errors.InvalidArgumentError(None, None, str(error)) from error
    return tf.ensure_shape(pixels, (None, None, 3))


def _bytes(value: bytes | np.ndarray) -> bytes:
    # Eagerly, TensorFlow passes the contents of a file as an array without dimensions.
    return value.item() if isinstance(value, np.ndarray) else value


# Reads with Pillow: for training and tests. A graph that holds it cannot be exported.
PILLOW = Reader(_orientation, _pixels)
