"""`.safetensors` files, and what timm keeps beside them."""

import contextlib
import functools
import json
import math
import os
import pathlib
import re
from collections.abc import Iterator
from typing import Any

import ml_dtypes  # noqa: F401  (NumPy knows bfloat16 by it)
import numpy as np
import safetensors

from keras_resnet.errors import UserError
from keras_resnet.weights.pixels import Pixels, of_unit
from keras_resnet.weights.stored import Stored

# In the folder of a file from timm's pages; says how its pictures are prepared, beside other things.
_CONFIG = "config.json"
_LARGEST_CONFIG = 2**20
# Others, as resnetaa50 and resnetblur50, have the same names and shapes of weights.
_PLAIN = re.compile(r"(tv_)?resnet\d+")
# Letters of a name in a message.
_SHOWN = 80


@contextlib.contextmanager
def open_safetensors_file(path: str | os.PathLike) -> Iterator[dict[str, Stored]]:
    """The tensors of the file by name.

    Raises:
        UserError: it is damaged or no such file.
    """
    with contextlib.ExitStack() as opened:
        with _damage_told(path):
            file = opened.enter_context(safetensors.safe_open(os.fspath(path), framework="numpy"))
            stored = {
                name: Stored(
                    tuple(file.get_slice(name).get_shape()), functools.partial(_read, file, name, path)
                )
                for name in file.keys()  # noqa: SIM118  (it is no dict)
            }
        yield stored


@contextlib.contextmanager
def _damage_told(path: str | os.PathLike) -> Iterator[None]:
    try:
        yield
    except (safetensors.SafetensorError, OSError) as error:
        raise UserError(
            f"{path} is damaged or no safetensors file ({error}); download or save it again."
        ) from error


def _read(file: Any, name: str, path: str | os.PathLike) -> np.ndarray:
    with _damage_told(path):
        try:
            return file.get_tensor(name)
        except (AttributeError, TypeError) as error:
            raise UserError(
                f"{path}: {name[:_SHOWN]} has numbers of type {file.get_slice(name).get_dtype()}, which "
                "NumPy does not know; save them as float32, float16 or bfloat16."
            ) from error


def _not_plain(path: str | os.PathLike, architecture: object) -> UserError:
    return UserError(
        f"{path} is of timm's {str(architecture)[:_SHOWN]}, which computes something else than a plain "
        "ResNet with weights of these names; resnet18, 34, 50, 101 and 152 can be loaded."
    )


def pixels_beside(path: str | os.PathLike) -> Pixels | None:
    """How pictures are prepared, as the `config.json` beside a file of timm's says; None where there is none.

    Raises:
        UserError: it is there and cannot be understood.
    """
    config = pathlib.Path(path).with_name(_CONFIG)
    if not config.is_file():
        return None
    try:
        if config.stat().st_size > _LARGEST_CONFIG:
            raise ValueError("it is larger than any of timm's")
        told = json.loads(config.read_text(encoding="utf-8"))
        if "pretrained_cfg" not in told:
            return None  # of another library
        if not _PLAIN.fullmatch(told["architecture"]):
            raise _not_plain(path, told["architecture"])
        told = told["pretrained_cfg"]
        mean, deviation = (of_unit(told[name]) for name in ("mean", "std"))
        finite = all(map(math.isfinite, (*mean, *deviation)))
        if not finite or min(deviation) <= 0:
            raise ValueError("mean and std of three colours are needed")
    except UserError:
        raise
    except (OSError, ValueError, LookupError, TypeError, RecursionError) as error:
        raise UserError(f"{config} is not the config.json of a timm model; remove or replace it.") from error
    return Pixels(mean, deviation)
