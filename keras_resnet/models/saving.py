"""Loading a saved model with the layers of this package."""

import os

import keras

# Registers the layers that a saved model may name.
import keras_resnet.models.layers
import keras_resnet.models.preprocessing  # noqa: F401
from keras_resnet.models.deep import room_to_recurse


def load_model(path: str | os.PathLike) -> keras.Model:
    """A model from a `.keras` file, for inference or to train on.

    The same as `keras.saving.load_model`, once the layers of this package are known to Keras.

    Raises:
        ValueError: there is no such file, or it is no Keras model.
    """
    with room_to_recurse():
        return keras.saving.load_model(path)
