"""The memory of a training, counted by hand."""

import pytest

from keras_resnet import CifarResNet
from keras_resnet.training import Recipe
from keras_resnet.training.estimates import estimate_memory

RECIPE = Recipe("this test", batch_size=4, epochs=1)
# Numbers kept per image of 8x8 pixels in ResNet-8 with 16, 32 and 64 channels: the output of the stem, whose
# convolution is cheap, and of every block, and those of the two convolutions inside each.
STEM = 64 * 16
KEPT = (64 * 16 * 2, 16 * 32 * 2, 4 * 64 * 2)
OUT = (64 * 16, 16 * 32, 4 * 64)
# Besides those of the convolutions, where a whole block is computed again: an activation, and before a stride
# the padded image.
INNER = (64 * 16 * 3, 16 * 32 * 3 + 10 * 10 * 16, 4 * 64 * 3 + 6 * 6 * 32)


def test_steps_that_xla_compiles_keep_every_activation():
    """Two convolutions and two ReLUs in the block of each size, one of each in the stem, and padding."""
    model = CifarResNet(8, input_shape=(8, 8, 3), weights=None)
    numbers = 64 * 16 * (2 + 4) + 16 * 32 * 4 + 4 * 64 * 4 + 10 * 10 * 16 + 6 * 6 * 32
    found = estimate_memory(model, RECIPE, 4, jit_compile=True)
    assert found == 4 * (3 * model.count_params() + 4 * numbers)


@pytest.mark.parametrize(
    ("rematerialize", "numbers"),
    [
        ((), STEM + sum(KEPT) + sum(OUT)),
        (("conv2",), STEM + sum(KEPT[1:]) + sum(OUT) + INNER[0]),
        (("conv3", "conv4"), STEM + KEPT[0] + sum(OUT) + INNER[1]),
        (("conv2", "conv3", "conv4"), STEM + sum(OUT) + INNER[1]),
    ],
)
def test_memory_is_counted_by_layers(rematerialize, numbers):
    """Weights, gradients and velocities in float32; one block at a time of recomputed stages."""
    model = CifarResNet(8, input_shape=(8, 8, 3), weights=None)
    assert estimate_memory(model, RECIPE, 4, rematerialize) == 4 * (3 * model.count_params() + 4 * numbers)
