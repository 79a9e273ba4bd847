import numpy as np

from keras_resnet.training.normalization import padding_pixels
from keras_resnet.weights.normalization import NORMALIZATIONS

TORCH = NORMALIZATIONS["torch"]


def test_padding_is_normalized_to_zero():
    mean = np.arange(48.0).reshape(4, 4, 3)
    np.testing.assert_array_equal(padding_pixels(mean, 4, 3), mean)
    # A mean image does not fit images of another size.
    np.testing.assert_array_equal(padding_pixels(mean, 8, 3), [22.5, 23.5, 24.5])
    np.testing.assert_allclose(padding_pixels(TORCH, 8, 3), [123.675, 116.28, 103.53], rtol=1e-6)
    np.testing.assert_allclose(padding_pixels(TORCH, 8, 1), [(123.675 + 116.28 + 103.53) / 3], rtol=1e-6)
