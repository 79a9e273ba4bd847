import itertools

import numpy as np
import pytest
from helpers.errors import refused

from keras_resnet.data.image_arrays import ImageArrays
from keras_resnet.data.images.augment import random_crop_flip
from keras_resnet.data.input_spec import InputSpec, InputTransform
from keras_resnet.data.load import load_dataset
from keras_resnet.data.pipeline import Pipeline

IMAGES = np.arange(10 * 4 * 5, dtype="uint8").reshape(10, 4, 5, 1)
LABELS = np.arange(10)


def _take(arrays, count, first_step=0, worker=0, workers=1, batch_size=4):
    return list(itertools.islice(arrays.rows(batch_size, first_step, worker, workers), count))


def test_an_epoch_has_each_image_once_and_another_order_than_the_next():
    order, uniforms = ImageArrays(IMAGES, LABELS).epoch(0)
    assert sorted(order) == list(range(10))
    assert uniforms.shape == (10, 3)
    assert 0 <= uniforms.min() < uniforms.max() < 1
    others = [ImageArrays(IMAGES, LABELS).epoch(1), ImageArrays(IMAGES, LABELS, seed=1).epoch(0)]
    for other_order, other_uniforms in others:
        assert (order != other_order).any()
        assert (uniforms != other_uniforms).all()


def test_rows_are_the_same_from_any_step_and_divided_among_workers():
    arrays = ImageArrays(IMAGES, LABELS, padding=1)
    all_rows = _take(arrays, 5)  # two steps an epoch
    assert not np.intersect1d(all_rows[0][0], all_rows[1][0]).size
    for first_step in range(1, 5):
        np.testing.assert_equal(_take(arrays, 5 - first_step, first_step), all_rows[first_step:])
    for step in range(5):
        shares = [_take(arrays, 1, step, worker, 2)[0] for worker in range(2)]
        for whole, part in zip(all_rows[step], zip(*shares, strict=True), strict=True):
            np.testing.assert_array_equal(np.stack(part, axis=1).reshape(whole.shape), whole)


def test_random_numbers_belong_to_the_image():
    arrays = ImageArrays(IMAGES, LABELS)
    for epoch in range(2):
        _, uniforms = arrays.epoch(epoch)
        for rows, numbers in _take(arrays, 2, 2 * epoch):
            np.testing.assert_array_equal(numbers, uniforms[rows])


def test_the_padding_is_the_mean_unless_it_is_given():
    assert ImageArrays(IMAGES, LABELS, padding=1).fill_pixels().tolist() == np.round(IMAGES.mean(0)).tolist()
    assert ImageArrays(IMAGES, LABELS, fill=[7.5]).fill_pixels().tolist() == [8]
    assert ImageArrays(IMAGES, LABELS, fill=[300.0]).fill_pixels().tolist() == [255]


def test_a_pipeline_gives_the_batches_it_makes_itself():
    pipeline = Pipeline(
        load_dataset("digits"), InputTransform(InputSpec(8, 1), hflip=True, crop_padding=2), seed=3
    )
    mean = pipeline.mean(per_pixel=True)
    arrays = pipeline.cached_arrays(mean)
    batches = pipeline.train_batches(64, 2, mean, first_step=20).as_numpy_iterator()
    for (images, labels), (rows, uniforms) in zip(batches, arrays.rows(64, 20, 0, 1), strict=False):
        np.testing.assert_array_equal(labels, arrays.labels[rows])
        crops = random_crop_flip(
            arrays.images[rows], arrays.padding, arrays.fill_pixels(), uniforms, hflip=arrays.hflip
        )
        np.testing.assert_array_equal(images, crops)


@pytest.mark.parametrize(
    ("parameter", "fields"),
    [
        ("padding", {"padding": -1}),
        ("padding", {"padding": 0.5}),
        ("images", {"images": IMAGES.astype("float32"), "hflip": True}),
        ("images", {"images": IMAGES[..., 0], "padding": 1}),
        ("fill", {"fill": np.zeros((5, 4, 1))}),
    ],
)
def test_fields_that_cannot_be_used_are_refused(parameter, fields):
    with refused(parameter):
        ImageArrays(**{"images": IMAGES, "labels": LABELS, **fields})
