"""Loading a saved model with the layers of this package."""

import os

import keras

# Registers the layers that a saved model may name.
import keras_resnet.models.layers  # noqa: F401


def load_model(path: str | os.PathLike) -> keras.Model:
    """A model from a `.keras` file, for inference or to train on.

    The same as `keras.saving.load_model`, once the layers of this package are known to Keras.

    Raises:
        ValueError: there is no such file, or it is no Keras model.
    """
    return keras.saving.load_model(path)
