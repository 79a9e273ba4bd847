"""Normalization of plain pixels for public weights, and ImageNet's class names for predictions."""

import functools
import json
from typing import Any

import keras
import numpy as np

from keras_resnet.errors import UserError
from keras_resnet.weights.normalization import NORMALIZATIONS, Normalization
from keras_resnet.weights.registry import CLASS_INDEX, CLASSES

_CHANNEL_AXES = {"channels_last": -1, "channels_first": -3}


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
        UserError: there is no normalization or data format of this name.
    """

    def __init__(self, normalization: Normalization | str, data_format: str | None = None, **kwargs: Any):
        # Keras would round the pixels to a half type before the mean is subtracted, bfloat16 to integers.
        super().__init__(autocast=False, **kwargs)
        if isinstance(normalization, str):
            if normalization not in NORMALIZATIONS:
                raise UserError(
                    f"must be one of {', '.join(NORMALIZATIONS)}, or a Normalization.",
                    parameter="normalization",
                    value=normalization,
                )
            normalization = NORMALIZATIONS[normalization]
        self.normalization = normalization
        self.data_format = _data_format(data_format)

    def call(self, x):
        axis = _CHANNEL_AXES[self.data_format]
        return keras.ops.cast(_normalize(x, self.normalization, axis, "float32"), self.compute_dtype)

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


def preprocess_input(x: Any, data_format: str | None = None) -> Any:
    """Normalizes plain pixels as keras.applications' ResNets need them: BGR, minus ImageNet's mean.

    For `weights="keras-imagenet"`. The layer `Preprocessing` does this, and what other weights need.

    Shapes: (..., H, W, 3) or (..., 3, H, W) -> the same, in floating point: integers become Keras' default
    float type, floats keep theirs.

    Args:
        x: array or tensor, 0..255 in RGB; a NumPy array of floats is changed in place, as by
            keras.applications, unless it is read-only.
        data_format: "channels_last" or "channels_first"; by default Keras' global data format.

    Raises:
        UserError: the data format is neither, or there are not three channels.
    """
    axis = _CHANNEL_AXES[_data_format(data_format)]
    if not keras.utils.is_keras_tensor(x) and not isinstance(x, np.ndarray):
        x = keras.ops.convert_to_tensor(x)
    shape = tuple(x.shape)
    if len(shape) < 3 or shape[axis] not in (3, None):
        raise UserError(
            f"must be RGB images, whose axis {axis} has three channels; its shape is {shape}.", parameter="x"
        )
    caffe = NORMALIZATIONS["caffe"]
    if isinstance(x, np.ndarray):
        return _normalize_array(x, caffe, axis)
    dtype = keras.backend.standardize_dtype(x.dtype)
    if "float" not in dtype:
        dtype = keras.config.floatx()
    # A half type would round the mean.
    exact = _normalize(x, caffe, axis, "float64" if dtype == "float64" else "float32")
    return keras.ops.cast(exact, dtype)


def _data_format(requested: str | None) -> str:
    data_format = keras.config.image_data_format() if requested is None else requested
    if data_format not in _CHANNEL_AXES:
        raise UserError(
            f"must be one of {', '.join(_CHANNEL_AXES)}.", parameter="data_format", value=requested
        )
    return data_format


def _normalize(x: Any, normalization: Normalization, axis: int, dtype: str) -> Any:
    """Normalizes a tensor of pixels of any type in a floating-point type."""
    x = keras.ops.cast(x, dtype)
    if x.shape[axis] in (3, None) and normalization.bgr:
        x = keras.ops.flip(x, axis)
    mean, std = (values.astype(dtype) for values in _mean_and_std(normalization, x.shape[axis], axis))
    return (x - mean) / std


def _normalize_array(x: np.ndarray, normalization: Normalization, axis: int) -> np.ndarray:
    if not np.issubdtype(x.dtype, np.floating):
        x = x.astype(keras.config.floatx())
    elif not x.flags.writeable:
        x = x.copy()
    mean, std = _mean_and_std(normalization, x.shape[axis], axis)
    x = np.flip(x, axis) if normalization.bgr else x
    x -= mean
    x /= std
    return x


def _mean_and_std(
    normalization: Normalization, channels: int | None, axis: int
) -> tuple[np.ndarray, np.ndarray]:
    """Returns both in float64, in the order of the channels, to broadcast along their axis."""
    values = [np.array(normalization.mean), np.array(normalization.std)]
    if channels not in (3, None):
        values = [np.full(channels, colors.mean()) for colors in values]
    elif normalization.bgr:
        values = [colors[::-1] for colors in values]
    mean, std = (colors.reshape(-1, *(1,) * (-1 - axis)) for colors in values)
    return mean, std


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
