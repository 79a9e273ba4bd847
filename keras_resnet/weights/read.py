"""Opens any supported weights file as arrays under this package's names."""

import contextlib
import dataclasses
import os
import pathlib
from collections.abc import Iterator

from keras_resnet.errors import UserError
from keras_resnet.weights import conventions
from keras_resnet.weights.formats.keras_config import read_config

_KERAS_SUFFIXES = (".weights.h5", ".keras", ".h5")
_TORCH_SUFFIXES = (".pth", ".pt", ".pth.tar", ".ckpt", ".bin", ".th")
SUFFIXES = (*_KERAS_SUFFIXES, ".safetensors", *_TORCH_SUFFIXES)


def has_suffix(path: str | os.PathLike, suffixes: tuple[str, ...] = SUFFIXES) -> bool:
    """Whether a file ends in one of these, in letters of either case."""
    return os.fspath(path).lower().endswith(suffixes)


def check_file(path: str | os.PathLike) -> None:
    """Checks that a file exists and has the suffix of a weights file.

    Raises:
        UserError: it does not.
    """
    if not os.path.isfile(path):
        raise UserError(f"there is no such file; give one that ends in {', '.join(SUFFIXES)}.", value=path)
    if not has_suffix(path):
        raise UserError(
            f"is not a weights file that can be read: they end in {', '.join(SUFFIXES)}.", value=path
        )


@contextlib.contextmanager
def open_weights(path: str | os.PathLike) -> Iterator[conventions.NamedArrays]:
    """Opens a weights file; its arrays can be read inside the `with` block.

    Raises:
        UserError: the file is damaged, belongs to another kind of network, or would have to run code.
    """
    check_file(path)
    suffix = pathlib.Path(path).suffix.lower()
    own = has_suffix(path, (".weights.h5", ".keras"))
    torch = has_suffix(path, (".safetensors", *_TORCH_SUFFIXES))
    # Each format needs a library that the others do not.
    if suffix == ".safetensors":
        from keras_resnet.weights.formats.safetensors import open_safetensors as open_file
    elif torch:
        from keras_resnet.weights.formats.torch import open_torch as open_file
    else:
        from keras_resnet.weights.formats.hdf5 import open_hdf5 as open_file
    with open_file(path) as stored:
        named = conventions.rename_arrays(stored, path, torch=torch, own=own)
        if suffix == ".safetensors":
            named = _with_timm_config(named, path)
        elif suffix == ".keras":
            named = _with_keras_config(named, path)
        yield named


def _with_timm_config(named: conventions.NamedArrays, path: str | os.PathLike) -> conventions.NamedArrays:
    from keras_resnet.weights.formats.timm_config import read_timm_config

    config = read_timm_config(path)
    if config is None:
        return named
    convention = dataclasses.replace(
        named.convention,
        normalization=config.normalization,
        eval=config.eval,
    )
    return dataclasses.replace(named, convention=convention)


def _with_keras_config(named: conventions.NamedArrays, path: str | os.PathLike) -> conventions.NamedArrays:
    info = read_config(path)
    if named.convention is conventions.KERAS:
        # Without what those of this package have: its layers say nothing of the pixels that it takes.
        published = None if info.rescales else named.convention.normalization
        convention = dataclasses.replace(named.convention, normalization=published)
    else:
        convention = dataclasses.replace(
            named.convention, variant=info.variant, plain=info.plain, normalization=info.normalization
        )
    return dataclasses.replace(named, convention=convention, size=info.size)
