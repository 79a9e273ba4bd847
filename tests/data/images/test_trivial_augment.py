"""Each operation against Pillow's of the same name, at all 31 strengths."""

import numpy as np
import PIL.Image
import PIL.ImageEnhance
import PIL.ImageOps
import pytest
import tensorflow as tf
from helpers.pictures import PHOTOS

from keras_resnet.data.images.trivial_augment import OPERATIONS, trivial_augment

FILL = (10, 20, 30)
LEVELS = range(31)


def _affine(*numbers):
    def apply(image, fill):
        return image.transform(image.size, PIL.Image.Transform.AFFINE, numbers, fillcolor=fill)

    return apply


def _enhanced(kind):
    return lambda level, sign, side: lambda image, fill: kind(image).enhance(0.01 + 1.99 * level / 30)


def _pixels(level, side):
    return level * min(32, side) // 30


# By operation: (level, sign, side) -> (image, fill) -> image, with the strengths of the authors' code.
PILLOW = {
    "identity": lambda level, sign, side: lambda image, fill: image,
    "shear_x": lambda level, sign, side: _affine(1, sign * 0.99 * level / 30, 0, 0, 1, 0),
    "shear_y": lambda level, sign, side: _affine(1, 0, 0, sign * 0.99 * level / 30, 1, 0),
    "translate_x": lambda level, sign, side: _affine(1, 0, sign * _pixels(level, side), 0, 1, 0),
    "translate_y": lambda level, sign, side: _affine(1, 0, 0, 0, 1, sign * _pixels(level, side)),
    "rotate": lambda level, sign, side: (
        lambda image, fill: image.rotate(sign * (135 * level // 30), fillcolor=fill)
    ),
    "brightness": _enhanced(PIL.ImageEnhance.Brightness),
    "color": _enhanced(PIL.ImageEnhance.Color),
    "contrast": _enhanced(PIL.ImageEnhance.Contrast),
    "sharpness": _enhanced(PIL.ImageEnhance.Sharpness),
    "posterize": lambda level, sign, side: (
        lambda image, fill: PIL.ImageOps.posterize(image, 8 - 6 * level // 30)
    ),
    "solarize": lambda level, sign, side: (
        lambda image, fill: PIL.ImageOps.solarize(image, 256 - 256 * level // 30)
    ),
    "auto_contrast": lambda level, sign, side: lambda image, fill: PIL.ImageOps.autocontrast(image),
    "equalize": lambda level, sign, side: lambda image, fill: PIL.ImageOps.equalize(image),
}
WARPS = ("shear_x", "shear_y", "rotate")


def _picture(photo, side, channels):
    image = PIL.Image.fromarray(photo).resize((side, side))
    # Less than the full range, for auto_contrast.
    return image.convert("L" if channels == 1 else "RGB").point(lambda value: 20 + value * 3 // 4)


def _as_pillow(name, image, level, sign, channels):
    fill = FILL[0] if channels == 1 else FILL
    made = PILLOW[name](level, sign, image.width)(image, fill)
    return np.asarray(made).reshape(image.height, image.width, channels)


def test_there_are_the_papers_operations():
    assert list(OPERATIONS) == list(PILLOW)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("name", PILLOW)
def test_an_operation_is_pillows(name, channels):
    image = _picture(PHOTOS[0], 45, channels)
    levels = np.repeat(np.arange(31, dtype="int32"), 2)
    signs = np.tile(np.array([-1, 1], "float32"), 31)
    batch = np.stack([np.asarray(image).reshape(45, 45, channels)] * 62)
    ours = OPERATIONS[name](
        tf.constant(batch), tf.constant(levels), tf.constant(signs), tf.constant(FILL[:channels], tf.uint8)
    ).numpy()
    assert ours.dtype == np.uint8
    for level, sign, mine in zip(levels.tolist(), signs.tolist(), ours, strict=True):
        theirs = _as_pillow(name, image, level, sign, channels)
        if name in WARPS:
            # Pillow computes places in fixed point, and a pixel between two may be taken from the other.
            assert np.mean((mine != theirs).any(axis=-1)) < 0.02, (level, sign)
        else:
            # A value between two may be rounded to the other.
            assert abs(mine.astype(int) - theirs).max() <= (name in ("brightness", "color", "contrast")), (
                level
            )
            assert np.mean(mine != theirs) < 0.01


@pytest.mark.parametrize("channels", [1, 3])
def test_flat_images_stay_as_pillow_leaves_them(channels):
    batch = np.full((31, 9, 9, channels), 77, "uint8")
    image = PIL.Image.fromarray(batch[0] if channels == 3 else batch[0, ..., 0])
    for name in ("auto_contrast", "equalize", "contrast", "sharpness", "color"):
        levels, signs = tf.range(31), tf.ones(31)
        ours = OPERATIONS[name](tf.constant(batch), levels, signs, tf.zeros(channels, tf.uint8)).numpy()
        for level, mine in enumerate(ours):
            theirs = _as_pillow(name, image, level, 1, channels)
            assert abs(mine.astype(int) - theirs).max() <= 1, name


def test_uniforms_choose_operation_strength_and_sign():
    """Each image of a batch gets what its own numbers say, whatever the others get."""
    images = [_picture(photo, 40, 3) for photo in PHOTOS]
    uniforms, expected = [], []
    for number, name in enumerate(PILLOW):
        for level, sign in ((3, -1), (30, 1)):
            uniforms.append([(number + 0.5) / 14, (level + 0.5) / 31, 0.25 if sign < 0 else 0.75])
            expected.append(_as_pillow(name, images[number % 2], level, sign, 3))
    batch = np.stack([np.asarray(images[number % 2]) for number in range(14) for _ in range(2)])
    order = np.random.default_rng(0).permutation(len(batch))
    ours = trivial_augment(
        tf.constant(batch[order]), tf.gather(tf.constant(uniforms), order), tf.constant(FILL, tf.uint8)
    ).numpy()
    for place, mine in zip(order, ours, strict=True):
        different = abs(mine.astype(int) - expected[place]).max(axis=-1) > 1
        assert different.mean() < 0.02, list(PILLOW)[place // 2]


def test_no_image_is_augmented_as_well():
    empty = tf.zeros([0, 8, 8, 3], tf.uint8)
    assert trivial_augment(empty, tf.zeros([0, 3]), tf.zeros(3, tf.uint8)).shape == (0, 8, 8, 3)
