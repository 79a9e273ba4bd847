"""Normalization of plain pixels for public weights, and ImageNet's class names for predictions."""

import functools
import json
from typing import Any

import keras
import numpy as np

from keras_resnet.errors import UserError
from keras_resnet.weights.normalization import NORMALIZATIONS, Normalization
from keras_resnet.weights.registry import CLASS_INDEX, CLASSES


@keras.saving.register_keras_serializable("keras_resnet")
class Preprocessing(keras.layers.Layer):
    """Normalizes plain pixels, 0..255 in RGB, for public weights.

    As a layer it can be part of the model, so that callers cannot preprocess wrongly.

    Shapes: (N, H, W, C) -> the same. For other numbers of channels than three, each channel gets the average
    of the three means, and of the three standard deviations.

    Args:
        normalization: what to compute; "torch" and "caffe" name those of the public weights.
        data_format: "channels_last" or "channels_first"; by default Keras' global data format.

    Raises:
        UserError: there is no normalization of this name.
    """

    def __init__(self, normalization: Normalization | str, data_format: str | None = None, **kwargs: Any):
        super().__init__(**kwargs)
        if isinstance(normalization, str):
            if normalization not in NORMALIZATIONS:
                raise UserError(
                    f"must be one of {', '.join(NORMALIZATIONS)}, or a Normalization.",
                    parameter="normalization",
                    value=normalization,
                )
            normalization = NORMALIZATIONS[normalization]
        self.normalization = normalization
        self.data_format = data_format or keras.config.image_data_format()

    def call(self, x):
        first = self.data_format == "channels_first"
        x = keras.ops.cast(x, "float32")
        channels = x.shape[1 if first else -1]
        mean, std = np.array(self.normalization.mean), np.array(self.normalization.std)
        if channels != 3:
            mean, std = (np.full(channels, colors.mean()) for colors in (mean, std))
        elif self.normalization.bgr:
            x = keras.ops.flip(x, 1 if first else -1)
            mean, std = mean[::-1], std[::-1]
        shape = (-1, 1, 1) if first else (-1,)
        mean, std = (colors.reshape(shape).astype("float32") for colors in (mean, std))
        return keras.ops.cast((x - mean) / std, self.compute_dtype)

    def compute_output_shape(self, input_shape):
        return input_shape

    def get_config(self):
        normalization = {
            "mean": list(self.normalization.mean),
            "std": list(self.normalization.std),
            "bgr": self.normalization.bgr,
        }
        return {**super().get_config(), "normalization": normalization, "data_format": self.data_format}

    @classmethod
    def from_config(cls, config):
        saved = config["normalization"]
        normalization = Normalization(tuple(saved["mean"]), tuple(saved["std"]), saved["bgr"])
        return cls(**{**config, "normalization": normalization})


def preprocess_input(x: object, data_format: str | None = None) -> object:
    """Normalizes plain pixels as keras.applications' ResNets need them: BGR, minus ImageNet's mean.

    For `weights="keras-imagenet"`. The layer `Preprocessing` does this, and what other weights need.

    Shapes: (..., H, W, 3) or (..., 3, H, W) -> the same, in floating point.

    Args:
        x: array or tensor, 0..255 in RGB; a NumPy array of floats is changed in place, as by
            keras.applications.
        data_format: "channels_last" or "channels_first"; by default Keras' global data format.

    Raises:
        ValueError: the data format is neither.
    """
    return keras.applications.resnet.preprocess_input(x, data_format)


def decode_predictions(preds: np.ndarray, top: int = 5) -> list[list[tuple[str, str, float]]]:
    """Returns the likeliest ImageNet classes of each image, best first: (WordNet identifier, name, score).

    The names are downloaded once, from and to the same place as keras.applications does it.

    Args:
        preds: scores, (N, 1000).
        top: number of classes per image.

    Raises:
        UserError: `preds` has another shape, or the names cannot be downloaded.
    """
    preds = np.asarray(preds)
    if preds.ndim != 2 or preds.shape[1] != CLASSES:
        raise UserError(
            "`decode_predictions` expects a batch of predictions (i.e. a 2D array of shape (samples, 1000)); "
            f"found array with shape: {preds.shape}.",
            parameter="preds",
        )
    names = class_index()
    # Ascending, then reversed: unsigned scores cannot be negated.
    best = np.argsort(preds, axis=1, kind="stable")[:, ::-1][:, :top]
    return [
        [(*names[str(index)], row[index]) for index in order] for row, order in zip(preds, best, strict=True)
    ]


@functools.cache
def class_index() -> dict[str, list[str]]:
    """Returns the WordNet identifier and the name of each ImageNet class, by its index as a string.

    Raises:
        UserError: the file is not cached and cannot be downloaded.
    """
    return json.loads(CLASS_INDEX.fetch("The names of ImageNet's classes").read_text(encoding="utf-8"))
