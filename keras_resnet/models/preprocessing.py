"""From plain pixels to what a net with public weights sees, and from its answers to names."""

import functools
import json
from typing import Any

import keras
import numpy as np

from keras_resnet.weights.pixels import PIXELS, Pixels
from keras_resnet.weights.registry import CLASS_INDEX, CLASSES


@keras.saving.register_keras_serializable("keras_resnet")
class Preprocessing(keras.layers.Layer):
    """Plain pixels, 0..255 in RGB, as a net with public weights sees them.

    A layer, so that it can stand inside the net and whoever holds the net cannot preprocess wrongly.

    Shapes: (N, H, W, C) -> the same. Of other numbers of channels than three, each has the mean of the three
    means, and of the three deviations.

    Args:
        pixels: what to do; "torch" or "caffe" name the two that public weights have.

    Raises:
        ValueError: another name.
    """

    def __init__(self, pixels: Pixels | str, data_format: str | None = None, **kwargs: Any):
        super().__init__(**kwargs)
        if isinstance(pixels, str) and pixels not in PIXELS:
            raise ValueError(f"pixels must be one of {', '.join(PIXELS)}, or a Pixels; got {pixels!r}.")
        self.pixels = PIXELS[pixels] if isinstance(pixels, str) else pixels
        self.data_format = data_format or keras.config.image_data_format()

    def call(self, x):
        first = self.data_format == "channels_first"
        x = keras.ops.cast(x, "float32")
        channels = x.shape[1 if first else -1]
        mean, deviation = np.array(self.pixels.mean), np.array(self.pixels.deviation)
        if channels != 3:
            mean, deviation = (np.full(channels, colours.mean()) for colours in (mean, deviation))
        elif self.pixels.reverse:
            x = keras.ops.flip(x, 1 if first else -1)
            mean, deviation = mean[::-1], deviation[::-1]
        shape = (-1, 1, 1) if first else (-1,)
        mean, deviation = (colours.reshape(shape).astype("float32") for colours in (mean, deviation))
        return keras.ops.cast((x - mean) / deviation, self.compute_dtype)

    def compute_output_shape(self, input_shape):
        return input_shape

    def get_config(self):
        pixels = {
            "mean": list(self.pixels.mean),
            "deviation": list(self.pixels.deviation),
            "reverse": self.pixels.reverse,
        }
        return {**super().get_config(), "pixels": pixels, "data_format": self.data_format}

    @classmethod
    def from_config(cls, config):
        pixels = config["pixels"]
        given = Pixels(tuple(pixels["mean"]), tuple(pixels["deviation"]), pixels["reverse"])
        return cls(**{**config, "pixels": given})


def preprocess_input(x: object, data_format: str | None = None) -> object:
    """Plain pixels as keras.applications' ResNets see them: BGR, less the mean of ImageNet's.

    For `weights="keras-imagenet"`; `Preprocessing` does this and what other weights need, as a layer.

    Shapes: (..., H, W, 3) or (..., 3, H, W) -> the same, in floating point.

    Args:
        x: array or tensor, 0..255 in RGB; a NumPy array of floats is changed in place, as keras.applications
            does.
        data_format: "channels_last" or "channels_first"; by default as Keras is configured.

    Raises:
        ValueError: another data format.
    """
    return keras.applications.resnet.preprocess_input(x, data_format)


def decode_predictions(preds: np.ndarray, top: int = 5) -> list[list[tuple[str, str, float]]]:
    """The likeliest classes of ImageNet: (WordNet number, name, score) of each, best first, for each image.

    The names are downloaded once, as those of keras.applications, to the same place.

    Args:
        preds: (N, 1000).
        top: how many.

    Raises:
        ValueError: `preds` has another shape, or the names cannot be downloaded.
    """
    preds = np.asarray(preds)
    if preds.ndim != 2 or preds.shape[1] != CLASSES:
        raise ValueError(
            "`decode_predictions` expects a batch of predictions (i.e. a 2D array of shape (samples, 1000)); "
            f"found array with shape: {preds.shape}."
        )
    names = class_index()
    # Sorted upwards: scores that have no sign cannot be negated.
    best = np.argsort(preds, axis=1, kind="stable")[:, ::-1][:, :top]
    return [
        [(*names[str(index)], row[index]) for index in order] for row, order in zip(preds, best, strict=True)
    ]


@functools.cache
def class_index() -> dict[str, list[str]]:
    """WordNet number and name of each class of ImageNet, by its number as text.

    Raises:
        UserError: the file cannot be downloaded, and is not there.
    """
    return json.loads(CLASS_INDEX.fetch("The names of ImageNet's classes").read_text(encoding="utf-8"))
