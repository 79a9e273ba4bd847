import numpy as np
import PIL.Image
import pytest
import tensorflow as tf
from helpers.marks import slow
from helpers.pictures import PHOTOS

from keras_resnet.data.images import augment
from keras_resnet.data.images.decode import decode_crop


def _numbered(count, height, width):
    """Images whose pixels all differ within an image, so that a crop tells where it is from."""
    return np.tile(np.arange(height * width, dtype="uint8").reshape(1, height, width, 1), (count, 1, 1, 1))


def _all_crops(image, padding, fill, *, hflip):
    """Every crop of the padded image by plain slicing, and its mirror image."""
    height, width, _ = image.shape
    inside = np.zeros((height + 2 * padding, width + 2 * padding, 1), bool)
    inside[padding:-padding, padding:-padding] = True
    padded = np.pad(image, ((padding, padding), (padding, padding), (0, 0)))
    crops = set()
    for top in range(2 * padding + 1):
        for left in range(2 * padding + 1):
            window = (slice(top, top + height), slice(left, left + width))
            for step in (1, -1) if hflip else (1,):
                crop = np.where(inside[window], padded[window], 0)[:, ::step]
                crops.add(bytes(np.where(inside[window][:, ::step], crop, fill)))
    return crops


def _draws(count, numbers):
    return tf.random.stateless_uniform([count, numbers], [1, 2])


@pytest.mark.parametrize("hflip", [False, True])
def test_crops_are_exactly_those_of_the_padded_image(hflip):
    images = _numbered(3000, 6, 7)
    fill = np.random.default_rng(0).integers(100, 256, (6, 7, 1), "uint8")
    crops = augment.random_crop_flip(images, 2, fill, _draws(3000, 3), hflip=hflip).numpy()
    expected = _all_crops(images[0], 2, fill, hflip=hflip)
    assert len(expected) == 25 * (1 + hflip)
    # 3,000 draws of at most 50: all of them come up, and nothing else does.
    assert {bytes(crop) for crop in crops} == expected


def test_half_of_the_crops_are_mirrored():
    images = _numbered(4000, 4, 5)
    fill = np.zeros((4, 5, 1), "uint8")
    crops = augment.random_crop_flip(images, 0, fill, _draws(4000, 3), hflip=True).numpy()
    hflip = np.mean([np.array_equal(crop, images[0][:, ::-1]) for crop in crops])
    assert abs(hflip - 0.5) < 0.04  # five standard deviations


@pytest.mark.parametrize("shape", [(375, 500), slow((500, 375)), slow((1000, 1000)), slow((960, 5000))])
def test_papers_squares_are_of_the_papers_scales_and_inside(shape):
    scales, corners = [], []
    for uniforms in _draws(300, 4):
        top, left, height, width = augment.scale_jitter_box(tf.constant(shape), 224, uniforms).numpy()
        assert height == width
        assert 0 <= top <= shape[0] - height
        assert 0 <= left <= shape[1] - width
        scales.append(min(shape) * 224 / height)
        corners.append((top / (shape[0] - height), left / (shape[1] - width)))
    rounding = 1 + 1 / height
    assert 256 / rounding < min(scales) < 260
    assert 475 < max(scales) < 480 * rounding
    assert abs(np.mean(scales) - 368) < 20  # the middle of 256 and 480; five standard deviations
    # Anywhere alike.
    assert abs(np.mean(corners, axis=0) - 0.5).max() < 0.09
    assert np.min(corners) < 0.02
    assert np.max(corners) > 0.98


@pytest.mark.parametrize("shape", [(375, 500), slow((300, 300)), slow((60, 1000))])
def test_inception_rectangles_are_of_its_areas_and_aspects(shape):
    areas, aspects = [], []
    for uniforms in _draws(300, augment.RESIZED_CROP_UNIFORMS):
        top, left, height, width = augment.random_resized_crop_box(tf.constant(shape), 224, uniforms).numpy()
        assert 0 <= top <= shape[0] - height
        assert 0 <= left <= shape[1] - width
        areas.append(height * width / (shape[0] * shape[1]))
        aspects.append(width / height)
    # A pixel more or less of the shorter side.
    slack = 1 + 2 / min(shape)
    assert min(aspects) > 3 / 4 / slack
    assert max(aspects) < 4 / 3 * slack
    if shape != (60, 1000):  # where the largest rectangle has 8% of the area
        assert min(areas) < 0.12
        assert max(areas) > 0.8


def test_light_varies_along_imagenets_components():
    """Covariance of 20,000 draws against deviations times components, as published."""
    normal = np.random.default_rng(0).normal(size=(20_000, 3)).astype("float32")
    lights = augment.lighting(tf.constant(normal)).numpy()
    components = np.array(
        [[-0.5675, 0.7192, 0.4009], [-0.5808, -0.0045, -0.8140], [-0.5836, -0.6948, 0.4203]]
    )
    deviations = 0.1 * 255 * np.array([0.2175, 0.0188, 0.0045])
    expected = components @ np.diag(deviations**2) @ components.T
    np.testing.assert_allclose(np.cov(lights.T), expected, rtol=0.05)
    # Nearly all of it is brightness.
    assert np.corrcoef(lights.T).min() > 0.95


@pytest.mark.parametrize("photo", PHOTOS, ids=["church", "flower"])
def test_centre_crop_is_pillows(photo):
    size = 112
    height, width, _ = photo.shape
    scale = round(size * 256 / 224) / min(height, width)
    resized = PIL.Image.fromarray(photo).resize(
        (round(width * scale), round(height * scale)), PIL.Image.Resampling.BILINEAR
    )
    left, top = (resized.width - size) // 2, (resized.height - size) // 2
    theirs = np.asarray(resized.crop((left, top, left + size, top + size)), "int")
    ours = decode_crop(tf.constant(photo), lambda shape: augment.center_crop(shape, size), size, 3)
    # Both are a triangle filter with antialiasing; they round at other places.
    assert abs(ours.numpy().astype("int") - theirs).max() <= 1
