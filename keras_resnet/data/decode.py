"""From an encoded image to the pixels a net sees, decoding no more of it than they need."""

from collections.abc import Callable

import tensorflow as tf

from keras_resnet.data.augment import Crop
from keras_resnet.data.source import LARGEST

# By how much the JPEG decoder itself can scale down.
_RATIOS = (1, 2, 4, 8)
# It does so only where this many times the pixels asked for, down and across, are left to resize: then its
# filter changes no more than bicubic instead of bilinear would, 2 grey levels in the mean.
_PIXELS_LEFT = 2


def view_of(
    image: tf.Tensor,
    choose: Callable[[tf.Tensor], Crop],
    size: int,
    channels: int,
    light: tf.Tensor | None = None,
) -> tf.Tensor:
    """A part of an image at another scale: bilinear with antialiasing.

    Shapes: () string or (H, W, C) uint8 -> (size, size, C) uint8.

    Args:
        image: a JPEG, PNG, GIF (its first picture), BMP or WebP file, or pixels. CMYK and palettes become RGB, grey
            becomes RGB or RGB grey where `channels` asks for it, and transparency is dropped.
        choose: gives the part for a height and width.
        channels: 1 or 3.
        light: added to red, green and blue.

    Raises:
        tf.errors.InvalidArgumentError: the image cannot be decoded or is larger than `LARGEST`.
    """
    if image.dtype != tf.string:
        seen = _part_of_pixels(image, choose, size)
    else:
        seen = tf.cond(
            tf.io.is_jpeg(image),
            lambda: _part_of_jpeg(image, choose, size, channels),
            lambda: _part_of_pixels(decode(image, channels), choose, size),
        )
    if light is not None:
        seen += light
    return tf.ensure_shape(tf.saturate_cast(tf.round(seen), tf.uint8), (size, size, channels))


def decode(contents: tf.Tensor, channels: int) -> tf.Tensor:
    """All pixels of an encoded image, (H, W, channels) uint8.

    Raises:
        tf.errors.InvalidArgumentError: as of `view_of`.
    """
    with tf.control_dependencies([_check_size(_declared_size(contents))]):
        pixels = tf.io.decode_image(contents, channels, expand_animations=False)
    pixels.set_shape((None, None, channels))
    return pixels


def _part_of_pixels(pixels: tf.Tensor, choose: Callable[[tf.Tensor], Crop], size: int) -> tf.Tensor:
    crop = choose(tf.shape(pixels)[:2])
    top, left, bottom, right = tf.unstack(crop.seen)
    return _resample(pixels[top:bottom, left:right], crop, size, crop.seen[:2])


def _part_of_jpeg(
    contents: tf.Tensor, choose: Callable[[tf.Tensor], Crop], size: int, channels: int
) -> tf.Tensor:
    shape = tf.io.extract_jpeg_shape(contents)[:2]
    with tf.control_dependencies([_check_size(shape)]):
        crop = choose(shape)
    # Pixels of the image that one of the view's may depend on, to either side of its own.
    reach = tf.math.ceil(tf.maximum(1.0, 1 / crop.scale)) + 1
    first = tf.cast(tf.floor(crop.corner / crop.scale - reach), tf.int32)
    last = tf.cast(tf.math.ceil((crop.corner + size) / crop.scale + reach), tf.int32)
    first, last = tf.maximum(first, crop.seen[:2]), tf.minimum(last, crop.seen[2:])

    def decode_at(ratio):
        def decode_part():
            # The decoder's pixels are `ratio` wide: from the one that holds the first to that with the last.
            start = first // ratio
            window = tf.concat([start, -(-last // ratio) - start], axis=0)
            part = tf.io.decode_and_crop_jpeg(contents, window, channels, ratio)
            return _resample(part, crop, size, start * ratio, ratio)

        return decode_part

    zoom = 1 / tf.reduce_max(crop.scale)
    branch = sum(tf.cast(zoom >= _PIXELS_LEFT * ratio, tf.int32) for ratio in _RATIOS[1:])
    return tf.switch_case(branch, [decode_at(ratio) for ratio in _RATIOS])


def _resample(pixels: tf.Tensor, crop: Crop, size: int, origin: tf.Tensor, ratio: int = 1) -> tf.Tensor:
    """The crop, float32, of pixels whose first one begins at `origin` and which are `ratio` pixels wide."""
    return tf.raw_ops.ScaleAndTranslate(
        images=pixels[tf.newaxis],
        size=[size, size],
        scale=crop.scale * ratio,
        translation=crop.scale * tf.cast(origin, tf.float32) - crop.corner,
        kernel_type="triangle",
        antialias=True,
    )[0]


def _declared_size(contents: tf.Tensor) -> tf.Tensor:
    """Height and width as the file's header has them; nothing of a file that is none is looked at."""

    def numbers(position, length, dtype, little_endian):
        part = tf.strings.substr(contents, position, length)
        return tf.cast(tf.io.decode_raw(part, dtype, little_endian), tf.int32)

    kinds = [
        (tf.io.is_jpeg(contents), lambda: tf.io.extract_jpeg_shape(contents)[:2]),
        (_begins(contents, b"\x89PNG"), lambda: numbers(16, 8, tf.int32, False)),
        (_begins(contents, b"GIF8"), lambda: numbers(6, 4, tf.uint16, True)),
        (_begins(contents, b"BM"), lambda: tf.abs(numbers(18, 8, tf.int32, True))),
    ]
    return tf.case(kinds, default=lambda: tf.zeros(2, tf.int32), exclusive=True)


def _begins(contents: tf.Tensor, signature: bytes) -> tf.Tensor:
    return tf.strings.substr(contents, 0, len(signature)) == signature


def _check_size(shape: tf.Tensor) -> tf.Operation:
    pixels = tf.reduce_prod(tf.cast(shape, tf.int64))
    return tf.debugging.assert_less_equal(
        pixels, tf.constant(LARGEST, tf.int64), f"it has more than {LARGEST:,} pixels"
    )
