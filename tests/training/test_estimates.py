"""The memory of a training, counted by hand."""

import pytest

from keras_resnet import CifarResNet
from keras_resnet.training import Recipe
from keras_resnet.training.estimates import estimate_memory

RECIPE = Recipe("this test", batch_size=4, epochs=1)
# Numbers kept per image of 8x8 pixels in ResNet-8 with 16, 32 and 64 channels: a convolution and an
# activation of the stem; two convolutions and an activation inside each block, and before a stride the padded
# image; an activation at its end.
STEM = 2 * 64 * 16
INNER = (64 * 16 * 3, 16 * 32 * 3 + 10 * 10 * 16, 4 * 64 * 3 + 6 * 6 * 32)
OUT = (64 * 16, 16 * 32, 4 * 64)


@pytest.mark.parametrize(
    ("rematerialize", "numbers"),
    [
        ((), STEM + sum(INNER) + sum(OUT)),
        (("conv2",), STEM + sum(INNER) + sum(OUT)),
        (("conv3", "conv4"), STEM + INNER[0] + sum(OUT) + INNER[1]),
        (("conv2", "conv3", "conv4"), STEM + sum(OUT) + INNER[1]),
    ],
)
def test_memory_is_counted_by_layers(rematerialize, numbers):
    """Weights, gradients and velocities in float32; one block at a time of recomputed stages."""
    model = CifarResNet(8, input_shape=(8, 8, 3), weights=None)
    assert estimate_memory(model, RECIPE, 4, rematerialize) == 4 * (3 * model.count_params() + 4 * numbers)
