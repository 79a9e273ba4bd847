"""The pixels of torchvision's and timm's own evaluation transforms, for two photographs."""

import pathlib

import numpy as np
import PIL.Image
import pytest
from sklearn.datasets import load_sample_images

from keras_resnet.weights import EvalSettings, eval_transform, get_weights

GOLDEN = pathlib.Path(__file__).parents[1] / "golden" / "public.npz"
# Every so many-th pixel of the golden images was kept, down and across.
KEPT = 7


@pytest.mark.parametrize("name", ["torchvision-v1", "torchvision-v2", "timm-a1"])
def test_normalized_pixels_are_those_of_the_publishers(name):
    weights = get_weights(name, 50)
    pictures = map(PIL.Image.fromarray, load_sample_images().images)
    pixels = np.stack([eval_transform(picture, weights.eval) for picture in pictures])
    assert pixels.dtype == "uint8"
    assert pixels.shape == (2, weights.eval.crop_size, weights.eval.crop_size, 3)
    normalized = (pixels - np.array(weights.normalization.mean)) / np.array(weights.normalization.std)
    expected = np.load(GOLDEN)[f"{name}_pixels"].transpose(0, 2, 3, 1)
    # A gray level is 0.017.
    np.testing.assert_allclose(normalized[:, ::KEPT, ::KEPT], expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("mode", ["L", "P", "RGBA", "CMYK"])
def test_pictures_of_any_mode_become_rgb(mode):
    picture = PIL.Image.new("RGB", (9, 12), (204, 204, 204)).convert(mode)
    pixels = eval_transform(picture, EvalSettings(crop_size=4, resize_size=6))
    np.testing.assert_allclose(pixels, np.full((4, 4, 3), 204), atol=1)
