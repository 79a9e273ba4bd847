"""The net that is trained and shipped: plain pixels in, class probabilities out."""

import keras
import numpy as np

from keras_resnet.models.architectures import Architecture
from keras_resnet.models.layers import MeanSubtraction
from keras_resnet.models.resnet import ResNet


def build_classifier(
    architecture: Architecture,
    size: int,
    channels: int,
    classes: int,
    mean: np.ndarray,
    policy: str | None = None,
) -> keras.Model:
    """The architecture behind a subtraction of the mean.

    Shapes: (N, size, size, channels) uint8 -> (N, classes).

    Args:
        mean: of the training images, (size, size, channels) or (channels,).
        policy: Keras' dtype policy, as "mixed_bfloat16"; by default the one that holds.
    """
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(policy or before)
    try:
        image = keras.Input((size, size, channels), dtype="uint8", name="image")
        subtraction = MeanSubtraction(mean.shape, name="mean_subtraction")
        normalised = subtraction(image)
        subtraction.mean.assign(mean)
        return ResNet(architecture, input_tensor=normalised, classes=classes)
    finally:
        keras.config.set_dtype_policy(before)
