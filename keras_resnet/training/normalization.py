"""The pixels that a model's normalization turns into zero. Imports no Keras."""

import numpy as np

from keras_resnet.weights.normalization import Normalization


def padding_pixels(normalization: np.ndarray | Normalization, size: int, channels: int) -> np.ndarray:
    """Returns the pixels that are normalized to zero, or nearly so: (size, size, channels) or (channels,)."""
    if isinstance(normalization, Normalization):
        mean = np.array(normalization.mean, "float32")
        return mean if channels == len(mean) else np.full(channels, mean.mean())
    if normalization.ndim == 3 and normalization.shape[0] != size:
        return normalization.mean(axis=(0, 1))
    return normalization
