"""What training and tests see of an image: where it is cut, at which scale, in which light.

Nothing here draws random numbers: a crop is a function of the image's size and of numbers given to it.
"""

import math
from typing import NamedTuple

import tensorflow as tf

from keras_resnet.data.view import SHORTER_SIDE, shorter_side

# The paper's ImageNet images for a crop of 224: shorter side from 256 to 480 pixels, and 256 for tests.
_LONGEST_SHORTER_SIDE = 480 / 224

# Szegedy et al. 2014, "Going deeper with convolutions": share of the area, width by height, attempts.
_AREA = (0.08, 1.0)
_ASPECT = (3 / 4, 4 / 3)
_ATTEMPTS = 10

# How many uniform numbers (0..1) decide about an image; the last one about its mirror image.
PAPER_DRAWS = 4
SHIFT_DRAWS = 3
INCEPTION_DRAWS = 2 * _ATTEMPTS + 3

# Krizhevsky et al. 2012, section 4.1: standard deviations, in grey levels, along the principal components of
# ImageNet's RGB values, as published with cuda-convnet; each multiplied by a normal number of this deviation.
_LIGHTING = 0.1
_DEVIATIONS = (55.46, 4.794, 1.148)
_COMPONENTS = (
    (-0.5675, 0.7192, 0.4009),
    (-0.5808, -0.0045, -0.8140),
    (-0.5836, -0.6948, 0.4203),
)


class Crop(NamedTuple):
    """A square of an image at another scale, before anything is computed.

    Args:
        scale: pixels of the scaled image for one of the image, (down, across) float32.
        corner: where the square begins in the scaled image, (down, across) float32.
    """

    scale: tf.Tensor
    corner: tf.Tensor


def paper_box(shape: tf.Tensor, size: int, draws: tf.Tensor) -> tf.Tensor:
    """The part of an image that becomes a random square at a random scale (section 3.4), in whole pixels.

    For size 224 the shorter side of the scaled image is between 256 and 480 pixels, and in proportion for
    others.

    Args:
        shape: of the image, (height, width) int32.
        size: of the square in pixels.
        draws: three or more numbers of 0..1: scale, top, left.

    Returns:
        (top, left, height, width) int32.
    """
    shorter = float(size) * (SHORTER_SIDE + draws[0] * (_LONGEST_SHORTER_SIDE - SHORTER_SIDE))
    side = tf.maximum(1.0, tf.round(tf.reduce_min(_float(shape)) * size / shorter))
    corner = tf.floor(draws[1:3] * (_float(shape) - side + 1))
    return tf.cast(tf.concat([corner, [side, side]], axis=0), tf.int32)


def inception_box(shape: tf.Tensor, size: int, draws: tf.Tensor) -> tf.Tensor:
    """A random rectangle: 8% to 100% of the area, aspect 3:4 to 4:3.

    The first of ten attempts that fits into the image; after ten, the largest such rectangle at its centre.

    Args, Returns: as of `paper_box`, with `INCEPTION_DRAWS` numbers.
    """
    del size  # any rectangle becomes any square
    height, width = tf.unstack(_float(shape))
    area = height * width * (_AREA[0] + draws[:_ATTEMPTS] * (_AREA[1] - _AREA[0]))
    low, high = (math.log(aspect) for aspect in _ASPECT)
    aspect = tf.exp(low + draws[_ATTEMPTS : 2 * _ATTEMPTS] * (high - low))
    rectangles = tf.round(tf.stack([tf.sqrt(area / aspect), tf.sqrt(area * aspect)], axis=1))
    fits = tf.reduce_all((rectangles > 0) & (rectangles <= [height, width]), axis=1)
    largest = tf.round(
        tf.stack([tf.minimum(height, width / _ASPECT[0]), tf.minimum(width, height * _ASPECT[1])])
    )
    any_fits = tf.reduce_any(fits)
    rectangle = tf.where(any_fits, rectangles[tf.argmax(tf.cast(fits, tf.int32))], largest)
    room = _float(shape) - rectangle
    drawn = tf.floor(draws[2 * _ATTEMPTS : 2 * _ATTEMPTS + 2] * (room + 1))
    corner = tf.where(any_fits, drawn, tf.floor(room / 2))
    return tf.cast(tf.concat([corner, rectangle], axis=0), tf.int32)


def centre_crop(shape: tf.Tensor, size: int) -> Crop:
    """The centre of an image whose shorter side is 256 pixels for size 224 (section 3.4)."""
    scaled = scaled_shape(shape, shorter_side(size))
    return Crop(scaled / _float(shape), tf.floor((scaled - size) / 2))


def scaled_shape(shape: tf.Tensor, shorter: int) -> tf.Tensor:
    """Height and width, float32, of an image scaled to a shorter side of so many pixels."""
    scale = float(shorter) / tf.reduce_min(_float(shape))
    return tf.maximum(tf.round(_float(shape) * scale), float(shorter))


def whole(shape: tf.Tensor, size: int) -> Crop:
    """All of an image, squeezed into a square."""
    return Crop(size / _float(shape), tf.zeros(2))


def lighting(normal: tf.Tensor) -> tf.Tensor:
    """What is added to the red, green and blue of an image (Krizhevsky et al. 2012), in grey levels.

    Shapes: (N, 3) -> (N, 3).

    Args:
        normal: numbers of mean 0 and deviation 1.
    """
    return tf.matmul(
        _LIGHTING * normal * tf.constant(_DEVIATIONS), tf.constant(_COMPONENTS), transpose_b=True
    )


def pad_crop_mirror(
    images: tf.Tensor, padding: int, fill: tf.Tensor, draws: tf.Tensor, *, mirror: bool
) -> tf.Tensor:
    """A random crop of each padded image, or of its mirror image (section 4.2).

    Shapes: (N, H, W, C) -> (N, H, W, C).

    Args:
        padding: pixels on each side: 4 for 32x32.
        fill: what the padding shows, (H, W, C): the mean image, so that it is 0 in the net.
        draws: (N, 3) numbers of 0..1: rows, columns, mirror image.
        mirror: whether half of the images are mirrored.
    """
    height, width, channels = tf.unstack(tf.shape(images)[1:])
    shift = tf.cast(tf.floor(draws[:, :2] * (2 * padding + 1)), tf.int32) - padding
    rows = tf.range(height) + shift[:, :1]
    columns = tf.range(width) + shift[:, 1:]
    if mirror:
        columns = tf.where(draws[:, 2:] < 0.5, tf.reverse(columns, [1]), columns)
    # Gathering rows, then columns, moves the whole batch at once.
    crops = tf.gather(images, tf.clip_by_value(rows, 0, height - 1), axis=1, batch_dims=1)
    crops = tf.gather(crops, tf.clip_by_value(columns, 0, width - 1), axis=2, batch_dims=1)
    inside_rows = tf.cast((rows >= 0) & (rows < height), tf.uint8)
    inside_columns = tf.cast((columns >= 0) & (columns < width), tf.uint8)
    # In rows of numbers and by arithmetic modulo 256, three times as fast as a choice pixel by pixel.
    inside = inside_rows[:, :, tf.newaxis] * tf.repeat(inside_columns, channels, axis=1)[:, tf.newaxis]
    shown = tf.reshape(tf.broadcast_to(fill, [height, width, channels]), [height, width * channels])
    crops = tf.reshape(crops, [-1, height, width * channels])
    return tf.reshape((crops - shown) * inside + shown, tf.shape(images))


def _float(shape: tf.Tensor) -> tf.Tensor:
    return tf.cast(shape, tf.float32)
