"""Reads `.tflite` files, without importing TensorFlow."""

import dataclasses
import os
import pathlib
import zipfile

import numpy as np

from keras_resnet.data.input_spec import InputSpec
from keras_resnet.inference.labels import LABELS, read_labels
from keras_resnet.inference.reading import ModelFile, check_class_names, foreign_file, unreadable_file
from keras_resnet.inference.sidecars import PREPROCESSING, read_preprocessing
from keras_resnet.inference.thresholds import THRESHOLDS, read_thresholds


def open_tflite(path: pathlib.Path) -> ModelFile:
    """Opens a `.tflite` file that `export_tflite` wrote.

    Its `spec.channels` is that of the file, 3, also where the model inside takes gray images.

    Raises:
        UserError: the file cannot be opened, or this package did not write it.
    """
    from ai_edge_litert.interpreter import Interpreter

    try:
        interpreter = Interpreter(os.fspath(path), num_threads=os.cpu_count())
        run = interpreter.get_signature_runner()
    except (ValueError, RuntimeError) as error:
        raise unreadable_file(path, "TFLite file", error, "export it again") from error
    try:
        spec, names, thresholds = _read_archive(path)
        batch, height, width, channels = map(int, run.get_input_details()["image"]["shape"])
        details = run.get_output_details()["probabilities"]
        classes = int(details["shape"][-1])
        if not height == width == spec.size:
            raise ValueError(f"{PREPROCESSING} is for images of {spec.size}, the model for {height}x{width}")
        spec = dataclasses.replace(spec, channels=channels)
        limits = None if thresholds is None else read_thresholds(thresholds, classes)
    except Exception as error:
        # Whatever reading a damaged archive raises.
        raise foreign_file(path) from error
    check_class_names(path, names, classes)
    scale, zero = details["quantization"]

    def invoke(pixels: np.ndarray) -> np.ndarray:
        output = run(image=pixels)["probabilities"]
        return output if output.dtype == np.float32 else (output.astype("float32") - zero) * np.float32(scale)

    def predict(images: np.ndarray) -> np.ndarray:
        if images.dtype != np.uint8:
            images = np.clip(np.rint(images), 0, 255).astype("uint8")
        images = np.broadcast_to(images, (*images.shape[:3], channels))
        # The batch size of a file is fixed; a last batch that is not full is filled with copies of its end.
        parts = []
        for start in range(0, len(images), batch):
            part = images[start : start + batch]
            filled = np.concatenate([part, np.repeat(part[-1:], batch - len(part), axis=0)])
            parts.append(invoke(np.ascontiguousarray(filled))[: len(part)])
        return np.concatenate(parts)

    return ModelFile(spec, names, predict, thresholds=limits)


def _read_archive(path: pathlib.Path) -> tuple[InputSpec, tuple[str, ...], bytes | None]:
    """Returns what the file holds besides the model: the input, the class names, and thresholds as text."""
    with zipfile.ZipFile(path) as archive:
        spec = read_preprocessing(archive.read(PREPROCESSING))
        thresholds = archive.read(THRESHOLDS) if THRESHOLDS in archive.namelist() else None
        return spec, read_labels(archive.read(LABELS).decode()), thresholds
