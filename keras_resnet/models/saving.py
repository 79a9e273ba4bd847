"""Loads saved models with the layers of this package."""

import os

import keras

# Registers the layers that a saved model may name.
import keras_resnet.models.layers
import keras_resnet.models.preprocessing  # noqa: F401
from keras_resnet._utils.recursion import raised_recursion_limit


def load_model(path: str | os.PathLike) -> keras.Model:
    """Loads a model from a `.keras` file, for inference or further training.

    Does the same as `keras.saving.load_model`, after this package's layers have been registered with Keras.

    Raises:
        ValueError: there is no such file, or it is not a Keras model.
    """
    with raised_recursion_limit():
        return keras.saving.load_model(path)
