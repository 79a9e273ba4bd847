"""From an encoded image to the pixels a net sees, decoding no more of it than they need."""

from collections.abc import Callable

import tensorflow as tf

from keras_resnet.data.augment import Crop, scaled_shape
from keras_resnet.data.header import (
    apart,
    bmp_palette,
    is_bmp_with_palette,
    is_jpeg_without_black,
    is_png,
    orientation,
    without_animation,
)
from keras_resnet.data.source import LARGEST
from keras_resnet.data.view import PIXELS_LEFT

# By how much the JPEG decoder itself can scale down.
_RATIOS = (2, 4, 8)
# Up to this many pixels for one, antialiasing changes 1 grey level in the mean, 4 where there are edges
# everywhere, and takes three times as long.
_ALIASED = 1.5


def box_view(
    image: tf.Tensor,
    choose: Callable[[tf.Tensor], tf.Tensor],
    size: int,
    channels: int,
    light: tf.Tensor | None = None,
) -> tf.Tensor:
    """A rectangle of an image, squeezed into a square: for training, fast.

    Bilinear, antialiased where the rectangle has more than 1.5 pixels for one of the square. Nothing outside
    the rectangle is looked at.

    Shapes: () string or (H, W, C) uint8 -> (size, size, C) uint8.

    Args:
        image: as of `crop_view`.
        choose: gives the rectangle, (top, left, height, width) int32, for a height and width.
        channels: 1 or 3.
        light: added to red, green and blue.

    Raises:
        tf.errors.InvalidArgumentError: as of `crop_view`.
    """

    def of_pixels(pixels):
        top, left, height, width = tf.unstack(choose(tf.shape(pixels)[:2]))
        part = pixels[top : top + height, left : left + width]
        aliased = tf.cast(tf.maximum(height, width), tf.float32) <= _ALIASED * size
        return tf.cond(aliased, lambda: _resize(part, size), lambda: _resize(part, size, antialias=True))

    def of_jpeg():
        box = choose(_jpeg_shape(image))

        def aliased():
            return _resize(tf.io.decode_and_crop_jpeg(image, box, channels), size)

        def antialiased_at(ratio):
            def antialiased():
                scale = size / tf.cast(box[2:], tf.float32)
                crop = Crop(scale, tf.cast(box[:2], tf.float32) * scale)
                square = tf.constant([size, size])
                return _decode_and_scale(image, crop, square, channels, box[:2], box[:2] + box[2:], ratio)

            return antialiased

        zoom = tf.cast(tf.reduce_max(box[2:]), tf.float32) / size
        branch = tf.cast(zoom > _ALIASED, tf.int32) + _ratios_at(tf.reduce_min(box[2:]) / size)
        return tf.switch_case(branch, [aliased, *(antialiased_at(ratio) for ratio in (1, *_RATIOS))])

    seen = _seen(image, channels, of_pixels, of_jpeg)
    if light is not None:
        # Row by row: an addition of three numbers to each pixel takes longer than all the rest.
        rows = tf.reshape(seen, [size, size * channels]) + tf.tile(light, [size])
        seen = tf.reshape(tf.clip_by_value(rows, 0.0, 255.0), [size, size, channels])
    return tf.ensure_shape(tf.cast(seen + 0.5, tf.uint8), (size, size, channels))


def crop_view(image: tf.Tensor, choose: Callable[[tf.Tensor], Crop], size: int, channels: int) -> tf.Tensor:
    """A square of an image at another scale, exactly: bilinear with antialiasing, as Pillow does.

    Shapes: () string or (H, W, C) uint8 -> (size, size, C) uint8.

    Args:
        image: a JPEG, PNG, GIF (its first picture), BMP or WebP file, or pixels. CMYK and palettes become
            RGB, grey becomes RGB or RGB grey where `channels` asks for it, and transparency is dropped. A
            JPEG is seen upright, as its camera says it was held (EXIF).
        choose: gives the crop for a height and width.
        channels: 1 or 3.

    Raises:
        tf.errors.InvalidArgumentError: the image cannot be decoded or is larger than `LARGEST`.
    """

    seen = _scaled(image, lambda shape: (choose(shape), tf.constant([size, size])), channels)
    return tf.ensure_shape(seen, (size, size, channels))


def scaled_view(image: tf.Tensor, shorter: int, channels: int) -> tf.Tensor:
    """All of an image at another scale, as exactly as `crop_view`.

    Shapes: () string or (H, W, C) uint8 -> (h, w, C) uint8, the shorter of them `shorter` pixels.

    Args:
        image, channels: as of `crop_view`.

    Raises:
        tf.errors.InvalidArgumentError: as of `crop_view`, or it is larger than `LARGEST` at that scale.
    """

    def choose(shape):
        scaled = scaled_shape(shape, shorter)
        # A line of pixels becomes as long as it is narrow.
        told = f"scaled to a shorter side of {shorter} it has"
        with tf.control_dependencies([_check_size(scaled, told)]):
            scaled = tf.identity(scaled)
        return Crop(scaled / tf.cast(shape, tf.float32), tf.zeros(2)), tf.cast(scaled, tf.int32)

    return tf.ensure_shape(_scaled(image, choose, channels), (None, None, channels))


def crop_batch(images: tf.Tensor, choose: Callable[[tf.Tensor], Crop], size: int) -> tf.Tensor:
    """`crop_view` of images that are pixels and all of one size.

    Shapes: (N, H, W, C) of any type -> (N, size, size, C) float32, whole numbers of 0..255.

    Args:
        choose: as of `crop_view`.
    """
    crop = choose(tf.shape(images)[1:3])
    seen = _scale_batch(images, crop.scale, -crop.corner, tf.constant([size, size]))
    return tf.clip_by_value(tf.round(seen), 0.0, 255.0)


def decode(contents: tf.Tensor, channels: int) -> tf.Tensor:
    """All pixels of an encoded image, upright, (H, W, channels) uint8.

    Raises:
        tf.errors.InvalidArgumentError: as of `crop_view`.
    """

    lies = tf.cond(tf.io.is_jpeg(contents), lambda: orientation(contents), lambda: tf.constant(1, tf.int64))
    contents, size = without_animation(contents)

    def in_colour():
        return tf.cond(is_bmp_with_palette(contents), of_palette, lambda: decode_image(3))

    def of_palette():
        return tf.gather(bmp_palette(contents), tf.cast(tf.io.decode_bmp(contents)[..., 0], tf.int32))

    def decode_image(channels):
        return tf.io.decode_image(contents, channels, expand_animations=False)

    with tf.control_dependencies([_check_size(size)]):
        contents = tf.identity(contents)
        if channels == 3:
            pixels = in_colour()
        else:
            # Of the decoders, only those of PNG and JPEG know grey, and that of JPEG not of CMYK.
            pixels = tf.cond(
                is_png(contents) | is_jpeg_without_black(contents),
                lambda: decode_image(channels),
                lambda: tf.image.rgb_to_grayscale(in_colour()),
            )
    pixels = _upright(pixels, lies)
    pixels.set_shape((None, None, channels))
    return pixels


def _upright(pixels: tf.Tensor, lies: tf.Tensor) -> tf.Tensor:
    """The pixels of a picture of this orientation as it is to be seen."""

    def where(orientations, turn):
        return tf.cond(tf.reduce_any(lies == orientations), lambda: turn(pixels), lambda: pixels)

    pixels = where([5, 6, 7, 8], lambda lying: tf.transpose(lying, [1, 0, 2]))
    pixels = where([3, 4, 7, 8], lambda over: tf.reverse(over, [0]))
    return where([2, 3, 6, 7], lambda mirrored: tf.reverse(mirrored, [1]))


_decode_apart = apart(decode)


def _scaled(
    image: tf.Tensor, choose: Callable[[tf.Tensor], tuple[Crop, tf.Tensor]], channels: int
) -> tf.Tensor:
    """A rectangle of an image at another scale, uint8.

    Args:
        choose: gives the crop and its height and width, int32, for those of the image.
    """

    def of_pixels(pixels):
        return _scale(pixels, *choose(tf.shape(pixels)[:2]), tf.zeros(2, tf.int32), 1)

    def of_jpeg():
        shape = _jpeg_shape(image)
        crop, size = choose(shape)
        # Pixels of the image that one of the view's may depend on, to either side of its own.
        reach = tf.math.ceil(tf.maximum(1.0, 1 / crop.scale)) + 1
        first = tf.maximum(tf.cast(tf.floor(crop.corner / crop.scale - reach), tf.int32), 0)
        end = (crop.corner + tf.cast(size, tf.float32)) / crop.scale
        last = tf.minimum(tf.cast(tf.math.ceil(end + reach), tf.int32), shape)

        def decoded_at(ratio):
            return lambda: _decode_and_scale(image, crop, size, channels, first, last, ratio)

        branch = _ratios_at(1 / tf.reduce_max(crop.scale))
        return tf.switch_case(branch, [decoded_at(ratio) for ratio in (1, *_RATIOS)])

    return tf.saturate_cast(tf.round(_seen(image, channels, of_pixels, of_jpeg)), tf.uint8)


def _seen(
    image: tf.Tensor,
    channels: int,
    of_pixels: Callable[[tf.Tensor], tf.Tensor],
    of_jpeg: Callable[[], tf.Tensor],
) -> tf.Tensor:
    """What one of two ways makes of an image: of an upright JPEG file, or of all the pixels of any other."""
    if image.dtype != tf.string:
        return of_pixels(image)
    cropped = tf.io.is_jpeg(image) if channels == 3 else is_jpeg_without_black(image)
    cropped &= orientation(image) == 1
    return tf.cond(cropped, of_jpeg, lambda: of_pixels(_decode_apart(image, channels)))


def _ratios_at(zoom: tf.Tensor) -> tf.Tensor:
    """How many of the ratios the decoder may scale by, for so many pixels for one."""
    return sum(tf.cast(zoom >= PIXELS_LEFT * ratio, tf.int32) for ratio in _RATIOS)


def _resize(pixels: tf.Tensor, size: int, antialias: bool = False) -> tf.Tensor:
    return tf.image.resize(pixels, (size, size), antialias=antialias)


def _scale(pixels: tf.Tensor, crop: Crop, size: tf.Tensor, origin: tf.Tensor, ratio: int) -> tf.Tensor:
    """The crop, float32, of pixels whose first one begins at `origin` and which are `ratio` pixels wide."""
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
    """The crop, float32, of a JPEG file whose rows and columns from `first` to before `last` are seen."""
    # The decoder's pixels are `ratio` wide: from that with the first to that with the last.
    start = first // ratio
    window = tf.concat([start, -(-last // ratio) - start], axis=0)
    part = tf.io.decode_and_crop_jpeg(contents, window, channels, ratio)
    return _scale(part, crop, size, start * ratio, ratio)


def _jpeg_shape(contents: tf.Tensor) -> tf.Tensor:
    shape = tf.io.extract_jpeg_shape(contents)[:2]
    with tf.control_dependencies([_check_size(shape)]):
        return tf.identity(shape)


def _check_size(shape: tf.Tensor, what: str = "it has") -> tf.Operation:
    pixels = tf.reduce_prod(tf.cast(shape, tf.int64))
    return tf.debugging.assert_less_equal(
        pixels, tf.constant(LARGEST, tf.int64), f"{what} more than {LARGEST:,} pixels"
    )
