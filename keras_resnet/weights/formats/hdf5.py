"""Reads Keras' HDF5 files: the legacy format of Keras 1 and 2, as keras.applications has it, and Keras 3's.

Only arrays are read; no configuration is parsed and no object is built.
"""

import contextlib
import functools
import io
import math
import os
import re
import zipfile
from collections.abc import Iterator
from typing import BinaryIO

import h5py
import ml_dtypes
import numpy as np

from keras_resnet.errors import UserError
from keras_resnet.weights.formats.hdf5_heap import check_heaps
from keras_resnet.weights.formats.keras_names import find_network
from keras_resnet.weights.lazy_array import LazyArray
from keras_resnet.weights.names import MEAN_LAYER

_IN_ARCHIVE = "model.weights.h5"
# A ResNet of 1202 layers has 6,000.
_MAX_ARRAYS = 20_000
# Models in models.
_MAX_DEPTH = 8
# What the first releases of Keras 3 called a layer of weights.
_OF_CLASS = re.compile(r"(conv2d|batch_normalization)(_\d+)?")
# Characters of a list of names.
_MAX_TEXT = 2**30
# Characters of a reason, and of a name, in a message.
_MAX_REASON = 200
_MAX_NAME = 80
# Bytes of a reference to a text of variable length.
_REFERENCE_SIZE = 16
# Keras 3 numbers the variables of a layer in the order in which its class creates them.
_BATCH_NORM = ("gamma", "beta", "moving_mean", "moving_variance")
_MEAN, _OTHERS = ("mean",), ("kernel", "bias")
# What h5py raises for damaged files.
_BROKEN = (OSError, RuntimeError, LookupError, ValueError, TypeError, AttributeError, ArithmeticError)


@contextlib.contextmanager
def open_hdf5(path: str | os.PathLike) -> Iterator[dict[str, LazyArray]]:
    """Opens a file; yields its arrays by "layer/variable".

    Raises:
        UserError: the file is damaged or cannot be opened, or its arrays are stored in other files.
    """
    with contextlib.ExitStack() as stack:
        try:
            source: BinaryIO = stack.enter_context(open(path, "rb"))
            if os.fspath(path).lower().endswith(".keras"):
                archive = stack.enter_context(zipfile.ZipFile(source))
                info = archive.getinfo(_IN_ARCHIVE)
                if info.compress_type != zipfile.ZIP_STORED or info.file_size > os.path.getsize(path):
                    raise ValueError(f"{_IN_ARCHIVE} is compressed")
                # Read at once: HDF5 seeks a lot, and an archive's member seeks back by starting over.
                source = io.BytesIO(archive.read(info))
            longest = check_heaps(source)
            file = stack.enter_context(h5py.File(source, "r"))
            index = _ArrayIndex(file, longest)
            index.find_all()
        except (*_BROKEN, zipfile.BadZipFile, EOFError, NotImplementedError) as error:
            raise _damaged(path, error) from error
        arrays = find_network(index.models, index.groups, path)
        if not arrays:
            raise UserError(
                "holds no weights of a Keras model; save them again with model.save_weights().", value=path
            )
        if index.nameless:
            raise UserError(
                "has the classes of its layers and not their names, as the first releases of Keras 3 saved "
                "it; load it in Keras, and save it again with its weights.",
                value=path,
            )
        yield {name: _lazy(array, path) for name, array in arrays.items()}


class _ArrayIndex:
    """Finds the arrays of an open file: those of each model in it, and the names of all layers.

    Args:
        file: whose heaps have been checked.
        longest: bytes of the longest text in them.
    """

    def __init__(self, file: h5py.File, longest: int):
        self._file, self._longest = file, longest
        self._count = 0
        # By the path of the model, and by "layer/variable".
        self.models: dict[str, dict[str, h5py.Dataset]] = {}
        self.groups: list[str] = []
        # Whether layers have no names of their own.
        self.nameless = False

    def find_all(self) -> None:
        """Finds the arrays of either format."""
        root = self._file
        if "layer_names" not in root.attrs and "layer_names0" not in root.attrs:
            # A file of a complete model has them one level down.
            root = _group(root, "model_weights") if "model_weights" in root else None
        if root is None:
            self._find_keras_3(_group(self._file, "layers"), "")
        else:
            self._find_legacy(root)

    def _find_legacy(self, root: h5py.Group) -> None:
        for layer in self._names(root, "layer_names"):
            group = _group(root, layer)
            self.groups.append(layer)
            names = {name: name.split("/")[-2] for name in self._names(group, "weight_names") if "/" in name}
            nested = len(set(names.values())) > 1
            for name in self._names(group, "weight_names"):
                # conv1_conv/kernel:0, or conv1_conv_1/conv1_conv/kernel:0 of the second model in a process.
                variable = name.rpartition("/")[2].partition(":")[0]
                if nested and name in names:
                    self._add(layer, names[name], variable, _dataset(group, name))
                else:
                    self._add("", layer, variable, _dataset(group, name))

    def _find_keras_3(self, layers: h5py.Group, model: str, depth: int = 0) -> None:
        for key in layers:
            layer = _group(layers, key)
            self.groups.append(key)
            if len(self.groups) > _MAX_ARRAYS:
                raise ValueError("there are too many layers")
            if "layers" in layer and depth < _MAX_DEPTH:
                nested = f"{model}/{key}".lstrip("/")
                self._find_keras_3(_group(layer, "layers"), nested, depth + 1)
            if "vars" not in layer:
                continue
            variables = _group(layer, "vars")
            named = "name" in variables.attrs
            name = self._texts(variables, "name")[0] if named else key
            for number in variables:
                array = _member(variables, number)
                if isinstance(array, h5py.Dataset) and array.dtype.kind in "iu":
                    continue  # a counter, or the state of a random generator
                self._add(model, name, _variable_name(name, number), _dataset(variables, number))
                self.nameless |= not named and _OF_CLASS.fullmatch(key) is not None

    def _add(self, model: str, layer: str, variable: str, array: h5py.Dataset) -> None:
        key = f"{layer}/{variable}"
        found = self.models.setdefault(model, {})
        self._count += 1
        if key in found or self._count > _MAX_ARRAYS:
            raise ValueError(f"{key[:_MAX_NAME]} is there twice, or there are too many arrays")
        found[key] = array

    def _names(self, group: h5py.Group, attribute: str) -> list[str]:
        """Reads a list of names, which a file stores in numbered chunks where it is long."""
        chunks = [f"{attribute}{number}" for number in range(len(group.attrs))]
        parts = [self._texts(group, name) for name in (attribute, *chunks) if name in group.attrs]
        names = [name for part in parts for name in part]
        if len(names) != len(set(names)) or len(names) > _MAX_ARRAYS:
            raise ValueError(f"{attribute} has a name twice, or too many names")
        return names

    def _texts(self, group: h5py.Group, attribute: str) -> list[str]:
        """Reads a text or a list of texts; for an empty list, Keras stores an empty list of numbers."""
        stored = group.attrs.get_id(attribute)
        count = math.prod(stored.shape)
        if not count:
            return []
        # HDF5's library trusts these sizes to the point of a crash, so what is not text is not read as text.
        # Texts of variable length are references, and many of them may lead to one text.
        kind = h5py.check_string_dtype(stored.dtype)
        size = kind and (kind.length or _REFERENCE_SIZE)
        if kind is None or stored.get_storage_size() != count * size or count * self._longest > _MAX_TEXT:
            raise TypeError(f"{attribute} is not text, or too long")
        texts = np.ravel(group.attrs[attribute])
        return [text.decode() if isinstance(text, bytes) else str(text) for text in texts]


def _variable_name(layer: str, number: str) -> str:
    names = _BATCH_NORM if layer.endswith("_bn") else _MEAN if layer == MEAN_LAYER else _OTHERS
    return names[int(number)] if number.isdecimal() and int(number) < len(names) else number


def _group(parent: h5py.Group, name: str) -> h5py.Group:
    found = _member(parent, name)
    if not isinstance(found, h5py.Group):
        raise TypeError(f"{name} is not a group")
    return found


def _dataset(parent: h5py.Group, name: str) -> h5py.Dataset:
    found = _member(parent, name)
    is_inside = isinstance(found, h5py.Dataset) and not found.external and not found.is_virtual
    if not is_inside or not (found.dtype.kind == "f" or _is_bfloat16(found)):
        raise TypeError(f"{name} is not an array of floats in this file")
    # Reading any part of a chunk reads all of it, whatever the size of the array.
    if found.chunks and math.prod(found.chunks) > max(2 * found.size, 2**20):
        raise ValueError(f"{name} is stored in chunks larger than itself")
    return found


def _member(parent: h5py.Group, name: str) -> h5py.HLObject:
    """Returns a member of the file itself; a link could lead to other files."""
    found = parent
    for part in name.split("/"):
        if not isinstance(found.get(part, getlink=True), h5py.HardLink):
            raise TypeError(f"{name} is a link")
        found = found[part]
    return found


def _lazy(array: h5py.Dataset, path: str | os.PathLike) -> LazyArray:
    return LazyArray(tuple(array.shape), functools.partial(_read, array, path))


def _read(array: h5py.Dataset, path: str | os.PathLike) -> np.ndarray:
    try:
        values = array[()]
        return values.view(ml_dtypes.bfloat16) if _is_bfloat16(array) else values
    except _BROKEN as error:
        raise _damaged(path, error) from error


def _is_bfloat16(array: h5py.Dataset) -> bool:
    """Whether the values are two opaque bytes each: so Keras stores bfloat16, which HDF5 does not have."""
    return array.dtype.itemsize == 2 and array.dtype.kind == "V"


def _damaged(path: str | os.PathLike, error: Exception) -> UserError:
    reason = str(error).partition("\n")[0][:_MAX_REASON] or "it ends early"
    return UserError(
        f"is damaged or not a file of Keras weights ({reason}); download or save it again.", value=path
    )
