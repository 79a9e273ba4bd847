import io

import numpy as np
import PIL.Image
import pytest
import tensorflow as tf
from helpers.errors import refused
from helpers.pictures import PHOTOS, encoded, small

from keras_resnet.data.dataset import Split
from keras_resnet.data.decode_errors import DecodeErrors
from keras_resnet.data.input_spec import InputSpec, InputTransform, TestViews, default_scales
from keras_resnet.data.load import load_dataset
from keras_resnet.data.pipeline import Pipeline
from keras_resnet.data.test_views import five_crops, iterate_views

CENTER = InputSpec(64, 3, "center")


def _scaled(pixels, shorter):
    """By Pillow, which scales as the paper's tools did."""
    height, width = pixels.shape[:2]
    scale = shorter / min(height, width)
    size = max(shorter, round(width * scale)), max(shorter, round(height * scale))
    return np.asarray(PIL.Image.fromarray(pixels).resize(size, PIL.Image.Resampling.BILINEAR))


@pytest.mark.parametrize("photo", [PHOTOS[0], PHOTOS[1].transpose(1, 0, 2)], ids=["wide", "high"])
def test_five_crops_are_those_of_the_scaled_image(photo):
    crops = five_crops(tf.constant(photo), InputSpec(224)).numpy()
    scaled = _scaled(photo, 256)
    down, across = (side - 224 for side in scaled.shape[:2])
    corners = [(0, 0), (0, across), (down, 0), (down, across), (down // 2, across // 2)]
    for crop, (top, left) in zip(crops, corners, strict=True):
        wanted = scaled[top : top + 224, left : left + 224].astype(int)
        assert np.abs(crop - wanted).max() <= 1


def test_the_fifth_crop_is_the_center_crop():
    split = _split("two", [encoded(photo, "PNG") for photo in PHOTOS])
    views = (TestViews("ten_crop", CENTER), TestViews("center", CENTER))
    (_, indices, (crops, centers), labels), *rest = iterate_views(split, views, 10, DecodeErrors())
    assert not rest
    assert indices.tolist() == labels.tolist() == [0, 1]
    assert np.abs(crops[:, 4].astype(int) - centers).max() <= 1


def _split(name, files):
    """Labeled by their number."""

    def read(key, start=0, step=1):
        numbers = tf.range(len(files), dtype=tf.int64)[start::step]
        return tf.data.Dataset.from_tensor_slices((numbers, tf.constant(files)[start::step], numbers))

    return Split(name, len(files), read, str)


def test_scales_keep_the_shape_of_each_image():
    files = [encoded(small(*one), "PNG") for one in ((0, 90, 60), (1, 60, 80), (0, 90, 60))]
    split = _split("three", files)
    batches = list(
        iterate_views(split, [TestViews("multi_scale", InputSpec(32), scales=(32, 48))], 2, DecodeErrors())
    )
    assert [batch.labels.tolist() for batch in batches] == [[0, 1], [2]]
    shapes = [[image.shape for image in scale] for _, _, (scales,), _ in batches for scale in scales]
    assert shapes == [
        [(32, 48, 3), (43, 32, 3)],
        [(48, 72, 3), (64, 48, 3)],
        [(32, 48, 3)],
        [(48, 72, 3)],
    ]
    first = batches[0].views[0][1][0].astype(int)
    wanted = _scaled(np.asarray(PIL.Image.open(io.BytesIO(files[0]))), 48)
    assert np.abs(first - wanted).max() <= 1


def test_the_center_view_is_the_validation_image():
    dataset = load_dataset("digits")
    wanted = Pipeline(dataset, InputTransform(InputSpec(8, 1), hflip=False)).validation_batches(100)
    given = list(
        iterate_views(dataset.validation, [TestViews("center", InputSpec(8, 1))], 100, DecodeErrors())
    )
    for (images, labels), (_, _, (views,), numbers) in zip(wanted.as_numpy_iterator(), given, strict=True):
        np.testing.assert_array_equal(views, images)
        np.testing.assert_array_equal(numbers, labels)


def test_the_papers_scales_are_in_proportion():
    assert default_scales(224) == (224, 256, 384, 480, 640)
    assert default_scales(28) == (28, 32, 48, 60, 80)
    with refused("scales", (256, 200)):
        TestViews("multi_scale", InputSpec(224), scales=(256, 200))
    with refused("views", "all"):
        TestViews("all", InputSpec(224))
