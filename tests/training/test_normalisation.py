import numpy as np
import pytest

from keras_resnet.errors import UserError
from keras_resnet.training.normalisation import normalisation_of, padding
from keras_resnet.weights import layouts
from keras_resnet.weights.pixels import PIXELS
from keras_resnet.weights.stored import Stored

TORCH = PIXELS["torch"]


def _of(mean):
    stored = {} if mean is None else {f"{layouts.MEAN_LAYER}/mean": Stored(mean.shape, lambda: mean)}
    return layouts.Named(layouts.TORCH, stored)


def test_weights_from_elsewhere_are_prepared_as_those_who_publish_them_say():
    assert normalisation_of(_of(None), 3, "net.pth") == TORCH


def test_a_mean_of_another_number_of_channels_becomes_a_grey_one():
    colours = np.array([1.0, 2.0, 6.0])
    np.testing.assert_array_equal(normalisation_of(_of(colours), 3, "net.keras"), colours)
    np.testing.assert_array_equal(normalisation_of(_of(colours), 1, "net.keras"), [3])
    np.testing.assert_array_equal(
        normalisation_of(_of(np.full((4, 4, 1), 5.0)), 3, "x"), np.full((4, 4, 3), 5)
    )


@pytest.mark.parametrize("shape", [(), (4,), (4, 3), (4, 4, 2), (5000, 4, 3), (1, 4, 4, 3)])
def test_a_mean_that_is_no_image_is_refused_with_its_file(shape):
    with pytest.raises(UserError, match=r"The mean image in net\.keras has an odd shape, \("):
        normalisation_of(_of(np.zeros(shape)), 3, "net.keras")


def test_what_becomes_zero_is_padded():
    mean = np.arange(48.0).reshape(4, 4, 3)
    np.testing.assert_array_equal(padding(mean, 4, 3), mean)
    # Of images of another size, there is no mean of each pixel.
    np.testing.assert_array_equal(padding(mean, 8, 3), [22.5, 23.5, 24.5])
    np.testing.assert_allclose(padding(TORCH, 8, 3), [123.675, 116.28, 103.53], rtol=1e-6)
    np.testing.assert_allclose(padding(TORCH, 8, 1), [(123.675 + 116.28 + 103.53) / 3], rtol=1e-6)
