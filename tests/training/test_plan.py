"""What a training needs, by hand."""

import pytest

from keras_resnet import CifarResNet
from keras_resnet.training import Recipe
from keras_resnet.training.plan import memory

RECIPE = Recipe("this test", batch_size=4, epochs=1)
# Numbers that are kept of an image of 8x8 in ResNet-8, of 16, 32 and 64 channels: of the stem a convolution
# and an activation; inside each block two convolutions, an activation, and before a stride the image with
# its border of zeros; at its end an activation.
STEM = 2 * 64 * 16
INNER = (64 * 16 * 3, 16 * 32 * 3 + 10 * 10 * 16, 4 * 64 * 3 + 6 * 6 * 32)
OUT = (64 * 16, 16 * 32, 4 * 64)


@pytest.mark.parametrize(
    ("rematerialized", "numbers"),
    [
        ((), STEM + sum(INNER) + sum(OUT)),
        (("conv2",), STEM + sum(INNER) + sum(OUT)),
        (("conv3", "conv4"), STEM + INNER[0] + sum(OUT) + INNER[1]),
        (("conv2", "conv3", "conv4"), STEM + sum(OUT) + INNER[1]),
    ],
)
def test_memory_is_counted_by_layers(rematerialized, numbers):
    """Weights, gradients and velocities in float32; of recomputed stages one block at a time."""
    net = CifarResNet(8, input_shape=(8, 8, 3), weights=None)
    assert memory(net, RECIPE, 4, rematerialized) == 4 * (3 * net.count_params() + 4 * numbers)
