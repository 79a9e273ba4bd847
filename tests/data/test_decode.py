import io

import numpy as np
import PIL.Image
import pytest
import tensorflow as tf
from pictures import PHOTOS, animation, bomb, encoded, kinds, small

from keras_resnet.data import augment
from keras_resnet.data.decode import decode, view_of
from keras_resnet.data.source import LARGEST


def _resized_and_cropped(contents, size, draws):
    """The paper's crop by its definition: decode all, resize all, cut."""
    image = tf.io.decode_jpeg(contents, channels=3)
    height, width, _ = image.shape
    shorter = np.round(np.float32(size * (256 + draws[0] * (480 - 256)) / 224))
    scale = shorter / min(height, width)
    shape = [max(shorter, np.round(side * scale)) for side in (height, width)]
    resized = tf.image.resize(image, tf.cast(shape, tf.int32), antialias=True)
    top, left = (int(draw * (side - size + 1)) for draw, side in zip(draws[1:], shape, strict=True))
    return resized[top : top + size, left : left + size].numpy()


@pytest.mark.parametrize("subsampling", [0, 2], ids=["444", "420"])
@pytest.mark.parametrize("side", [(500, 375), (375, 500), (640, 427), (240, 180), (101, 333)], ids=str)
@pytest.mark.parametrize("size", [20, 64, 224])
def test_decoding_only_the_crop_changes_nothing_visible(side, size, subsampling):
    photo = np.asarray(PIL.Image.fromarray(PHOTOS[0]).resize(side))
    contents = encoded(photo, quality=90, subsampling=subsampling)
    for seed in range(6):
        draws = np.random.default_rng([seed, size]).uniform(size=3).astype("float32")
        ours = view_of(
            tf.constant(contents),
            lambda shape, d=draws: augment.paper_crop(shape, size, tf.constant(d)),
            size,
            3,
        )
        theirs = _resized_and_cropped(contents, size, draws)
        difference = abs(ours.numpy().astype("float32") - theirs)
        # Where the decoder itself scales, it filters otherwise than a resize does: as much as bicubic would.
        scaled = min(side) >= 4 * (256 + draws[0] * 224) * size / 224 - 1
        assert difference.mean() < (2.5 if scaled else 0.5)
        assert np.quantile(difference, 0.999) <= (24 if scaled else 3)


@pytest.mark.parametrize("size", [64, 224])
def test_inception_crop_is_pillows(size):
    contents = encoded(PHOTOS[1], "PNG")
    for seed in range(10):
        draws = tf.random.stateless_uniform([augment.INCEPTION_DRAWS], [seed, 0])
        crop = augment.inception_crop(tf.constant(PHOTOS[1].shape[:2]), size, draws)
        top, left, bottom, right = crop.seen.numpy()
        theirs = PIL.Image.fromarray(PHOTOS[1]).crop((left, top, right, bottom))
        theirs = np.asarray(theirs.resize((size, size), PIL.Image.Resampling.BILINEAR), "int")
        ours = view_of(
            tf.constant(contents), lambda shape, d=draws: augment.inception_crop(shape, size, d), size, 3
        )
        assert abs(ours.numpy().astype("int") - theirs).max() <= 1


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
    seen = view_of(tf.constant(grey), lambda shape: augment.centre_crop(shape, 32), 32, 1)
    assert seen.shape == (32, 32, 1)


def test_light_is_added():
    picture = tf.fill([40, 40, 3], tf.constant(100, tf.uint8))
    seen = view_of(
        picture, lambda shape: augment.whole(shape, 40), 40, 3, light=tf.constant([10.0, -20.4, 200.0])
    )
    assert np.unique(seen.numpy().reshape(-1, 3), axis=0).tolist() == [[110, 80, 255]]
