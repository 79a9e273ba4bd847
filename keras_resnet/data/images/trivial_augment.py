"""TrivialAugment (Müller & Hutter 2021, "wide"): one operation of a random strength on each image.

Each operation computes what Pillow's of the same name does, on a batch of uint8 pixels. Nothing here draws
random numbers: what happens to an image is a function of three uniform numbers passed for it.
"""

import math
from collections.abc import Callable, Sequence

import tensorflow as tf

from keras_resnet.data.images.augment import by_group

# Numbers of uniform values (0..1) that decide about an image: operation, strength, sign.
TRIVIAL_AUGMENT_UNIFORMS = 3

# Strengths are 0..30, and the largest ones those of the paper's wide space (table 6 there).
_LEVELS = 31
_MAX_SHEAR = 0.99
_MAX_TRANSLATION = 32  # pixels, the side of the paper's images
_MAX_DEGREES = 135
_ENHANCE = (0.01, 2.0)
_BITS = (2, 8)

# ITU-R BT.601, as Pillow rounds it.
_LUMA, _LUMA_SHIFT = (19595, 38470, 7471), 16
# The kernel of Pillow's SMOOTH: ones around this center.
_SMOOTH_CENTER = 5

# (images (N, H, W, C) uint8, levels (N,) int32, signs (N,) float32 of -1 and 1, fill (C,) uint8) -> images.
_Operation = Callable[[tf.Tensor, tf.Tensor, tf.Tensor, tf.Tensor], tf.Tensor]


def trivial_augment(images: tf.Tensor, uniforms: tf.Tensor, fill: tf.Tensor) -> tf.Tensor:
    """Applies one operation, drawn uniformly of 14, to each image.

    Shapes: (N, H, W, C) uint8 -> (N, H, W, C) uint8.

    Args:
        uniforms: (N, 3) numbers of 0..1: operation, strength, sign.
        fill: values of pixels that come from outside of an image, (C,) uint8.
    """
    operation = tf.cast(uniforms[:, 0] * len(OPERATIONS), tf.int32)
    level = tf.cast(uniforms[:, 1] * _LEVELS, tf.int32)
    sign = tf.where(uniforms[:, 2] < 0.5, -1.0, 1.0)

    def applied(apply: _Operation) -> Callable[[tf.Tensor, tf.Tensor], tf.Tensor]:
        return lambda some, rows: apply(some, tf.gather(level, rows), tf.gather(sign, rows), fill)

    return by_group(images, operation, [applied(apply) for apply in OPERATIONS.values()])


def _identity(images, level, sign, fill):
    return images


def _shear_x(images, level, sign, fill):
    return _warp(images, [1.0, sign * _fraction(level) * _MAX_SHEAR, 0.0, 0.0, 1.0, 0.0], fill)


def _shear_y(images, level, sign, fill):
    return _warp(images, [1.0, 0.0, 0.0, sign * _fraction(level) * _MAX_SHEAR, 1.0, 0.0], fill)


def _translate_x(images, level, sign, fill):
    return _warp(images, [1.0, 0.0, sign * _pixels(level, tf.shape(images)[2]), 0.0, 1.0, 0.0], fill)


def _translate_y(images, level, sign, fill):
    return _warp(images, [1.0, 0.0, 0.0, 0.0, 1.0, sign * _pixels(level, tf.shape(images)[1])], fill)


def _rotate(images, level, sign, fill):
    """Turns counterclockwise around the center, as Pillow's `Image.rotate`."""
    degrees = sign * _float(level * _MAX_DEGREES // (_LEVELS - 1))
    cosine, sine = tf.cos(degrees * (math.pi / 180)), tf.sin(degrees * (math.pi / 180))
    center_x, center_y = (_float(tf.shape(images)[axis]) / 2 for axis in (2, 1))
    across = center_x - cosine * center_x + sine * center_y
    down = center_y - sine * center_x - cosine * center_y
    return _warp(images, [cosine, -sine, across, sine, cosine, down], fill)


def _brightness(images, level, sign, fill):
    return _enhance(images, tf.zeros([1, 1, 1, 1]), level)


def _color(images, level, sign, fill):
    if images.shape[-1] == 1:
        return images
    return _enhance(images, _gray(images, 3), level)


def _contrast(images, level, sign, fill):
    total = tf.reduce_sum(tf.cast(_gray(images, 1), tf.int32), axis=[1, 2, 3], keepdims=True)
    count = tf.shape(images)[1] * tf.shape(images)[2]
    return _enhance(images, _float((2 * total + count) // (2 * count)), level)


def _sharpness(images, level, sign, fill):
    """Blends with the image smoothed by a 3x3 kernel, which leaves the outermost pixels as they are."""
    pixels, (_, height, width, channels) = _float(images), tf.unstack(tf.shape(images))
    kernel = tf.tensor_scatter_nd_update(tf.ones([3, 3]), [[1, 1]], [_SMOOTH_CENTER])
    kernels = tf.tile(kernel[:, :, tf.newaxis, tf.newaxis], [1, 1, channels, 1])
    total = tf.nn.depthwise_conv2d(pixels, kernels, [1, 1, 1, 1], "SAME")
    smooth = tf.floor(total / (_SMOOTH_CENTER + 8) + 0.5)
    inside = tf.pad(tf.ones([1, height - 2, width - 2, channels]), [[0, 0], [1, 1], [1, 1], [0, 0]])
    return _enhance(images, pixels + inside * (smooth - pixels), level)


def _posterize(images, level, sign, fill):
    low, high = _BITS
    bits = high - level * (high - low) // (_LEVELS - 1)
    mask = tf.cast(256 - tf.bitwise.left_shift(tf.ones_like(bits), 8 - bits), tf.uint8)
    return tf.bitwise.bitwise_and(images, mask[:, tf.newaxis, tf.newaxis, tf.newaxis])


def _solarize(images, level, sign, fill):
    """Inverts the values from a threshold on."""
    threshold = 256 - level * 256 // (_LEVELS - 1)
    # No value is as large as 256, and 255 is the largest threshold that pixels can be compared with.
    is_over = images >= tf.cast(tf.minimum(threshold, 255), tf.uint8)[:, tf.newaxis, tf.newaxis, tf.newaxis]
    some = tf.cast(threshold < 256, tf.uint8)[:, tf.newaxis, tf.newaxis, tf.newaxis]
    return tf.bitwise.bitwise_xor(images, tf.cast(is_over, tf.uint8) * (255 * some))


def _auto_contrast(images, level, sign, fill):
    """Stretches each channel to 0..255."""
    low, high = (tf.cast(of(images, axis=[1, 2]), tf.float64) for of in (tf.reduce_min, tf.reduce_max))
    scale = tf.where(high > low, 255.0 / tf.maximum(high - low, 1.0), 1.0)
    offset = tf.where(high > low, -low * scale, 0.0)
    rows = tf.cast(_in_rows(images), tf.float64)
    width = tf.shape(images)[2]
    rows = rows * _along_rows(scale, width) + _along_rows(offset, width)
    return tf.reshape(tf.cast(tf.clip_by_value(rows, 0.0, 255.0), tf.uint8), tf.shape(images))


def _equalize(images, level, sign, fill):
    """Makes the values of each channel equally frequent."""
    shape = tf.shape(images)
    histograms = tf.math.bincount(_numbered(images), minlength=shape[0] * shape[3] * 256)
    histograms = tf.reshape(histograms, [shape[0], shape[3], 256])
    count = shape[1] * shape[2]
    brightest = tf.reduce_max(tf.cast(images, tf.int32), axis=[1, 2])
    # All values but the largest one in steps of a 255th of them.
    step = (count - tf.gather(histograms, brightest, batch_dims=2)) // 255
    below = tf.cumsum(histograms, axis=-1, exclusive=True)
    tables = (step[..., tf.newaxis] // 2 + below) // tf.maximum(step, 1)[..., tf.newaxis]
    return _look_up(images, tf.where((step > 0)[..., tf.newaxis], tf.minimum(tables, 255), tf.range(256)))


OPERATIONS: dict[str, _Operation] = {
    "identity": _identity,
    "shear_x": _shear_x,
    "shear_y": _shear_y,
    "translate_x": _translate_x,
    "translate_y": _translate_y,
    "rotate": _rotate,
    "brightness": _brightness,
    "color": _color,
    "contrast": _contrast,
    "sharpness": _sharpness,
    "posterize": _posterize,
    "solarize": _solarize,
    "auto_contrast": _auto_contrast,
    "equalize": _equalize,
}


def _warp(images: tf.Tensor, affine: Sequence[tf.Tensor | float], fill: tf.Tensor) -> tf.Tensor:
    """Takes each pixel from the nearest one at a place that is an affine function of its own.

    Args:
        affine: (a, b, c, d, e, f), numbers or (N,): the pixel at (x, y) comes from (ax + by + c, dx + ey +
            f), as of Pillow's `Image.transform`, in which pixels have their centers at halves.
    """
    count = tf.shape(images)[0]
    a, b, c, d, e, f = (tf.broadcast_to(tf.cast(number, tf.float32), [count]) for number in affine)
    zero = tf.zeros([count])
    centered = [a, b, c + (a + b - 1) / 2, d, e, f + (d + e - 1) / 2, zero, zero]
    # The operation fills with 0, which is the fill here; and it takes as long for a number as for a channel.
    packed, empty = _packed(images), _packed(fill)
    warped = tf.raw_ops.ImageProjectiveTransformV3(
        images=tf.bitwise.bitwise_xor(packed, empty),
        transforms=tf.stack(centered, axis=1),
        output_shape=tf.shape(images)[1:3],
        fill_value=0.0,
        interpolation="NEAREST",
        fill_mode="CONSTANT",
    )
    pixels = tf.bitcast(tf.bitwise.bitwise_xor(warped, empty)[..., 0], tf.uint8)
    return pixels[..., : images.shape[-1]]


def _packed(values: tf.Tensor) -> tf.Tensor:
    """Returns uint8 values of one or three channels as one int32."""
    channels = values.shape[-1]
    padding = [[0, 0]] * (len(values.shape) - 1) + [[0, 4 - channels]]
    return tf.bitcast(tf.pad(values, padding), tf.int32)[..., tf.newaxis]


def _enhance(images: tf.Tensor, plain: tf.Tensor, level: tf.Tensor) -> tf.Tensor:
    """Moves images, uint8, towards or away from what they are without a property, float32."""
    low, high = _ENHANCE
    factor = (low + _fraction(level) * (high - low))[:, tf.newaxis, tf.newaxis, tf.newaxis]
    return tf.cast(tf.clip_by_value(plain + factor * (_float(images) - plain), 0.0, 255.0), tf.uint8)


def _gray(images: tf.Tensor, copies: int) -> tf.Tensor:
    """Returns (N, H, W, copies) float32, whole numbers of 0..255."""
    pixels = _float(images)
    if images.shape[-1] == 1:
        return tf.repeat(pixels, copies, axis=-1)
    # Whole numbers below 2**24, which float32 holds exactly.
    weights = tf.constant([[weight] * copies for weight in _LUMA], tf.float32)
    total = tf.reshape(
        tf.matmul(tf.reshape(pixels, [-1, 3]), weights), [*tf.unstack(tf.shape(images))[:3], copies]
    )
    return tf.floor((total + 2 ** (_LUMA_SHIFT - 1)) / 2**_LUMA_SHIFT)


def _look_up(images: tf.Tensor, tables: tf.Tensor) -> tf.Tensor:
    """Replaces values by those of a table for each image and channel, (N, C, 256) of 0..255."""
    return tf.gather(tf.cast(tf.reshape(tables, [-1]), tf.uint8), _numbered(images))


def _numbered(images: tf.Tensor) -> tf.Tensor:
    """Returns the values of pixels as int32 places in joined tables of 256, one of each image and channel."""
    shape = tf.shape(images)
    first = tf.reshape(256 * tf.range(shape[0] * shape[3]), [shape[0], shape[3]])
    numbered = tf.cast(_in_rows(images), tf.int32) + _along_rows(first, shape[2])
    return tf.reshape(numbered, shape)


def _in_rows(images: tf.Tensor) -> tf.Tensor:
    """Returns (N, H, W * C): arithmetic with a number for each channel is slow where these come last."""
    count, height, width, channels = tf.unstack(tf.shape(images))
    return tf.reshape(images, [count, height, width * channels])


def _along_rows(values: tf.Tensor, width: tf.Tensor) -> tf.Tensor:
    """Returns a number for each channel, (N, C), as (N, 1, W * C)."""
    return tf.tile(values, [1, width])[:, tf.newaxis]


def _pixels(level: tf.Tensor, side: tf.Tensor) -> tf.Tensor:
    return _float(level * tf.minimum(_MAX_TRANSLATION, side) // (_LEVELS - 1))


def _fraction(level: tf.Tensor) -> tf.Tensor:
    return _float(level) / (_LEVELS - 1)


def _float(values: tf.Tensor) -> tf.Tensor:
    return tf.cast(values, tf.float32)
