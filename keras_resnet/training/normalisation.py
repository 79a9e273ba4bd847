"""What is done with plain pixels in front of a net that is trained. Imports no Keras."""

import numpy as np

from keras_resnet.errors import UserError
from keras_resnet.weights.layouts import MEAN_LAYER, Named
from keras_resnet.weights.pixels import Pixels

# Pixels of the largest mean image's side.
_LARGEST_SIDE = 4096


def normalisation_of(named: Named, channels: int, name: str) -> np.ndarray | Pixels | None:
    """What weights want to be done with plain pixels, or None where they do not tell.

    Args:
        named: of a net trained here, its mean image; of others, as those who publish them say.
        channels: of the images that are to be seen; a mean of another number of channels becomes a grey one.
        name: of the file, for messages.

    Raises:
        UserError: the mean is no image.
    """
    stored = named.arrays.get(f"{MEAN_LAYER}/mean")
    if stored is None:
        return named.layout.pixels
    *sides, last = stored.shape or (0,)
    if len(sides) not in (0, 2) or max(sides, default=1) > _LARGEST_SIDE or last not in (1, 3):
        raise UserError(f"The mean image in {name} has an odd shape, {stored.shape}; use another file.")
    mean = np.asarray(stored.read(), "float32")
    if mean.shape[-1] != channels:
        mean = np.repeat(mean.mean(axis=-1, keepdims=True), channels, axis=-1)
    return mean


def padding(normalisation: np.ndarray | Pixels, size: int, channels: int) -> np.ndarray:
    """The plain pixels that become zero, or near to it: (size, size, channels) or (channels,)."""
    if isinstance(normalisation, Pixels):
        mean = np.array(normalisation.mean, "float32")
        return mean if channels == len(mean) else np.full(channels, mean.mean())
    if normalisation.ndim == 3 and normalisation.shape[0] != size:
        return normalisation.mean(axis=(0, 1))
    return normalisation
