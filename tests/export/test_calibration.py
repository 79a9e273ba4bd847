"""Calibration images in every form, and what is refused of them."""

import numpy as np
import pytest
from helpers.errors import refused

from keras_resnet.data.input_spec import InputSpec
from keras_resnet.export.calibration import calibration_batches

SPEC = InputSpec(8, 1)
IMAGES = np.random.default_rng(0).integers(0, 256, (6, 8, 8, 1), "uint8")


class _Array:
    """An array of another library, as JAX' and TensorFlow's are."""

    shape = IMAGES.shape

    def __array__(self, dtype=None, copy=None):
        return IMAGES


@pytest.mark.parametrize(
    "calibration",
    [
        IMAGES,
        _Array(),
        [IMAGES[:4], IMAGES[4:]],
        (IMAGES[:4], IMAGES[4:]),
        iter([IMAGES[:4], IMAGES[4:]]),
        list(IMAGES),
        IMAGES.tolist(),
        IMAGES.astype("float64"),
        IMAGES.astype("int64"),
    ],
    ids=["array", "other", "batches", "tuple", "iterator", "images", "lists", "floats", "integers"],
)
def test_images_of_every_form_are_the_same_batches(calibration):
    np.testing.assert_array_equal(np.concatenate(list(calibration_batches(calibration, SPEC))), IMAGES)


@pytest.mark.parametrize(
    "calibration",
    [
        3,
        "images",
        IMAGES[..., 0],
        IMAGES[:0],
        IMAGES[:, :7],
        np.repeat(IMAGES, 3, axis=3),
        IMAGES.astype(str),
        IMAGES / 255,
        IMAGES - 300.0,
        np.full(IMAGES.shape, np.nan),
        [(IMAGES, np.zeros(6))],
        [{"image": IMAGES}],
        [IMAGES[0, :, :, 0]],
    ],
    ids=range(13),
)
def test_what_is_no_image_of_the_model_is_refused(calibration):
    with refused("calibration"):
        list(calibration_batches(calibration, SPEC))
