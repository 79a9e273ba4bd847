"""What a `.keras` file says of its net, read as text: nothing is made of it."""

import dataclasses
import json
import os
import zipfile
from collections.abc import Iterable
from typing import Any

from keras_resnet.errors import UserError
from keras_resnet.weights.pixels import Pixels

_IN_ARCHIVE = "config.json"
# That of a net of 1202 layers has 3 MB.
_LARGEST = 64 * 2**20
_BROKEN = (zipfile.BadZipFile, OSError, LookupError, TypeError, ValueError, AttributeError, RecursionError)


@dataclasses.dataclass(frozen=True)
class Told:
    """What the layers tell beside their weights.

    Args:
        variant: where a bottleneck has its stride; None where there is none.
        plain: whether no block has a shortcut.
        pixels: what a `Preprocessing` layer in front does, or None.
        size: side of the images, or None for any.
    """

    variant: str | None
    plain: bool
    pixels: Pixels | None
    size: int | None


def read_config(path: str | os.PathLike) -> Told:
    """What the net in a `.keras` file is.

    Raises:
        UserError: it is damaged, or no net with layers.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            info = archive.getinfo(_IN_ARCHIVE)
            if info.file_size > _LARGEST:
                raise ValueError(f"{_IN_ARCHIVE} is larger than any net's")
            layers = json.loads(archive.read(info))["config"]["layers"]
        return _told({layer["config"]["name"]: layer["config"] for layer in layers})
    except _BROKEN as error:
        raise UserError(
            f"{path} is damaged or no net of Keras ({str(error)[:80]}); save it again."
        ) from error


def _told(layers: dict[str, dict[str, Any]]) -> Told:
    variant = None
    if "conv3_block1_3_conv" in layers:
        variant = "v1.5" if max(layers["conv3_block1_2_conv"]["strides"]) > 1 else "v1"
    front = layers.get("preprocessing", {}).get("pixels")
    shapes = [layer["batch_shape"] for layer in layers.values() if "batch_shape" in layer]
    channels_first = layers.get("conv1_conv", {}).get("data_format") == "channels_first"
    return Told(
        variant=variant,
        plain=not any(name.endswith("_add") for name in layers),
        pixels=front and Pixels(_three(front["mean"]), _three(front["deviation"]), bool(front["reverse"])),
        size=shapes[0][2 if channels_first else 1] if len(shapes) == 1 and len(shapes[0]) == 4 else None,
    )


def _three(values: Iterable[Any]) -> tuple[float, float, float]:
    red, green, blue = map(float, values)
    return red, green, blue
