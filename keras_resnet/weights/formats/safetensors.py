"""Reads `.safetensors` files."""

import contextlib
import functools
import os
from collections.abc import Iterator
from typing import Any

import ml_dtypes  # noqa: F401  (registers bfloat16 with NumPy)
import numpy as np
import safetensors

from keras_resnet.errors import UserError
from keras_resnet.weights.lazy_array import LazyArray

# Characters of a name in a message.
_MAX_NAME = 80


@contextlib.contextmanager
def open_safetensors(path: str | os.PathLike) -> Iterator[dict[str, LazyArray]]:
    """Opens the file; yields its tensors by name.

    Raises:
        UserError: the file is damaged or cannot be opened.
    """
    with contextlib.ExitStack() as stack:
        with _damage_as_user_error(path):
            file = stack.enter_context(safetensors.safe_open(os.fspath(path), framework="numpy"))
            stored = {
                name: LazyArray(
                    tuple(file.get_slice(name).get_shape()), functools.partial(_read, file, name, path)
                )
                for name in file.keys()  # noqa: SIM118  (not a dict)
            }
        yield stored


@contextlib.contextmanager
def _damage_as_user_error(path: str | os.PathLike) -> Iterator[None]:
    try:
        yield
    except (safetensors.SafetensorError, OSError) as error:
        raise UserError(
            f"is damaged or not a safetensors file ({error}); download or save it again.", value=path
        ) from error


def _read(file: Any, name: str, path: str | os.PathLike) -> np.ndarray:
    with _damage_as_user_error(path):
        try:
            return file.get_tensor(name)
        except (AttributeError, TypeError) as error:
            raise UserError(
                f"{name[:_MAX_NAME]} has type {file.get_slice(name).get_dtype()}, which NumPy does not have; "
                "save it as float32, float16 or bfloat16.",
                value=path,
            ) from error
