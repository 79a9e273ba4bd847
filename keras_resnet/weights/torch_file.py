"""PyTorch's `.pth` files, in both of their formats: zip archives, and one stream before PyTorch 1.6."""

import contextlib
import functools
import io
import os
import struct
import zipfile
from collections.abc import Callable, Iterator
from typing import IO, Any

import numpy as np

from keras_resnet.errors import UserError
from keras_resnet.weights.stored import Stored
from keras_resnet.weights.torch_pickle import BrokenPickleError, Storage, Tensor, read_pickle

# That of a ResNet-152 has 130 kB.
_LARGEST_INDEX = 4 * 2**20
_LEGACY_MAGIC = 0x1950A86A20F9469CFC6C
# What a damaged file makes the interpreter and the zip library raise.
_BROKEN = (
    BrokenPickleError,
    zipfile.BadZipFile,
    EOFError,
    MemoryError,
    OSError,
    RuntimeError,
    ValueError,
    struct.error,
)
# Under what checkpoints keep the weights, averaged ones before others.
_MOST_WRAPPERS = 2
_WRAPPERS = ("state_dict_ema", "model_ema", "state_dict", "model", "module")
# How many models PyTorch's AveragedModel is the mean of.
_AVERAGED_MODELS = "n_averaged"
# What wrapping models put in front of each name.
_PREFIXES = ("module.", "_orig_mod.")


@contextlib.contextmanager
def open_torch_file(path: str | os.PathLike) -> Iterator[dict[str, Stored]]:
    """The tensors of a state dict or of a checkpoint around one, by PyTorch's names.

    Nothing that the file holds is run, and no more memory is taken than its tensors need.

    Raises:
        UserError: it is damaged, is no such file, or holds other objects than tensors, numbers and strings.
    """
    with contextlib.ExitStack() as opened:
        with _damage_told(path):
            file = opened.enter_context(open(path, "rb"))
            kind = _open_zip if file.read(2) == b"PK" else _open_legacy
            file.seek(0)
            index, read = opened.enter_context(kind(file, path))
            stored = {name: _stored(tensor, read, path) for name, tensor in _state(index, path).items()}
        yield stored


@contextlib.contextmanager
def _damage_told(path: str | os.PathLike) -> Iterator[None]:
    try:
        yield
    except UserError:
        raise
    except _BROKEN as error:
        reason = str(error) or "it ends early"
        raise UserError(
            f"{path} is damaged or no file of PyTorch ({reason}); download or save it again."
        ) from error


def _state(index: Any, path: str | os.PathLike) -> dict[str, Tensor]:
    """The state dict itself, without what is around it and in front of its names."""
    found = _tensors(_unwrapped(index))
    if not found:
        raise UserError(
            f"{path} holds no state dict: a dict of tensors, by itself or as one of {', '.join(_WRAPPERS)}."
        )
    found.pop(_AVERAGED_MODELS, None)
    for prefix in _PREFIXES * 2:
        if all(name.startswith(prefix) for name in found):
            found = {name.removeprefix(prefix): tensor for name, tensor in found.items()}
    return found


def _unwrapped(index: Any) -> Any:
    """What is inside of a checkpoint; tensors beside it, as the best accuracy, do not count."""
    for _ in range(_MOST_WRAPPERS):
        wrapped = [index.get(name) for name in _WRAPPERS] if isinstance(index, dict) else []
        inside = [one for one in wrapped if isinstance(one, dict) and one]
        index = inside[0] if inside else index
    return index


def _tensors(index: Any) -> dict[str, Tensor]:
    items = index.items() if isinstance(index, dict) else ()
    return {str(name): value for name, value in items if isinstance(value, Tensor)}


def _stored(tensor: Tensor, read: Callable[[Storage], bytes], path: str | os.PathLike) -> Stored:
    def array() -> np.ndarray:
        with _damage_told(path):
            contents = read(tensor.storage)
        numbers = np.frombuffer(contents, tensor.storage.dtype, tensor.storage.size)
        strides = [stride * numbers.itemsize for stride in tensor.strides]
        # Inside the storage, as the index has been checked for.
        return np.lib.stride_tricks.as_strided(numbers[tensor.offset :], tensor.shape, strides).copy()

    return Stored(tensor.shape, array)


@contextlib.contextmanager
def _open_zip(file: IO[bytes], path: str | os.PathLike) -> Iterator[tuple[Any, Callable[[Storage], bytes]]]:
    """What the index says, and how to read a storage."""
    with zipfile.ZipFile(file) as archive:
        indices = [name for name in archive.namelist() if name.endswith("/data.pkl")]
        if len(indices) != 1:
            raise zipfile.BadZipFile("it has no data.pkl")
        root = indices[0].removesuffix("data.pkl")
        members = {info.filename: info for info in archive.infolist()}
        if f"{root}byteorder" in members and _member(archive, f"{root}byteorder", 16) != b"little":
            raise UserError(f"{path} was written on a big-endian machine; save it on another one.")
        index = read_pickle(io.BytesIO(_member(archive, indices[0], _LARGEST_INDEX)), path)
        for storage in set(_storages(index)):
            info = members.get(f"{root}data/{storage.key}")
            if info is None or info.file_size != storage.size * storage.dtype.itemsize:
                raise zipfile.BadZipFile(f"storage {storage.key[:9]} is not what the index says")

        def read(storage: Storage) -> bytes:
            size = storage.size * storage.dtype.itemsize
            return _member(archive, f"{root}data/{storage.key}", size)

        yield index, read


def _member(archive: zipfile.ZipFile, name: str, most: int) -> bytes:
    """A file that is in the archive, with no more bytes than this and not compressed: PyTorch does not."""
    info = archive.getinfo(name)
    # As many bytes as it says, and no bytes are there twice: it is no larger than the file.
    if info.compress_type != zipfile.ZIP_STORED or info.file_size > min(most, archive.start_dir):
        raise zipfile.BadZipFile(f"{name} is compressed or larger than it may be")
    return archive.read(info)


@contextlib.contextmanager
def _open_legacy(
    file: IO[bytes], path: str | os.PathLike
) -> Iterator[tuple[Any, Callable[[Storage], bytes]]]:
    """The same for the older format: pickles, and behind them each storage after its number of values."""
    front = io.BytesIO(file.read(_LARGEST_INDEX))
    read_next = functools.partial(read_pickle, front, path)
    if read_next() != _LEGACY_MAGIC:
        raise BrokenPickleError("it does not begin as one")
    _version, system, index, keys = read_next(), read_next(), read_next(), read_next()
    if not isinstance(system, dict) or not isinstance(keys, list) or not all(map(_is_text, keys)):
        raise BrokenPickleError("it lacks its list of storages")
    if system.get("little_endian") is not True:
        raise UserError(f"{path} was written on a big-endian machine; save it on another one.")
    sizes = {storage.key: storage.dtype.itemsize for storage in _storages(index)}
    places, place, end = {}, front.tell(), os.fstat(file.fileno()).st_size
    for key in keys:
        file.seek(place)
        (count,) = struct.unpack("<q", _exactly(file, 8))
        if not 0 <= count <= end or key not in sizes:
            raise BrokenPickleError(f"storage {key} has no place")
        places[key] = (place + 8, count)
        place += 8 + count * sizes[key]
    if place > end:
        raise EOFError

    def read(storage: Storage) -> bytes:
        start, count = places.get(storage.key, (0, -1))
        if count != storage.size:
            raise BrokenPickleError(f"storage {storage.key} has another size than its index says")
        file.seek(start)
        return _exactly(file, count * storage.dtype.itemsize)

    yield index, read


def _storages(index: Any) -> Iterator[Storage]:
    """The storages of all tensors, in whatever they are wrapped."""
    seen, waiting = set(), [index]
    while waiting:
        value = waiting.pop()
        if isinstance(value, Tensor):
            yield value.storage
        elif isinstance(value, (dict, list, tuple)) and id(value) not in seen:
            seen.add(id(value))
            waiting.extend(value.values() if isinstance(value, dict) else value)


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _exactly(file: IO[bytes], count: int) -> bytes:
    contents = file.read(count)
    if len(contents) != count:
        raise EOFError
    return contents
