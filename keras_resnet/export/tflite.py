"""A TFLite file, for phones: builtin operations only, one image at a time."""

import os
import pathlib
import tempfile

import keras
import tensorflow as tf

from keras_resnet.files import atomic


def export_tflite(model: keras.Model, path: str | os.PathLike) -> None:
    """Write the model for inference as a float32 TFLite file with a fixed batch of 1.

    A dynamic batch would keep the GPU and NPU delegates of phones from taking the net.

    Raises:
        ValueError: the model has inputs of no fixed size.
    """
    shape = model.inputs[0].shape[1:]
    if None in shape:
        raise ValueError(f"{model.name} takes images of any size {shape}; TFLite needs a fixed one.")
    signature = tf.TensorSpec((1, *shape), model.inputs[0].dtype, name=model.inputs[0].name)
    with tempfile.TemporaryDirectory() as folder:
        # By way of a SavedModel: the converter's own way from a Keras model hides what went wrong.
        archive = keras.export.ExportArchive()
        archive.track(model)
        archive.add_endpoint("serve", lambda images: model(images, training=False), [signature])
        archive.write_out(folder, verbose=False)
        converted = tf.lite.TFLiteConverter.from_saved_model(folder).convert()
    with atomic(path) as written:
        pathlib.Path(written).write_bytes(converted)
