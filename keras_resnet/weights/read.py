"""Any file of weights, as arrays under the names of this package."""

import contextlib
import dataclasses
import os
import pathlib
from collections.abc import Iterator

from keras_resnet.errors import UserError
from keras_resnet.weights import layouts
from keras_resnet.weights.keras_config import read_config

SUFFIXES = (".weights.h5", ".keras", ".h5", ".safetensors", ".pth", ".pt")


def check_file(path: str | os.PathLike) -> None:
    """Refuse what is no file of weights by its name.

    Raises:
        UserError: there is no such file, or it has another suffix.
    """
    if not os.path.isfile(path):
        raise UserError(f"{path}: there is no such file; give one that ends in {', '.join(SUFFIXES)}.")
    if not os.fspath(path).endswith(SUFFIXES):
        raise UserError(f"{path} is no file of weights that can be read: those end in {', '.join(SUFFIXES)}.")


@contextlib.contextmanager
def open_weights(path: str | os.PathLike) -> Iterator[layouts.Named]:
    """The arrays of a file, read when asked for, as long as this is open.

    Raises:
        UserError: it is damaged, of another kind, or would have to run code to be read.
    """
    check_file(path)
    suffix = pathlib.Path(path).suffix
    own = os.fspath(path).endswith((".weights.h5", ".keras"))
    torch = suffix in (".pth", ".pt", ".safetensors")
    # Each takes a library that the others do not need.
    if suffix == ".safetensors":
        from keras_resnet.weights.safetensors_file import open_safetensors_file as opened
        from keras_resnet.weights.safetensors_file import pixels_beside
    elif torch:
        from keras_resnet.weights.torch_file import open_torch_file as opened
    else:
        from keras_resnet.weights.hdf5_file import open_hdf5_file as opened
    with opened(path) as stored:
        found = layouts.named(stored, path, torch=torch, own=own)
        if suffix == ".safetensors" and (beside := pixels_beside(path)):
            found = dataclasses.replace(found, layout=dataclasses.replace(found.layout, pixels=beside))
        if suffix == ".keras":
            told = read_config(path)
            layout = dataclasses.replace(
                found.layout, variant=told.variant, plain=told.plain, pixels=told.pixels
            )
            found = dataclasses.replace(found, layout=layout, size=told.size)
        yield found
