import io

import numpy as np
import PIL.Image
import pytest
import tensorflow as tf
from pictures import PHOTOS, animation, bomb, encoded, kinds, small

from keras_resnet.data import augment
from keras_resnet.data.decode import box_view, crop_view, decode
from keras_resnet.data.source import LARGEST


def _decoded(contents):
    return tf.io.decode_jpeg(contents, channels=3)


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
        ours = crop_view(tf.constant(contents), lambda shape: augment.centre_crop(shape, size), size, 3)
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
        for draws in tf.random.stateless_uniform([6, 4], [size, subsampling]):
            ours = box_view(
                tf.constant(contents), lambda shape, d=draws: augment.paper_box(shape, size, d), size, 3
            )
            top, left, height, width = augment.paper_box(tf.constant(side[::-1]), size, draws).numpy()
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
    for draws in tf.random.stateless_uniform([10, augment.INCEPTION_DRAWS], [size, 0]):
        top, left, height, width = augment.inception_box(
            tf.constant(PHOTOS[1].shape[:2]), size, draws
        ).numpy()
        theirs = PIL.Image.fromarray(PHOTOS[1]).crop((left, top, left + width, top + height))
        theirs = np.asarray(theirs.resize((size, size), PIL.Image.Resampling.BILINEAR), "int")
        ours = box_view(
            tf.constant(contents), lambda shape, d=draws: augment.inception_box(shape, size, d), size, 3
        )
        difference = abs(ours.numpy().astype("int") - theirs)
        # Exact where both are antialiased or neither needs it.
        zoom = max(height, width) / size
        assert (
            difference.mean() < 3 if 1 < zoom <= 1.5 or min(height, width) < size else difference.max() <= 1
        )


@pytest.mark.parametrize("name", [name for name, (_, unusable, _) in kinds().items() if not unusable])
def test_kinds_of_files_become_what_pillow_makes_of_them(name):
    contents = kinds()[name][2]
    ours = decode(tf.constant(contents), 3).numpy().astype("int")
    with PIL.Image.open(io.BytesIO(contents)) as picture:
        if picture.mode.startswith("I"):  # Pillow clips 16 bits; the high eight are what is meant
            theirs = np.repeat(np.asarray(picture, "int")[..., np.newaxis] >> 8, 3, axis=-1)
        else:
            theirs = np.asarray(picture.convert("RGB"), "int")
    assert ours.shape == theirs.shape
    # Decoders of JPEG round otherwise, and smooth colours otherwise between pixels.
    assert abs(ours - theirs).max() <= (4 if name.endswith(".jpg") else 1)
    assert abs(ours - theirs).mean() < 1


@pytest.mark.parametrize("name", [name for name, (_, unusable, _) in kinds().items() if unusable])
def test_what_validation_calls_unusable_cannot_be_decoded(name):
    with pytest.raises(tf.errors.OpError):
        decode(tf.constant(kinds()[name][2]), 3)


def test_bomb_is_refused_before_it_is_decoded():
    with pytest.raises(tf.errors.InvalidArgumentError, match=f"more than {LARGEST:,} pixels"):
        decode(tf.constant(bomb()), 3)


def test_first_picture_of_an_animation_is_seen():
    ours = decode(tf.constant(animation()), 3).numpy().astype("int")
    assert abs(ours - small(0)).mean() < 10 < abs(ours - small(1)).mean()


def test_grey_is_read_as_one_channel():
    grey = encoded(small(0), mode="L")
    seen = crop_view(tf.constant(grey), lambda shape: augment.centre_crop(shape, 32), 32, 1)
    assert seen.shape == (32, 32, 1)


def test_light_is_added():
    picture = tf.fill([40, 40, 3], tf.constant(100, tf.uint8))
    everything = tf.constant([0, 0, 40, 40])
    seen = box_view(picture, lambda _: everything, 40, 3, light=tf.constant([10.0, -20.4, 200.0]))
    assert np.unique(seen.numpy().reshape(-1, 3), axis=0).tolist() == [[110, 80, 255]]
