"""HDF5 files of Keras: `.h5` of Keras 1 and 2, as keras.applications has, and those of Keras 3.

Only arrays are taken out of them; no configuration is read and no object made.
"""

import contextlib
import functools
import io
import math
import os
import zipfile
from collections.abc import Iterator
from typing import BinaryIO

import h5py
import ml_dtypes
import numpy as np

from keras_resnet.errors import UserError
from keras_resnet.weights.hdf5_heap import check_heaps
from keras_resnet.weights.layouts import MEAN_LAYER
from keras_resnet.weights.stored import Stored

_IN_ARCHIVE = "model.weights.h5"
# The most arrays: a ResNet of 1202 layers has 6,000.
_MOST_ARRAYS = 20_000
# The most letters of a list of names.
_MOST_TEXT = 2**30
# Letters of a reason, and of a name, in a message.
_REASON = 200
_SHOWN = 80
# Bytes of a reference to a text of any length.
_REFERENCE = 16
# Keras 3 numbers the variables of a layer, in the order in which its class makes them.
_BATCH_NORM = ("gamma", "beta", "moving_mean", "moving_variance")
_MEAN, _OTHERS = ("mean",), ("kernel", "bias")
# What may go wrong in a damaged file: h5py raises these.
_BROKEN = (OSError, RuntimeError, LookupError, ValueError, TypeError, AttributeError, ArithmeticError)


@contextlib.contextmanager
def open_hdf5_file(path: str | os.PathLike) -> Iterator[dict[str, Stored]]:
    """The arrays of a file as "layer/variable".

    Raises:
        UserError: it is damaged, no such file, or its arrays lie elsewhere than in it.
    """
    with contextlib.ExitStack() as opened:
        try:
            source: BinaryIO = opened.enter_context(open(path, "rb"))
            if os.fspath(path).endswith(".keras"):
                archive = opened.enter_context(zipfile.ZipFile(source))
                info = archive.getinfo(_IN_ARCHIVE)
                if info.compress_type != zipfile.ZIP_STORED or info.file_size > os.path.getsize(path):
                    raise ValueError(f"{_IN_ARCHIVE} is compressed")
                # As a whole: HDF5 goes to and fro in it, and each way back is one from the beginning.
                source = io.BytesIO(archive.read(info))
            longest = check_heaps(source)
            file = opened.enter_context(h5py.File(source, "r"))
            arrays = _Arrays(file, longest).all()
        except (*_BROKEN, zipfile.BadZipFile, EOFError, NotImplementedError) as error:
            raise _damaged(path, error) from error
        if not arrays:
            raise UserError(
                f"{path} holds no weights of a Keras model; save them again, by model.save_weights()."
            )
        yield {name: _stored(array, path) for name, array in arrays.items()}


class _Arrays:
    """The arrays of an open file.

    Args:
        file: whose heaps of texts are whole.
        longest: bytes of the longest text in them.
    """

    def __init__(self, file: h5py.File, longest: int):
        self._file, self._longest = file, longest
        self._found: dict[str, h5py.Dataset] = {}

    def all(self) -> dict[str, h5py.Dataset]:
        """By "layer/variable", in either format."""
        root = self._file
        if "layer_names" not in root.attrs and "layer_names0" not in root.attrs:
            # As a file of a whole model has it.
            root = _group(root, "model_weights") if "model_weights" in root else None
        if root is None:
            self._read_keras_3()
        else:
            self._read_legacy(root)
        return self._found

    def _read_legacy(self, root: h5py.Group) -> None:
        for layer in self._names(root, "layer_names"):
            group = _group(root, layer)
            for name in self._names(group, "weight_names"):
                # As conv1_conv/kernel:0, or conv1_conv_1/conv1_conv/kernel:0 of a net built second.
                self._add(layer, name.rpartition("/")[2].partition(":")[0], _dataset(group, name))

    def _read_keras_3(self) -> None:
        layers = _group(self._file, "layers")
        for place in layers:
            layer = _group(layers, place)
            if "vars" not in layer:
                continue
            variables = _group(layer, "vars")
            name = self._texts(variables, "name")[0] if "name" in variables.attrs else place
            for number in variables:
                self._add(name, _variable(name, number), _dataset(variables, number))

    def _add(self, layer: str, variable: str, array: h5py.Dataset) -> None:
        key = f"{layer}/{variable}"
        if key in self._found or len(self._found) == _MOST_ARRAYS:
            raise ValueError(f"{key[:_SHOWN]} is there twice, or there are too many")
        self._found[key] = array

    def _names(self, group: h5py.Group, attribute: str) -> list[str]:
        """A list of names, which a file keeps in parts where it is long."""
        numbered = [f"{attribute}{number}" for number in range(len(group.attrs))]
        parts = [self._texts(group, name) for name in (attribute, *numbered) if name in group.attrs]
        names = [name for part in parts for name in part]
        if len(names) != len(set(names)) or len(names) > _MOST_ARRAYS:
            raise ValueError(f"{attribute} has a name twice, or too many")
        return names

    def _texts(self, group: h5py.Group, attribute: str) -> list[str]:
        """A text or a list of them; of none, Keras keeps a list of no numbers."""
        kept = group.attrs.get_id(attribute)
        count = math.prod(kept.shape)
        if not count:
            return []
        # Believed by HDF5's library to the point of a crash: what is no text is not read as one. Texts of any
        # length are references, of which many may lead to one text.
        kind = h5py.check_string_dtype(kept.dtype)
        size = kind and (kind.length or _REFERENCE)
        if kind is None or kept.get_storage_size() != count * size or count * self._longest > _MOST_TEXT:
            raise TypeError(f"{attribute} is no text, or too long")
        texts = np.ravel(group.attrs[attribute])
        return [text.decode() if isinstance(text, bytes) else str(text) for text in texts]


def _variable(layer: str, number: str) -> str:
    names = _BATCH_NORM if layer.endswith("_bn") else _MEAN if layer == MEAN_LAYER else _OTHERS
    return names[int(number)] if number.isdecimal() and int(number) < len(names) else number


def _group(parent: h5py.Group, name: str) -> h5py.Group:
    found = _own(parent, name)
    if not isinstance(found, h5py.Group):
        raise TypeError(f"{name} is no group")
    return found


def _dataset(parent: h5py.Group, name: str) -> h5py.Dataset:
    found = _own(parent, name)
    is_here = isinstance(found, h5py.Dataset) and not found.external and not found.is_virtual
    if not is_here or not (found.dtype.kind == "f" or _is_bfloat16(found)):
        raise TypeError(f"{name} is no array of numbers in this file")
    # A chunk is read as a whole, whatever the size of the array.
    if found.chunks and math.prod(found.chunks) > max(2 * found.size, 2**20):
        raise ValueError(f"{name} is kept in parts larger than itself")
    return found


def _own(parent: h5py.Group, name: str) -> h5py.HLObject:
    """A member of the file itself: a link may lead to other files."""
    found = parent
    for part in name.split("/"):
        if not isinstance(found.get(part, getlink=True), h5py.HardLink):
            raise TypeError(f"{name} is a link")
        found = found[part]
    return found


def _stored(array: h5py.Dataset, path: str | os.PathLike) -> Stored:
    return Stored(tuple(array.shape), functools.partial(_read, array, path))


def _read(array: h5py.Dataset, path: str | os.PathLike) -> np.ndarray:
    try:
        values = array[()]
        return values.view(ml_dtypes.bfloat16) if _is_bfloat16(array) else values
    except _BROKEN as error:
        raise _damaged(path, error) from error


def _is_bfloat16(array: h5py.Dataset) -> bool:
    """Whether these are two bytes each, as Keras keeps bfloat16, which HDF5 does not know."""
    return array.dtype.itemsize == 2 and array.dtype.kind == "V"


def _damaged(path: str | os.PathLike, error: Exception) -> UserError:
    reason = str(error).partition("\n")[0][:_REASON] or "it ends early"
    return UserError(f"{path} is damaged or no weights of Keras ({reason}); download or save it again.")
