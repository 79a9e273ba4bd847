"""Crops, flips and light of images for training and tests.

Nothing here draws random numbers: a crop is a function of the image's size and of uniform numbers passed to
it.
"""

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import tensorflow as tf

from keras_resnet.data.input_spec import RESIZE_RATIO, resize_size

# Largest shorter side of the paper's training images over the side of their crop (section 3.4).
_MAX_RESIZE_RATIO = 480 / 224

# Szegedy et al. 2014, "Going deeper with convolutions": fraction of the area, width by height, attempts.
_AREA = (0.08, 1.0)
_ASPECT = (3 / 4, 4 / 3)
_ATTEMPTS = 10

# Numbers of uniform values (0..1) that decide about an image; the last one decides whether it is flipped.
SCALE_JITTER_UNIFORMS = 4
CROP_FLIP_UNIFORMS = 3
RESIZED_CROP_UNIFORMS = 2 * _ATTEMPTS + 3
TURN_UNIFORMS = 2

# Krizhevsky et al. 2012, section 4.1: standard deviations, in gray levels, along the principal components of
# ImageNet's RGB values, as published with cuda-convnet; each is multiplied by a normal number of this
# deviation.
_LIGHTING = 0.1
_DEVIATIONS = (55.46, 4.794, 1.148)
_COMPONENTS = (
    (-0.5675, 0.7192, 0.4009),
    (-0.5808, -0.0045, -0.8140),
    (-0.5836, -0.6948, 0.4203),
)


class Crop(NamedTuple):
    """Where a square lies in a resized image.

    Args:
        scale: pixels of the resized image for one of the image, (down, across) float32.
        corner: top left corner of the square in the resized image, (down, across) float32.
    """

    scale: tf.Tensor
    corner: tf.Tensor


def scale_jitter_box(shape: tf.Tensor, size: int, uniforms: tf.Tensor) -> tf.Tensor:
    """Returns the part of an image that becomes a random square at a random scale (section 3.4).

    For size 224 the shorter side of the resized image is between 256 and 480 pixels, and in proportion for
    other sizes.

    Args:
        shape: of the image, (height, width) int32.
        size: of the square in pixels.
        uniforms: three or more numbers of 0..1: scale, top, left.

    Returns:
        (top, left, height, width) int32, in pixels of the image.
    """
    shorter = float(size) * (RESIZE_RATIO + uniforms[0] * (_MAX_RESIZE_RATIO - RESIZE_RATIO))
    side = tf.maximum(1.0, tf.round(tf.reduce_min(_float(shape)) * size / shorter))
    corner = tf.floor(uniforms[1:3] * (_float(shape) - side + 1))
    return tf.cast(tf.concat([corner, [side, side]], axis=0), tf.int32)


def random_resized_crop_box(shape: tf.Tensor, size: int, uniforms: tf.Tensor) -> tf.Tensor:
    """Returns a random rectangle of 8% to 100% of the area and an aspect ratio of 3:4 to 4:3.

    It is the first of ten attempts that fits into the image; if none does, the largest such rectangle at the
    center.

    Args, Returns: as of `scale_jitter_box`, with `RESIZED_CROP_UNIFORMS` numbers.
    """
    del size  # any rectangle becomes any square
    height, width = tf.unstack(_float(shape))
    area = height * width * (_AREA[0] + uniforms[:_ATTEMPTS] * (_AREA[1] - _AREA[0]))
    low, high = (math.log(aspect) for aspect in _ASPECT)
    aspect = tf.exp(low + uniforms[_ATTEMPTS : 2 * _ATTEMPTS] * (high - low))
    rectangles = tf.round(tf.stack([tf.sqrt(area / aspect), tf.sqrt(area * aspect)], axis=1))
    fits = tf.reduce_all((rectangles > 0) & (rectangles <= [height, width]), axis=1)
    largest = tf.round(
        tf.stack([tf.minimum(height, width / _ASPECT[0]), tf.minimum(width, height * _ASPECT[1])])
    )
    any_fits = tf.reduce_any(fits)
    rectangle = tf.where(any_fits, rectangles[tf.argmax(tf.cast(fits, tf.int32))], largest)
    space = _float(shape) - rectangle
    random_corner = tf.floor(uniforms[2 * _ATTEMPTS : 2 * _ATTEMPTS + 2] * (space + 1))
    corner = tf.where(any_fits, random_corner, tf.floor(space / 2))
    return tf.cast(tf.concat([corner, rectangle], axis=0), tf.int32)


def center_crop(shape: tf.Tensor, size: int) -> Crop:
    """Returns the center of an image resized to a shorter side of 256 pixels for size 224 (section 3.4)."""
    scaled = scaled_shape(shape, resize_size(size))
    return Crop(scaled / _float(shape), tf.floor((scaled - size) / 2))


def scaled_shape(shape: tf.Tensor, shorter: int) -> tf.Tensor:
    """Returns height and width, float32, of an image resized to a shorter side of `shorter` pixels."""
    scale = float(shorter) / tf.reduce_min(_float(shape))
    return tf.maximum(tf.round(_float(shape) * scale), float(shorter))


def squash(shape: tf.Tensor, size: int) -> Crop:
    """Returns the whole image, resized to a square."""
    return Crop(size / _float(shape), tf.zeros(2))


def upright(pixels: tf.Tensor, orientation: tf.Tensor) -> tf.Tensor:
    """Turns pixels of an EXIF orientation upright."""

    def where(orientations, change):
        return tf.cond(tf.reduce_any(orientation == orientations), lambda: change(pixels), lambda: pixels)

    pixels = where([5, 6, 7, 8], lambda image: tf.transpose(image, [1, 0, 2]))
    pixels = where([3, 4, 7, 8], lambda image: tf.reverse(image, [0]))
    return where([2, 3, 6, 7], lambda image: tf.reverse(image, [1]))


def lighting(normal: tf.Tensor) -> tf.Tensor:
    """Returns what is added to red, green and blue of an image (Krizhevsky et al. 2012), in gray levels.

    Shapes: (N, 3) -> (N, 3).

    Args:
        normal: numbers of mean 0 and standard deviation 1.
    """
    return tf.matmul(
        _LIGHTING * normal * tf.constant(_DEVIATIONS), tf.constant(_COMPONENTS), transpose_b=True
    )


def random_crop_flip(
    images: tf.Tensor, padding: int, fill: tf.Tensor, uniforms: tf.Tensor, *, hflip: bool
) -> tf.Tensor:
    """Crops each padded image at random and flips half of them (section 4.2).

    Shapes: (N, H, W, C) -> (N, H, W, C).

    Args:
        padding: pixels on each side: 4 for 32x32.
        fill: values of the padding, (H, W, C) or (C,): the mean, which is 0 in the model.
        uniforms: (N, 3) numbers of 0..1: rows, columns, flip.
        hflip: whether images are flipped.
    """
    height, width, channels = tf.unstack(tf.shape(images)[1:])
    shift = tf.cast(tf.floor(uniforms[:, :2] * (2 * padding + 1)), tf.int32) - padding
    rows = tf.range(height) + shift[:, :1]
    columns = tf.range(width) + shift[:, 1:]
    if hflip:
        columns = tf.where(uniforms[:, 2:] < 0.5, tf.reverse(columns, [1]), columns)
    # Gathering rows, then columns, moves the whole batch at once.
    crops = tf.gather(images, tf.clip_by_value(rows, 0, height - 1), axis=1, batch_dims=1)
    crops = tf.gather(crops, tf.clip_by_value(columns, 0, width - 1), axis=2, batch_dims=1)
    inside_rows = tf.cast((rows >= 0) & (rows < height), tf.uint8)
    inside_columns = tf.cast((columns >= 0) & (columns < width), tf.uint8)
    # On rows of numbers and in arithmetic modulo 256, three times as fast as a selection pixel by pixel.
    inside = inside_rows[:, :, tf.newaxis] * tf.repeat(inside_columns, channels, axis=1)[:, tf.newaxis]
    padded = tf.reshape(tf.broadcast_to(fill, [height, width, channels]), [height, width * channels])
    crops = tf.reshape(crops, [-1, height, width * channels])
    return tf.reshape((crops - padded) * inside + padded, tf.shape(images))


def random_turn(images: tf.Tensor, uniforms: tf.Tensor, *, vflip: bool, rotate90: bool) -> tf.Tensor:
    """Flips half of the images top to bottom, and turns each by 0, 90, 180 or 270 degrees.

    Shapes: (N, S, S, C) -> (N, S, S, C).

    Args:
        uniforms: (N, 2) numbers of 0..1: turns, flip.
        vflip: whether images are flipped.
        rotate90: whether images are turned, counterclockwise.
    """
    if vflip:
        flipped = tf.cast(uniforms[:, 1] < 0.5, tf.int32)
        images = by_group(images, flipped, [lambda some, _: some, lambda some, _: tf.reverse(some, [1])])
    if rotate90:
        turns = tf.cast(uniforms[:, 0] * 4, tf.int32)
        turned = [lambda some, _, times=times: tf.image.rot90(some, times) for times in range(4)]
        images = by_group(images, turns, turned)
    return images


def by_group(
    images: tf.Tensor, groups: tf.Tensor, functions: Sequence[Callable[[tf.Tensor, tf.Tensor], tf.Tensor]]
) -> tf.Tensor:
    """Applies to each image of a batch the function of its group; computes none for other images.

    Shapes: (N, H, W, C), (N,) int32 -> (N, H, W, C).

    Args:
        functions: take some of the images and their places in the batch, and return as many images of this
            shape; also for none.
    """
    rows = tf.dynamic_partition(tf.range(tf.shape(images)[0]), groups, len(functions))
    parts = [function(tf.gather(images, some), some) for function, some in zip(functions, rows, strict=True)]
    return tf.reshape(tf.dynamic_stitch(rows, parts), tf.shape(images))


def _float(shape: tf.Tensor) -> tf.Tensor:
    return tf.cast(shape, tf.float32)
