"""Builds the model that is trained and exported: plain pixels in, class probabilities out."""

import keras
import numpy as np

from keras_resnet.errors import UserError
from keras_resnet.models.architectures import Architecture
from keras_resnet.models.layers import MeanSubtraction
from keras_resnet.models.preprocessing import Preprocessing
from keras_resnet.models.resnet import ResNet
from keras_resnet.weights.names import MEAN_LAYER, PREPROCESSING_LAYER
from keras_resnet.weights.normalization import Normalization


def check_data_format() -> None:
    """Checks that Keras' global data format has the channels last, as the images of this package have.

    Raises:
        UserError: it has them first.
    """
    data_format = keras.config.image_data_format()
    if data_format != "channels_last":
        raise UserError(
            'the images of this package have their channels last; set "image_data_format": "channels_last" '
            "in keras.json.",
            parameter="image_data_format",
            value=data_format,
        )


def build_classifier(
    architecture: Architecture,
    input_shape: tuple[int | None, int | None, int],
    classes: int,
    normalization: np.ndarray | Normalization,
    policy: str | None = None,
    drop_path: float = 0.0,
    multi_label: bool = False,
) -> keras.Model:
    """Builds a model that normalizes plain pixels and classifies them.

    Shapes: (N, H, W, C) uint8 -> (N, classes).

    Args:
        input_shape: (H, W, C) of the images, with None for sides that vary.
        classes: number of classes.
        normalization: the mean of the training images to subtract, (H, W, C) or (C,), or that of public
            weights.
        policy: Keras dtype policy, such as "mixed_bfloat16"; by default the global one.
        drop_path: stochastic depth, as for `ResNet`.
        multi_label: whether an image may have several of the classes, or none: a sigmoid for each of them in
            place of a softmax.

    Raises:
        UserError: Keras' global data format has the channels first; and as for `ResNet`.
    """
    check_data_format()
    global_policy = keras.config.dtype_policy()
    keras.config.set_dtype_policy(policy or global_policy)
    try:
        image = keras.Input(input_shape, dtype="uint8", name="image")
        if isinstance(normalization, Normalization):
            normalized = Preprocessing(normalization, name=PREPROCESSING_LAYER)(image)
        else:
            subtraction = MeanSubtraction(normalization.shape, name=MEAN_LAYER)
            normalized = subtraction(image)
            subtraction.mean.assign(normalization)
        return ResNet(
            architecture,
            input_tensor=normalized,
            classes=classes,
            classifier_activation="sigmoid" if multi_label else "softmax",
            drop_path=drop_path,
        )
    finally:
        keras.config.set_dtype_policy(global_policy)
