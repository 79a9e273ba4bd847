"""The net that is trained and shipped: plain pixels in, class probabilities out."""

import keras
import numpy as np

from keras_resnet.errors import UserError
from keras_resnet.models.architectures import Architecture
from keras_resnet.models.layers import MeanSubtraction
from keras_resnet.models.preprocessing import Preprocessing
from keras_resnet.models.resnet import ResNet
from keras_resnet.weights.layouts import MEAN_LAYER
from keras_resnet.weights.pixels import Pixels


def check_data_format() -> None:
    """Refuse nets with their channels first, for the images here have them last.

    Raises:
        UserError: Keras is configured so.
    """
    if keras.config.image_data_format() != "channels_last":
        raise UserError(
            'Keras is configured for "image_data_format": "channels_first", and the images of this package '
            'have their channels last; write "channels_last" into keras.json.'
        )


def build_classifier(
    architecture: Architecture,
    size: int,
    channels: int,
    classes: int,
    normalisation: np.ndarray | Pixels,
    policy: str | None = None,
) -> keras.Model:
    """The architecture behind what is done with plain pixels.

    Shapes: (N, size, size, channels) uint8 -> (N, classes).

    Args:
        normalisation: the mean of the training images to subtract, (H, W, channels) or (channels,); or what
            public weights want.
        policy: Keras' dtype policy, as "mixed_bfloat16"; by default the one that holds.

    Raises:
        UserError: Keras is configured for channels first.
    """
    check_data_format()
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(policy or before)
    try:
        image = keras.Input((size, size, channels), dtype="uint8", name="image")
        if isinstance(normalisation, Pixels):
            normalised = Preprocessing(normalisation, name="preprocessing")(image)
        else:
            subtraction = MeanSubtraction(normalisation.shape, name=MEAN_LAYER)
            normalised = subtraction(image)
            subtraction.mean.assign(normalisation)
        return ResNet(architecture, input_tensor=normalised, classes=classes)
    finally:
        keras.config.set_dtype_policy(before)
