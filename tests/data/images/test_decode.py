import functools
import io
import struct

import numpy as np
import PIL.Image
import pytest
import tensorflow as tf
from helpers.pictures import PHOTOS, bomb, encoded, frame, kinds, lying, small

from keras_resnet.data.dataset import MAX_PIXELS
from keras_resnet.data.images import augment
from keras_resnet.data.images.decode import decode, decode_crop, decode_resize_box, decode_scale
from keras_resnet.data.images.graph_formats import GRAPH
from keras_resnet.data.images.readers import PILLOW

READERS = {"Pillow": PILLOW, "graph": GRAPH}


def _decoded(contents):
    return np.asarray(PIL.Image.open(io.BytesIO(contents)))


@pytest.mark.parametrize("subsampling", [0, 2], ids=["444", "420"])
@pytest.mark.parametrize("side", [(500, 375), (375, 500), (640, 427), (240, 180), (101, 333)], ids=str)
@pytest.mark.parametrize("size", [20, 64, 224])
class TestDecodingOnlyTheCrop:
    """Beside decoding all of an image, resizing it, and cutting the crop out, on a photograph full of edges.

    Where the decoder itself scales, it filters otherwise than a resize does: as much as bicubic would.
    """

    def _file(self, side, subsampling):
        photo = np.asarray(PIL.Image.fromarray(PHOTOS[0]).resize(side))
        return encoded(photo, quality=90, subsampling=subsampling)

    def test_of_the_centre_changes_nothing(self, side, size, subsampling):
        contents = self._file(side, subsampling)
        ours = decode_crop(tf.constant(contents), lambda shape: augment.center_crop(shape, size), size, 3)
        shorter = round(size * 256 / 224)
        shape = [round(length * shorter / min(side)) for length in side[::-1]]
        resized = tf.image.resize(_decoded(contents), shape, antialias=True).numpy()
        top, left = ((length - size) // 2 for length in shape)
        difference = abs(ours.numpy().astype("float32") - resized[top : top + size, left : left + size])
        scaled = min(side) >= 4 * shorter
        assert difference.mean() < (2.5 if scaled else 0.5)
        assert np.quantile(difference, 0.999) <= (24 if scaled else 3)

    def test_of_the_papers_squares_changes_nothing_visible(self, side, size, subsampling):
        contents = self._file(side, subsampling)
        for uniforms in tf.random.stateless_uniform([6, 4], [size, subsampling]):
            ours = decode_resize_box(
                tf.constant(contents),
                lambda shape, d=uniforms: augment.scale_jitter_box(shape, size, d),
                size,
                3,
            )
            top, left, height, width = augment.scale_jitter_box(
                tf.constant(side[::-1]), size, uniforms
            ).numpy()
            # The definition, for a crop whose corner is that of a pixel of the image.
            scale = size / height
            part = _decoded(contents)[top : top + height, left : left + width]
            theirs = tf.image.resize(part, (size, size), antialias=bool(scale < 1))
            difference = abs(ours.numpy().astype("float32") - theirs.numpy())
            assert height == width
            # Not antialiased up to 1.5 pixels for one; beyond, perhaps scaled by the decoder.
            assert difference.mean() < (0.6 if scale >= 1 else 4 if scale >= 1 / 1.5 else 2.5)


@pytest.mark.parametrize("size", [64, 224])
def test_inception_crop_is_pillows(size):
    contents = encoded(PHOTOS[1], "PNG")
    for uniforms in tf.random.stateless_uniform([10, augment.RESIZED_CROP_UNIFORMS], [size, 0]):
        top, left, height, width = augment.random_resized_crop_box(
            tf.constant(PHOTOS[1].shape[:2]), size, uniforms
        ).numpy()
        theirs = PIL.Image.fromarray(PHOTOS[1]).crop((left, top, left + width, top + height))
        theirs = np.asarray(theirs.resize((size, size), PIL.Image.Resampling.BILINEAR), "int")
        ours = decode_resize_box(
            tf.constant(contents),
            lambda shape, d=uniforms: augment.random_resized_crop_box(shape, size, d),
            size,
            3,
        )
        difference = abs(ours.numpy().astype("int") - theirs)
        # Exact where both are antialiased or neither needs it.
        zoom = max(height, width) / size
        assert (
            difference.mean() < 3 if 1 < zoom <= 1.5 or min(height, width) < size else difference.max() <= 1
        )


@pytest.mark.parametrize("name", [name for name, (_, unusable, _) in kinds().items() if unusable])
@pytest.mark.parametrize("reader", READERS.values(), ids=READERS)
def test_what_validation_calls_unusable_cannot_be_decoded(name, reader):
    with pytest.raises(tf.errors.InvalidArgumentError):
        decode(tf.constant(kinds()[name][2]), 3, reader)


def _webp(chunk, content):
    return b"RIFF" + struct.pack("<I", len(content) + 12) + b"WEBP" + chunk + b"\x0a\0\0\0" + content


@pytest.mark.parametrize(
    "contents",
    [
        bomb(),
        # 16,383 pixels a side; the lossless one is a whole file.
        _webp(b"VP8 ", b"\x30\x01\0\x9d\x01\x2a\xff\x3f\xff\x3f"),
        _webp(b"VP8L", b"\x2f\xfe\xbf\xff\x0f\0\0\0\0\0"),
        _webp(b"VP8X", b"\0\0\0\0\xfe\x3f\0\xfe\x3f\0"),
        # The picture is larger than the screen.
        b"GIF89a\x0a\0\x0a\0\0\0\0!\xfe\x05hello\0" + frame(40_000, 40_000) + b";",
        b"BM" + bytes(12) + struct.pack("<Iii", 40, 40_000, -40_000) + b"\x01\0\x18\0" + bytes(100),
    ],
    ids=["png", "webp", "lossless webp", "extended webp", "gif", "bmp"],
)
def test_bomb_is_refused_before_it_is_decoded(contents):
    for reader in READERS.values():
        with pytest.raises(tf.errors.InvalidArgumentError, match=f"more than {MAX_PIXELS:,} pixels"):
            decode(tf.constant(contents), 3, reader)


def test_nothing_behind_the_first_picture_of_an_animation_is_looked_at():
    picture = encoded(small(0), "GIF")
    assert picture.endswith(b";")
    bombs = picture[:-1] + frame(65_535, 65_535) * 1000 + b";"
    for reader in READERS.values():
        np.testing.assert_array_equal(
            decode(tf.constant(bombs), 3, reader), decode(tf.constant(picture), 3, reader)
        )


@pytest.mark.parametrize("scales", [(2, 60_000), (60_000, 2)], ids=["long", "high"])
def test_a_line_of_pixels_is_not_made_as_long_as_it_is_narrow(scales):
    line = tf.zeros((*scales, 3), tf.uint8)
    with pytest.raises(
        tf.errors.InvalidArgumentError, match=f"scaled to a shorter side of 256 .*{MAX_PIXELS:,}"
    ):
        decode_scale(line, 256, 3)
    assert decode_crop(line, lambda shape: augment.center_crop(shape, 224), 224, 3).shape == (224, 224, 3)


def test_a_file_without_a_whole_header_is_no_text_of_an_error():
    """TensorFlow's errors of strings hold them, and bytes that are no UTF-8 make another error of them."""
    for start in (
        b"\x89PNG\r\n\x1a\n\xff",
        b"GIF8\xff",
        b"BM\xff",
        b"RIFF\xff\xff\xff\xffWEB",
        b"\xff\xd8\xff",
    ):
        for reader in READERS.values():
            with pytest.raises(tf.errors.InvalidArgumentError):
                decode(tf.constant(start), 3, reader)


def test_grey_is_read_as_one_channel():
    grey = encoded(small(0), mode="L")
    seen = decode_crop(tf.constant(grey), lambda shape: augment.center_crop(shape, 32), 32, 1)
    assert seen.shape == (32, 32, 1)


def test_light_is_added():
    picture = tf.fill([40, 40, 3], tf.constant(100, tf.uint8))
    everything = tf.constant([0, 0, 40, 40])
    seen = decode_resize_box(picture, lambda _: everything, 40, 3, light=tf.constant([10.0, -20.4, 200.0]))
    assert np.unique(seen.numpy().reshape(-1, 3), axis=0).tolist() == [[110, 80, 255]]


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("channels", [1, 3])
def test_a_jpeg_is_seen_upright(orientation, channels):
    upright = small(0)
    contents = tf.constant(lying(upright, orientation))
    decoded, views = _views(channels)
    wanted = decoded(tf.constant(encoded(upright, quality=95))).numpy().astype(int)
    # Blocks of pixels and of colours lie otherwise over the photograph; a wrong turn makes it 80 and more.
    assert np.abs(decoded(contents).numpy() - wanted).mean() < 4
    for name, view in views.items():
        seen, of_pixels = (
            view(image).numpy().astype(int) for image in (contents, tf.constant(wanted.astype("uint8")))
        )
        assert np.abs(seen - of_pixels).mean() < 4, name


@functools.cache
def _views(channels):
    views = {
        "crop": lambda image: decode_crop(image, lambda shape: augment.center_crop(shape, 32), 32, channels),
        "scaled": lambda image: decode_scale(image, 40, channels),
        "box": lambda image: decode_resize_box(
            image, lambda shape: tf.constant([5, 30, 40, 40]), 32, channels
        ),
    }
    return tf.function(lambda contents: decode(contents, channels), autograph=False), {
        name: tf.function(view, reduce_retracing=True, autograph=False) for name, view in views.items()
    }
