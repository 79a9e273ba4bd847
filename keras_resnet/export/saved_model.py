"""A SavedModel, for servers: loads with TensorFlow alone."""

import os

import keras

from keras_resnet.files import atomic


def export_saved_model(model: keras.Model, path: str | os.PathLike) -> None:
    """Write the model for inference as a SavedModel folder with the endpoint `serve`, for any batch size."""
    with atomic(path) as written:
        model.export(written, format="tf_saved_model", verbose=False)
