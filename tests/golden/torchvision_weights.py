"""Random weights that torchvision's nets and ours can both be given, made from their names alone.

So the golden file need not hold a hundred megabytes of them. NumPy's RandomState never changes its stream.
"""

import math
import zlib

import numpy as np


def make(key: str, shape: tuple[int, ...]) -> np.ndarray:
    """The float32 values of one entry of a torchvision state dict, in torchvision's layout."""
    random = np.random.RandomState(zlib.crc32(key.encode()))
    if key.endswith("running_var"):
        values = random.uniform(0.5, 1.5, shape)
    elif len(shape) == 1 and key.endswith("weight"):
        values = random.uniform(0.3, 0.7, shape)  # BN's gamma: small, so that deep sums stay small
    elif len(shape) == 1:
        values = 0.1 * random.standard_normal(shape)
    else:
        values = math.sqrt(2 / math.prod(shape[1:])) * random.standard_normal(shape)
    return values.astype("float32")


def make_layer(name: str, shapes: list[tuple[int, ...]]) -> list[np.ndarray]:
    """The weights of a layer of Keras, in its order: a kernel, or all of a batch norm."""
    variables = ("weight", "bias", "running_mean", "running_var")
    return [make(f"{name}.{variable}", shape) for variable, shape in zip(variables, shapes, strict=False)]


def images(height: int, width: int) -> np.ndarray:
    """Two random images of any size, (2, height, width, 3)."""
    return (
        np.random.RandomState(height * 1000 + width).standard_normal((2, height, width, 3)).astype("float32")
    )
