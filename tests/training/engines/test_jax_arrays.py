"""What the JAX engine computes from images on its devices, against TensorFlow's operations."""

import jax
import keras
import numpy as np
import pytest

import keras_resnet
from keras_resnet.data.images.augment import random_crop_flip
from keras_resnet.training.engines.jax import JaxEngine
from keras_resnet.training.engines.jax_arrays import crop_rows


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("per_pixel", [True, False])
@pytest.mark.parametrize(("padding", "hflip"), [(4, True), (2, False), (0, True), (7, True)])
def test_crops_are_those_of_tensorflow(channels, per_pixel, padding, hflip):
    random = np.random.default_rng(padding)
    images = random.integers(0, 256, (20, 6, 9, channels), "uint8")
    fill = random.integers(0, 256, images.shape[1 if per_pixel else 3 :], "uint8")
    rows = random.permutation(20)[:11]
    uniforms = random.random((11, 3), "float32")
    uniforms[0], uniforms[1] = 0, np.nextafter(np.float32(1), np.float32(0))
    expected = random_crop_flip(images[rows], padding, fill, uniforms, hflip=hflip)
    found = jax.jit(crop_rows, static_argnames=("padding", "hflip"))(
        images, rows, uniforms, fill, padding=padding, hflip=hflip
    )
    np.testing.assert_array_equal(found, expected)


def test_batches_are_copied_ahead_and_in_order():
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(2, activation="softmax")])
    model = keras.Model(model.inputs, model.outputs)
    steps = JaxEngine().make_steps(model, keras_resnet.Recipe("this test", 2, epochs=1))
    read = []

    def batches():
        for number in range(5):
            read.append(number)
            yield np.full(2, number), np.full(2, number)

    ahead = steps.load_ahead(batches())
    first = next(ahead)
    assert read == [0, 1, 2]
    assert [int(y[0]) for _, y in (first, *ahead)] == [0, 1, 2, 3, 4]
