import io

import numpy as np
import PIL.Image
import pytest
import tensorflow as tf
from pictures import PHOTOS, encoded, small

from keras_resnet.data import sources
from keras_resnet.data.bad_images import BadImages
from keras_resnet.data.pipeline import Pipeline
from keras_resnet.data.shown import five_crops, shown_images
from keras_resnet.data.source import Split
from keras_resnet.data.view import View, Views, default_sides
from keras_resnet.errors import UserError


def _scaled(pixels, shorter):
    """By Pillow, which scales as the paper's tools did."""
    height, width = pixels.shape[:2]
    scale = shorter / min(height, width)
    size = max(shorter, round(width * scale)), max(shorter, round(height * scale))
    return np.asarray(PIL.Image.fromarray(pixels).resize(size, PIL.Image.Resampling.BILINEAR))


@pytest.mark.parametrize("photo", [PHOTOS[0], PHOTOS[1].transpose(1, 0, 2)], ids=["wide", "high"])
def test_five_crops_are_those_of_the_scaled_image(photo):
    crops = five_crops(tf.constant(photo), 224, 3).numpy()
    scaled = _scaled(photo, 256)
    down, across = (side - 224 for side in scaled.shape[:2])
    corners = [(0, 0), (0, across), (down, 0), (down, across), (down // 2, across // 2)]
    for crop, (top, left) in zip(crops, corners, strict=True):
        wanted = scaled[top : top + 224, left : left + 224].astype(int)
        assert np.abs(crop - wanted).max() <= 1


def test_the_fifth_crop_is_the_centre_that_tests_see():
    split = _split("two", [encoded(photo, "PNG") for photo in PHOTOS])
    views = (Views("ten_crop", 64, 3), Views("center", 64, 3))
    (_, indices, (crops, centres), labels), *rest = shown_images(split, views, 10, BadImages())
    assert not rest
    assert indices.tolist() == labels.tolist() == [0, 1]
    assert np.abs(crops[:, 4].astype(int) - centres).max() <= 1


def _split(name, files):
    """Labelled by their number."""

    def read(key, start=0, step=1):
        numbers = tf.range(len(files), dtype=tf.int64)[start::step]
        return tf.data.Dataset.from_tensor_slices((numbers, tf.constant(files)[start::step], numbers))

    return Split(name, len(files), read, str)


def test_scales_keep_the_shape_of_each_image():
    files = [encoded(small(*one), "PNG") for one in ((0, 90, 60), (1, 60, 80), (0, 90, 60))]
    split = _split("three", files)
    batches = list(shown_images(split, [Views("multi_scale", 32, 3, sides=(32, 48))], 2, BadImages()))
    assert [batch.labels.tolist() for batch in batches] == [[0, 1], [2]]
    shapes = [[image.shape for image in scale] for _, _, (scales,), _ in batches for scale in scales]
    assert shapes == [
        [(32, 48, 3), (43, 32, 3)],
        [(48, 72, 3), (64, 48, 3)],
        [(32, 48, 3)],
        [(48, 72, 3)],
    ]
    first = batches[0].shown[0][1][0].astype(int)
    wanted = _scaled(np.asarray(PIL.Image.open(io.BytesIO(files[0]))), 48)
    assert np.abs(first - wanted).max() <= 1


def test_the_centre_is_what_training_tests_on():
    source = sources.find("digits")
    wanted = Pipeline(source, View(8, whole=True, mirrored=False)).evaluation_batches(100)
    given = list(shown_images(source.test, [Views("center", 8, 1, whole=True)], 100, BadImages()))
    for (images, labels), (_, _, (shown,), numbers) in zip(wanted.as_numpy_iterator(), given, strict=True):
        np.testing.assert_array_equal(shown, images)
        np.testing.assert_array_equal(numbers, labels)


def test_the_papers_sides_are_in_proportion():
    assert default_sides(224) == (224, 256, 384, 480, 640)
    assert default_sides(28) == (28, 32, 48, 60, 80)
    with pytest.raises(UserError, match=r"--sides=256,200: 200 is less than 224"):
        Views("multi_scale", 224, 3, sides=(256, 200))
