"""Writes TFLite files, for phones: builtin operations only, from RGB pixels to probabilities."""

import dataclasses
import os
import pathlib
import re
import tempfile
import warnings
from collections.abc import Iterable, Iterator, Sequence

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import ArrayLike

from keras_resnet._utils.atomic import atomic_write
from keras_resnet._utils.recursion import raised_recursion_limit
from keras_resnet.data.input_spec import InputSpec
from keras_resnet.errors import UserError, first_line
from keras_resnet.export.calibration import calibration_batches
from keras_resnet.export.config import TFLITE_KINDS
from keras_resnet.export.metadata import archive, metadata
from keras_resnet.export.pack import pack
from keras_resnet.export.resources import resources
from keras_resnet.inference.spec import Classifier
from keras_resnet.models.layer_copy import sublayers
from keras_resnet.models.surgery import inference_copy

# Weights of red, green and blue in gray, as decoders have them (ITU-R BT.601); a gray image stays as it is.
_LUMA = (0.299, 0.587, 0.114)

# How the converter names an operation at fault.
_OPERATION = re.compile(r"'(tf\.\w+)' op")
_MAX_OPERATIONS = 5


def export_tflite(
    model: keras.Model,
    path: str | os.PathLike,
    *,
    kind: str = "float32",
    class_names: Sequence[str] = (),
    spec: InputSpec | None = None,
    calibration: "ArrayLike | Iterable[ArrayLike] | None" = None,
    batch_size: int = 1,
    thresholds: Sequence[float] = (),
) -> None:
    """Writes a classifier as a TFLite file, with batch normalization folded into the convolutions.

    The file has one signature, from `image`, (batch_size, H, W, 3) uint8, plain RGB pixels, to
    `probabilities`, (batch_size, classes). A model of one channel gets their gray. The file's metadata hold
    class names and the range of pixels, as the libraries on phones read them.

    Args:
        model: takes plain pixels, 0..255, of 1 or 3 channels and one size.
        kind: "float32"; "float16": half the size, with weights as float16; "dynamic": a quarter of the size,
            with weights as int8; "int8": a quarter of the size, with everything as integers and probabilities
            in steps of 1/256.
        class_names: in the order of the outputs; by default "0", "1", ...
        spec: how its images are prepared; by default as of `Classifier`.
        calibration: for int8, training images as the model takes them, plain pixels: an array (N, H, W, C),
            batches of them, or single images. Some hundred images are enough.
        thresholds: of a model of several labels an image, as of `Classifier`; they are in the file's
            `thresholds.json`, and the lowest is the score threshold of its metadata.
        batch_size: images of one call. It is fixed, since delegates refuse a file that leaves it open.

    Raises:
        UserError: an argument has no such value, or the converter fails; with the converter's message.
    """
    if kind not in TFLITE_KINDS:
        raise UserError(f"must be one of {', '.join(TFLITE_KINDS)}.", parameter="kind", value=kind)
    if calibration is None and kind == "int8":
        raise UserError("kind=int8 needs images to find the ranges of its integers.", parameter="calibration")
    if calibration is not None and kind != "int8":
        raise UserError("is for kind=int8 only.", parameter="calibration")
    if batch_size < 1:
        raise UserError("must be at least 1.", parameter="batch_size", value=batch_size)
    classifier = Classifier(model, class_names, spec, thresholds)
    size, folded = classifier.spec.size, inference_copy(classifier.model)
    # The converter turns the float input of an int8 model into the integers that pixels are.
    dtype = tf.float32 if kind == "int8" else tf.uint8
    image_spec = tf.TensorSpec((batch_size, size, size, 3), dtype, "image")

    def probabilities(image):
        pixels = tf.cast(image, tf.float32)
        if classifier.spec.channels == 1:
            pixels = tf.nn.conv2d(pixels, tf.reshape(tf.constant(_LUMA), (1, 1, 3, 1)), 1, "VALID")
        return {"probabilities": folded(pixels, training=False)}

    module = tf.Module()
    module.probabilities = tf.function(probabilities)
    with tempfile.TemporaryDirectory() as folder:
        # Through a SavedModel, since the converter's own way from a Keras model hides its errors.
        with raised_recursion_limit():
            signature = module.probabilities.get_concrete_function(image_spec)
            module.resources = resources(folded, signature)
            tf.saved_model.save(module, folder, signatures=signature)
        converter = tf.lite.TFLiteConverter.from_saved_model(folder)
        if kind != "float32":
            converter.optimizations = [tf.lite.Optimize.DEFAULT]
        if kind == "float16":
            converter.target_spec.supported_types = [tf.float16]
        if kind == "int8":
            # All read before the converter runs, which would take a mistake in them for one of its own.
            batches = list(calibration_batches(calibration, classifier.spec))
            converter.representative_dataset = lambda: _representative_batches(batches, batch_size)
            converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
            converter.inference_input_type = converter.inference_output_type = tf.uint8
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", UserWarning)  # from one part of TensorFlow to another
                converted = converter.convert()
        except Exception as error:
            if isinstance(error, UserError):
                raise
            # Whatever the passes of the converter raise.
            raise UserError(
                f"could not be converted to TFLite ({kind}): {_converter_message(error, folded)}.",
                parameter="model",
                value=model.name,
            ) from error
    rgb = dataclasses.replace(classifier.spec, channels=3)  # what the file takes
    limits = classifier.thresholds
    described = metadata(name=model.name, size=size, min_score=None if limits is None else min(limits))
    content = pack(converted, described) + archive(classifier.class_names, rgb, limits)
    with atomic_write(path) as written:
        pathlib.Path(written).write_bytes(content)


def _converter_message(error: Exception, model: keras.Model) -> str:
    """Returns what the converter's message, of a line for each operation, says in a sentence."""
    quantized = [layer for layer in sublayers(model) if layer.quantization_mode]
    if quantized:
        return (
            f"its layer {quantized[0].name} is quantized for Keras ({quantized[0].quantization_mode}); "
            "export the model as it was before model.quantize, with kind=int8 for a small file"
        )
    operations = dict.fromkeys(_OPERATION.findall(str(error)))
    if operations:
        return f"it has no operations like {', '.join(list(operations)[:_MAX_OPERATIONS])}"
    return first_line(error)


def _representative_batches(
    batches: Iterable[np.ndarray], batch_size: int
) -> Iterator[dict[str, np.ndarray]]:
    """Yields batches of RGB pixels as floats, the first of them with the darkest and the brightest pixel.

    With these the scale of the input is 1, and each pixel is its own integer.
    """
    waiting, count = None, 0
    for images in batches:
        images = np.broadcast_to(images, (*images.shape[:3], 3)).astype("float32")
        if waiting is None:
            images[0, 0, 0], images[0, -1, -1] = 0, 255
            waiting = images[:0]
        waiting = np.concatenate([waiting, images])
        while len(waiting) >= batch_size:
            yield {"image": waiting[:batch_size]}
            waiting, count = waiting[batch_size:], count + batch_size
    if not count:
        raise UserError(f"must hold at least batch_size={batch_size} images.", parameter="calibration")
