"""Reads SavedModel folders."""

import os
import pathlib

import numpy as np

from keras_resnet.inference.labels import LABELS, read_labels
from keras_resnet.inference.reading import ModelFile, check_class_names, foreign_file
from keras_resnet.inference.sidecars import PREPROCESSING, read_preprocessing
from keras_resnet.inference.thresholds import THRESHOLDS, read_thresholds


def open_saved_model(path: pathlib.Path) -> ModelFile:
    """Opens a SavedModel folder that `export_saved_model` wrote.

    Raises:
        UserError: it cannot be opened, or this package did not write it.
    """
    import tensorflow as tf

    extra = path / "assets.extra"
    try:
        spec = read_preprocessing((extra / PREPROCESSING).read_bytes())
        names = read_labels((extra / LABELS).read_text(encoding="utf-8"))
        loaded = tf.saved_model.load(os.fspath(path))
        signature = loaded.signatures["serving_default"]
        channels = signature.structured_input_signature[1]["images"].shape[-1]
        if channels != spec.channels:
            raise ValueError(f"{PREPROCESSING} is for {spec.channels} channel(s), the model for {channels}")
        classes = signature.structured_outputs["probabilities"].shape[-1]
        file = extra / THRESHOLDS
        thresholds = read_thresholds(file.read_bytes(), classes) if file.is_file() else None
    except Exception as error:
        # Whatever TensorFlow raises for a damaged or foreign file.
        raise foreign_file(path) from error
    check_class_names(path, names, classes)

    def predict(images: np.ndarray) -> np.ndarray:
        return loaded.serve(images)["probabilities"].numpy()

    return ModelFile(spec, names, predict, thresholds=thresholds)
