"""Reads what the configuration in a `.keras` file says about its model, without building it."""

import dataclasses
import json
import os
import zipfile
from collections.abc import Iterable, Iterator
from typing import Any

from keras_resnet.errors import UserError
from keras_resnet.weights.names import POST, PREPROCESSING_LAYER, STEM, layer_name, parse_layer_name
from keras_resnet.weights.normalization import Normalization

_IN_ARCHIVE = "config.json"
# That of a model of 1202 layers has 3 MB.
_MAX_BYTES = 64 * 2**20
_MAX_REASON = 80
_RESCALING = ("Normalization", "Rescaling")
_BROKEN = (zipfile.BadZipFile, OSError, LookupError, TypeError, ValueError, AttributeError, RecursionError)


@dataclasses.dataclass(frozen=True)
class ModelInfo:
    """What the layers say, which weights alone do not.

    Args:
        variant: where a bottleneck has its stride; None where the model has no bottlenecks.
        plain: whether no block has a shortcut.
        normalization: what a `Preprocessing` layer in front of the stem does; None without one.
        size: side of the input in pixels; None for any size.
        rescales: whether a layer of Keras rescales or normalizes the pixels.
    """

    variant: str | None
    plain: bool
    normalization: Normalization | None
    size: int | None
    rescales: bool = False


def read_config(path: str | os.PathLike) -> ModelInfo:
    """Reads the configuration of the model in a `.keras` file.

    Raises:
        UserError: the file is damaged, or its model has no layers.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            info = archive.getinfo(_IN_ARCHIVE)
            if info.file_size > _MAX_BYTES:
                raise ValueError(f"{_IN_ARCHIVE} is larger than that of any model")
            layers = json.loads(archive.read(info))["config"]["layers"]
        rescales = any(layer["class_name"] in _RESCALING for layer in _all_layers(layers))
        network = _network(layers) or layers
        found = _model_info(network)
        return dataclasses.replace(found, rescales=rescales)
    except _BROKEN as error:
        raise UserError(
            f"is damaged or not a Keras model ({str(error)[:_MAX_REASON]}); save it again.", value=path
        ) from error


def _all_layers(layers: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """Yields the layers of a model and those of the models inside."""
    for layer in layers:
        yield layer
        yield from _all_layers(layer["config"].get("layers", ()))


def _network(layers: list[dict[str, Any]]) -> list[dict[str, Any]] | None:
    """Returns the layers of the model, of these or inside, that begins as a ResNet; None if there is none."""
    if any(layer["config"]["name"] == f"{STEM}_conv" for layer in layers):
        return layers
    inside = (_network(layer["config"].get("layers", ())) for layer in layers)
    return next(filter(None, inside), None)


def _model_info(network: list[dict[str, Any]]) -> ModelInfo:
    layers = {layer["config"]["name"]: layer["config"] for layer in network}
    sums = (layer["config"]["name"] for layer in network if layer["class_name"] == "Add")
    variant = None
    if layer_name("conv3", 1, 3, "conv") in layers:
        variant = "v1.5" if max(layers[layer_name("conv3", 1, 2, "conv")]["strides"]) > 1 else "v1"
        if layers[layer_name("conv2", 1, 3, "conv")].get("use_bias") and f"{POST}_bn" in layers:
            variant = "v2"
    normalization = layers.get(PREPROCESSING_LAYER, {}).get("normalization")
    shapes = [layer["batch_shape"] for layer in layers.values() if "batch_shape" in layer]
    channels_first = layers.get("conv1_conv", {}).get("data_format") == "channels_first"
    return ModelInfo(
        variant=variant,
        plain=not any(map(parse_layer_name, sums)),
        normalization=normalization and _normalization(normalization),
        size=shapes[0][2 if channels_first else 1] if len(shapes) == 1 and len(shapes[0]) == 4 else None,
    )


def _normalization(config: dict[str, Any]) -> Normalization:
    return Normalization(_three(config["mean"]), _three(config["std"]), bool(config["bgr"]))


def _three(values: Iterable[Any]) -> tuple[float, float, float]:
    red, green, blue = map(float, values)
    return red, green, blue
