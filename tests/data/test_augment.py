import numpy as np
import PIL.Image
import pytest
import tensorflow as tf
from sklearn.datasets import load_sample_images

from keras_resnet.data import augment

PHOTOS = load_sample_images().images


def _numbered(count, height, width):
    """Images whose pixels all differ within an image, so that a crop tells where it is from."""
    return np.tile(np.arange(height * width, dtype="uint8").reshape(1, height, width, 1), (count, 1, 1, 1))


def _all_crops(image, padding, fill, *, mirror):
    """Every crop of the padded image by plain slicing, and its mirror image."""
    height, width, _ = image.shape
    inside = np.zeros((height + 2 * padding, width + 2 * padding, 1), bool)
    inside[padding:-padding, padding:-padding] = True
    padded = np.pad(image, ((padding, padding), (padding, padding), (0, 0)))
    crops = set()
    for top in range(2 * padding + 1):
        for left in range(2 * padding + 1):
            window = (slice(top, top + height), slice(left, left + width))
            for step in (1, -1) if mirror else (1,):
                crop = np.where(inside[window], padded[window], 0)[:, ::step]
                crops.add(bytes(np.where(inside[window][:, ::step], crop, fill)))
    return crops


@pytest.mark.parametrize("mirror", [False, True])
def test_crops_are_exactly_those_of_the_padded_image(mirror):
    images = _numbered(3000, 6, 7)
    fill = np.random.default_rng(0).integers(100, 256, (6, 7, 1), "uint8")
    crops = augment.pad_crop_mirror(images, 2, fill, tf.constant([1, 2], tf.int64), mirror=mirror).numpy()
    expected = _all_crops(images[0], 2, fill, mirror=mirror)
    assert len(expected) == 25 * (1 + mirror)
    # 3,000 draws of at most 50: all of them come up, and nothing else does.
    assert {bytes(crop) for crop in crops} == expected


def test_half_of_the_crops_are_mirrored():
    images = _numbered(4000, 4, 5)
    fill = np.zeros((4, 5, 1), "uint8")
    crops = augment.pad_crop_mirror(images, 0, fill, tf.constant([3, 4], tf.int64), mirror=True).numpy()
    mirrored = np.mean([np.array_equal(crop, images[0][:, ::-1]) for crop in crops])
    assert abs(mirrored - 0.5) < 0.04  # five standard deviations


def test_same_seed_same_crop():
    def crop(*seed):
        return augment.scale_crop_mirror(PHOTOS[0], 64, tf.constant(seed, tf.int64), mirror=True).numpy()

    np.testing.assert_array_equal(crop(1, 2), crop(1, 2))
    assert not np.array_equal(crop(1, 2), crop(1, 3))


def test_scaled_crop_has_the_papers_scales():
    """On a picture of its own coordinates, the slope of a crop tells the scale it was taken at."""
    side = 512
    ramp = np.broadcast_to(np.linspace(0, 255, side, dtype="float32")[None, :, None], (side, side, 3))
    picture = np.round(ramp).astype("uint8")
    scales = []
    for i in range(60):
        crop = augment.scale_crop_mirror(picture, 224, tf.constant([i, 0], tf.int64), mirror=False).numpy()
        assert crop.shape == (224, 224, 3)
        slope = np.polyfit(np.arange(224), crop[0, :, 0], 1)[0]
        scales.append(255 / slope)
    assert min(scales) > 250
    assert max(scales) < 490
    assert max(scales) - min(scales) > 150


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
    ours = augment.centre_crop(photo, size).numpy().astype("int")
    # Both are a triangle filter with antialiasing; they round at other places.
    assert abs(ours - theirs).max() <= 1
