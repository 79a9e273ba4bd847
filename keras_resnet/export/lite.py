"""TFLite files, for phones: builtin operations alone, RGB pixels in, probabilities out."""

import os
import pathlib
import tempfile
import warnings
from collections.abc import Iterable, Iterator, Sequence

import keras
import numpy as np
import tensorflow as tf

from keras_resnet.evaluation.classifier import Classifier
from keras_resnet.export.exports import TFLITE_KINDS
from keras_resnet.export.metadata import archive, metadata
from keras_resnet.export.pack import packed
from keras_resnet.files import atomic
from keras_resnet.models.deep import room_to_recurse
from keras_resnet.models.surgery import inference_copy

# What decoders make of red, green and blue (ITU-R BT.601); of a grey image its own grey.
_LUMA = (0.299, 0.587, 0.114)


def tflite(
    model: keras.Model,
    path: str | os.PathLike,
    *,
    kind: str = "float32",
    class_names: Sequence[str] = (),
    whole: bool = True,
    calibration: Iterable[np.ndarray] | None = None,
    batch_size: int = 1,
) -> None:
    """Write a classifier as a TFLite file, with BN folded into the convolutions.

    The file has one signature: `image`, (batch_size, H, W, 3) uint8, plain RGB pixels, to `probabilities`,
    (batch_size, classes). A net of one channel sees their grey. Its metadata hold class names and the range
    of pixels, as the libraries on phones read them.

    Args:
        model: takes plain pixels 0..255 of 1 or 3 channels and one size.
        kind: "float32"; "float16": half the size, weights as float16; "dynamic": a quarter of it, weights as
            int8; "int8": a quarter, everything as integers, probabilities in steps of 1/256.
        class_names: in the order of the outputs; by default "0", "1", ...
        whole: whether the net was trained on whole images or on their centres (256/224 of its input).
        calibration: for int8: training images as the net sees them, (N, H, W, C) uint8 each; some hundred in
            all are enough.
        batch_size: images at a time, which is fixed: delegates refuse a file that leaves it open.

    Raises:
        ValueError: an argument is not one of these; or the converter fails, with what it says.
    """
    if kind not in TFLITE_KINDS:
        raise ValueError(f"kind must be one of {', '.join(TFLITE_KINDS)}; got {kind!r}.")
    if (calibration is None) == (kind == "int8"):
        raise ValueError("calibration must be given for int8, whose ranges it shows, and for nothing else.")
    if batch_size < 1:
        raise ValueError(f"batch_size must be at least 1; got {batch_size}.")
    classifier = Classifier(model, tuple(class_names), whole)
    size, net = classifier.size, inference_copy(model)
    # A net of integers is given its pixels as floats: the converter turns them into the integers they are.
    given = tf.TensorSpec((batch_size, size, size, 3), tf.float32 if kind == "int8" else tf.uint8, "image")

    def probabilities(image):
        pixels = tf.cast(image, tf.float32)
        if classifier.channels == 1:
            pixels = tf.nn.conv2d(pixels, tf.reshape(tf.constant(_LUMA), (1, 1, 3, 1)), 1, "VALID")
        return {"probabilities": net(pixels, training=False)}

    module = tf.Module()
    module.weights = [weight.value for weight in net.weights]
    module.probabilities = tf.function(probabilities)
    with tempfile.TemporaryDirectory() as folder:
        # By way of a SavedModel: the converter's own way from a Keras model hides what went wrong.
        with room_to_recurse():
            signature = module.probabilities.get_concrete_function(given)
            tf.saved_model.save(module, folder, signatures=signature)
        converter = tf.lite.TFLiteConverter.from_saved_model(folder)
        if kind != "float32":
            converter.optimizations = [tf.lite.Optimize.DEFAULT]
        if kind == "float16":
            converter.target_spec.supported_types = [tf.float16]
        if kind == "int8":
            converter.representative_dataset = lambda: _calibrating(calibration or (), batch_size)
            converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
            converter.inference_input_type = converter.inference_output_type = tf.uint8
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", UserWarning)  # of TensorFlow's own parts, to TensorFlow
                converted = converter.convert()
        except Exception as error:
            # Whatever the converter's passes raise; the sentence that helps is in there.
            raise ValueError(f"{model.name} could not be converted to TFLite ({kind}): {error}") from error
    content = packed(converted, metadata(name=model.name, size=size)) + archive(classifier)
    with atomic(path) as written:
        pathlib.Path(written).write_bytes(content)


def _calibrating(batches: Iterable[np.ndarray], batch_size: int) -> Iterator[dict[str, np.ndarray]]:
    """Batches of RGB pixels as floats, the first of them with the darkest and the brightest pixel there is.

    The scale of the input then is 1, and a pixel is its own integer.
    """
    waiting, given = None, 0
    for images in batches:
        images = np.broadcast_to(images, (*images.shape[:3], 3)).astype("float32")
        if waiting is None:
            images[0, 0, 0], images[0, -1, -1] = 0, 255
            waiting = images[:0]
        waiting = np.concatenate([waiting, images])
        while len(waiting) >= batch_size:
            yield {"image": waiting[:batch_size]}
            waiting, given = waiting[batch_size:], given + batch_size
    if not given:
        raise ValueError(f"calibration must give at least one batch of {batch_size} images.")
