"""From an encoded image to the pixels of a model's input, decoding no more of it than these need."""

import functools
from collections.abc import Callable

import tensorflow as tf

from keras_resnet.data.images.augment import Crop, scaled_shape, upright
from keras_resnet.data.images.headers import (
    DCT,
    and_,
    as_one_op,
    check_size,
    is_gray_or_rgb_jpeg,
    is_plain_jpeg,
    is_png,
    png_size,
)
from keras_resnet.data.images.readers import PILLOW, Reader
from keras_resnet.data.input_spec import MIN_DECODED_PIXELS

# Factors by which the JPEG decoder itself can scale down.
_RATIOS = (2, 4, 8)
# Up to this many pixels for one, antialiasing changes 1 gray level on average, 4 where there are edges
# everywhere, and takes three times as long.
_MAX_ALIASED = 1.5


def decode_resize_box(
    image: tf.Tensor,
    choose: Callable[[tf.Tensor], tf.Tensor],
    size: int,
    channels: int,
    light: tf.Tensor | None = None,
) -> tf.Tensor:
    """Resizes a rectangle of an image to a square, fast enough for training.

    Bilinear, antialiased where the rectangle has more than 1.5 pixels for one of the square. Nothing outside
    the rectangle contributes.

    Shapes: () string or (H, W, C) uint8 -> (size, size, C) uint8.

    Args:
        image: as of `decode_crop`.
        choose: takes the image's height and width and returns the rectangle, (top, left, height, width)
            int32.
        channels: 1 or 3.
        light: added to red, green and blue.

    Raises:
        tf.errors.InvalidArgumentError: as of `decode_crop`.
    """

    def of_pixels(pixels):
        top, left, height, width = tf.unstack(choose(tf.shape(pixels)[:2]))
        part = pixels[top : top + height, left : left + width]
        aliased = tf.cast(tf.maximum(height, width), tf.float32) <= _MAX_ALIASED * size
        return tf.cond(aliased, lambda: _resize(part, size), lambda: _resize(part, size, antialias=True))

    def of_jpeg():
        box = choose(_jpeg_shape(image))

        def aliased():
            return _resize(_crop_jpeg(image, box, channels), size)

        def antialiased_at(ratio):
            def antialiased():
                scale = size / tf.cast(box[2:], tf.float32)
                crop = Crop(scale, tf.cast(box[:2], tf.float32) * scale)
                square = tf.constant([size, size])
                return _decode_and_scale(image, crop, square, channels, box[:2], box[:2] + box[2:], ratio)

            return antialiased

        zoom = tf.cast(tf.reduce_max(box[2:]), tf.float32) / size
        branch = tf.cast(zoom > _MAX_ALIASED, tf.int32) + _ratios_at(tf.reduce_min(box[2:]) / size)
        return tf.switch_case(branch, [aliased, *(antialiased_at(ratio) for ratio in (1, *_RATIOS))])

    square = _from_jpeg_or_pixels(image, channels, of_pixels, of_jpeg, PILLOW)
    if light is not None:
        # Row by row: an addition of three numbers to each pixel takes longer than all the rest.
        rows = tf.reshape(square, [size, size * channels]) + tf.tile(light, [size])
        square = tf.reshape(tf.clip_by_value(rows, 0.0, 255.0), [size, size, channels])
    return tf.ensure_shape(tf.cast(square + 0.5, tf.uint8), (size, size, channels))


def decode_crop(
    image: tf.Tensor,
    choose: Callable[[tf.Tensor], Crop],
    size: int,
    channels: int,
    reader: Reader = PILLOW,
) -> tf.Tensor:
    """Resizes an image exactly, bilinear with antialiasing as Pillow does, and returns a square of it.

    Shapes: () string or (H, W, C) uint8 -> (size, size, C) uint8.

    Args:
        image: a JPEG, PNG, GIF (its first frame), BMP or WebP file, or pixels. CMYK and palettes become RGB,
            gray and RGB become what `channels` says, and transparency is dropped. A JPEG is turned upright,
            as its EXIF orientation says.
        choose: takes the image's height and width and returns the crop.
        channels: 1 or 3.
        reader: reads what TensorFlow's operations do not; an exported graph needs `graph_formats.GRAPH`.

    Raises:
        tf.errors.InvalidArgumentError: the image cannot be decoded or has more than `MAX_PIXELS`.
    """

    square = _scaled(image, lambda shape: (choose(shape), tf.constant([size, size])), channels, reader)
    return tf.ensure_shape(square, (size, size, channels))


def decode_scale(image: tf.Tensor, shorter: int, channels: int) -> tf.Tensor:
    """Resizes an uncropped image, as exactly as `decode_crop`.

    Shapes: () string or (H, W, C) uint8 -> (h, w, C) uint8, the shorter of them `shorter` pixels.

    Args:
        image, channels: as of `decode_crop`.

    Raises:
        tf.errors.InvalidArgumentError: as of `decode_crop`, or has more than `MAX_PIXELS` at that scale.
    """

    def choose(shape):
        scaled = scaled_shape(shape, shorter)
        # A narrow image becomes very long.
        what = f"scaled to a shorter side of {shorter} it has"
        with tf.control_dependencies([check_size(scaled, what)]):
            scaled = tf.identity(scaled)
        return Crop(scaled / tf.cast(shape, tf.float32), tf.zeros(2)), tf.cast(scaled, tf.int32)

    return tf.ensure_shape(_scaled(image, choose, channels, PILLOW), (None, None, channels))


def crop_batch(images: tf.Tensor, choose: Callable[[tf.Tensor], Crop], size: int) -> tf.Tensor:
    """Does what `decode_crop` does for a batch of pixels of one size.

    Shapes: (N, H, W, C) of any type -> (N, size, size, C) float32, integers of 0..255.

    Args:
        choose: as of `decode_crop`.
    """
    crop = choose(tf.shape(images)[1:3])
    square = _scale_batch(images, crop.scale, -crop.corner, tf.constant([size, size]))
    return tf.clip_by_value(tf.round(square), 0.0, 255.0)


def decode(contents: tf.Tensor, channels: int, reader: Reader = PILLOW) -> tf.Tensor:
    """Decodes all pixels of an image file, upright, (H, W, channels) uint8: those of `pixels.read_pixels`.

    Raises:
        tf.errors.InvalidArgumentError: as of `decode_crop`.
    """

    def of_jpeg():
        with tf.control_dependencies([check_size(tf.io.extract_jpeg_shape(contents)[:2])]):
            pixels = tf.io.decode_jpeg(contents, channels, dct_method=DCT)
        return upright(pixels, reader.orientation(contents))

    def of_png():
        with tf.control_dependencies([check_size(png_size(contents))]):
            return to_channels(tf.io.decode_png(contents, 3))

    def to_channels(pixels):
        return pixels if channels == 3 else _to_gray(pixels)

    pixels = tf.case(
        [(is_gray_or_rgb_jpeg(contents), of_jpeg), (is_png(contents), of_png)],
        default=lambda: to_channels(reader.pixels(contents)),
    )
    return tf.ensure_shape(pixels, (None, None, channels))


def _to_gray(pixels: tf.Tensor) -> tf.Tensor:
    """Returns RGB as gray, (H, W, 1) uint8, by the weights of ITU-R BT.601 as Pillow rounds them.

    The PNG decoder would weight linear light where a file declares its gamma.
    """
    weighted = tf.cast(pixels, tf.int32) * tf.constant([19595, 38470, 7471])
    total = tf.reduce_sum(weighted, axis=-1, keepdims=True)
    return tf.cast(tf.bitwise.right_shift(total + 2**15, 16), tf.uint8)


def _scaled(
    image: tf.Tensor, choose: Callable[[tf.Tensor], tuple[Crop, tf.Tensor]], channels: int, reader: Reader
) -> tf.Tensor:
    """Returns a rectangle of a resized image, uint8.

    Args:
        choose: takes the image's height and width and returns the crop and its height and width, int32.
    """

    def of_pixels(pixels):
        return _scale(pixels, *choose(tf.shape(pixels)[:2]), tf.zeros(2, tf.int32), 1)

    def of_jpeg():
        shape = _jpeg_shape(image)
        crop, size = choose(shape)
        # Pixels of the image on either side of its own that one pixel of the crop may depend on.
        reach = tf.math.ceil(tf.maximum(1.0, 1 / crop.scale)) + 1
        first = tf.maximum(tf.cast(tf.floor(crop.corner / crop.scale - reach), tf.int32), 0)
        end = (crop.corner + tf.cast(size, tf.float32)) / crop.scale
        last = tf.minimum(tf.cast(tf.math.ceil(end + reach), tf.int32), shape)

        def decoded_at(ratio):
            return lambda: _decode_and_scale(image, crop, size, channels, first, last, ratio)

        branch = _ratios_at(1 / tf.reduce_max(crop.scale))
        return tf.switch_case(branch, [decoded_at(ratio) for ratio in (1, *_RATIOS)])

    return tf.saturate_cast(
        tf.round(_from_jpeg_or_pixels(image, channels, of_pixels, of_jpeg, reader)), tf.uint8
    )


def _from_jpeg_or_pixels(
    image: tf.Tensor,
    channels: int,
    of_pixels: Callable[[tf.Tensor], tf.Tensor],
    of_jpeg: Callable[[], tf.Tensor],
    reader: Reader,
) -> tf.Tensor:
    """Applies one of two functions: to an upright JPEG file, or to the decoded pixels of any other image."""
    if image.dtype != tf.string:
        return of_pixels(image)
    decoded = as_one_op(functools.partial(decode, channels=channels, reader=reader))
    is_upright = as_one_op(functools.partial(_is_upright_jpeg, reader=reader))
    can_crop = tf.cond(is_plain_jpeg(image), lambda: tf.constant(True), lambda: is_upright(image))
    return tf.cond(can_crop, of_jpeg, lambda: of_pixels(decoded(image)))


def _is_upright_jpeg(contents: tf.Tensor, reader: Reader) -> tf.Tensor:
    """Whether a file is a gray or RGB JPEG that need not be turned."""
    return and_(is_gray_or_rgb_jpeg(contents), lambda: reader.orientation(contents) == 1)


def _ratios_at(zoom: tf.Tensor) -> tf.Tensor:
    """Returns how many of the ratios the decoder may use where this many pixels become one."""
    return sum(tf.cast(zoom >= MIN_DECODED_PIXELS * ratio, tf.int32) for ratio in _RATIOS)


def _resize(pixels: tf.Tensor, size: int, antialias: bool = False) -> tf.Tensor:
    return tf.image.resize(pixels, (size, size), antialias=antialias)


def _scale(pixels: tf.Tensor, crop: Crop, size: tf.Tensor, origin: tf.Tensor, ratio: int) -> tf.Tensor:
    """Returns the crop, float32, of pixels that start at `origin` and are `ratio` original pixels wide."""
    translation = crop.scale * tf.cast(origin, tf.float32) - crop.corner
    return _scale_batch(pixels[tf.newaxis], crop.scale * ratio, translation, size)[0]


def _scale_batch(images: tf.Tensor, scale: tf.Tensor, translation: tf.Tensor, size: tf.Tensor) -> tf.Tensor:
    return tf.raw_ops.ScaleAndTranslate(
        images=images,
        size=size,
        scale=scale,
        translation=translation,
        kernel_type="triangle",
        antialias=True,
    )


def _decode_and_scale(
    contents: tf.Tensor,
    crop: Crop,
    size: tf.Tensor,
    channels: int,
    first: tf.Tensor,
    last: tf.Tensor,
    ratio: int,
) -> tf.Tensor:
    """Returns the crop, float32, of a JPEG file of which rows and columns `first` to `last` are needed."""
    # The decoder's pixels are `ratio` wide: from the one with `first` to the one with `last`.
    start = first // ratio
    window = tf.concat([start, -(-last // ratio) - start], axis=0)
    part = _crop_jpeg(contents, window, channels, ratio)
    return _scale(part, crop, size, start * ratio, ratio)


def _crop_jpeg(contents: tf.Tensor, window: tf.Tensor, channels: int, ratio: int = 1) -> tf.Tensor:
    return tf.io.decode_and_crop_jpeg(contents, window, channels, ratio, dct_method=DCT)


def _jpeg_shape(contents: tf.Tensor) -> tf.Tensor:
    shape = tf.io.extract_jpeg_shape(contents)[:2]
    with tf.control_dependencies([check_size(shape)]):
        return tf.identity(shape)
