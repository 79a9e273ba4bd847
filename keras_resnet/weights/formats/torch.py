"""Reads PyTorch's `.pth` files in both formats: zip archives, and the single stream before PyTorch 1.6."""

import contextlib
import functools
import io
import itertools
import os
import struct
import zipfile
from collections.abc import Callable, Iterator
from typing import IO, Any

import numpy as np

from keras_resnet.errors import UserError
from keras_resnet.weights.formats.torch_pickle import (
    BrokenPickleError,
    Foreign,
    Storage,
    Tensor,
    read_pickle,
)
from keras_resnet.weights.lazy_array import LazyArray

# Bytes; the index of a ResNet-152 has 130 kB.
_MAX_INDEX = 4 * 2**20
_LEGACY_MAGIC = 0x1950A86A20F9469CFC6C
# What damaged files make the pickle interpreter and the zip library raise.
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
# Keys under which checkpoints hold the weights; averaged ones come first.
_MAX_WRAPPERS = 4
_WRAPPERS = (
    "state_dict_ema",
    "ema_state_dict",
    "model_ema",
    "ema_model",
    "params_ema",
    "ema",
    "state_dict",
    "model_state_dict",
    "model_state",
    "model",
    "net_state_dict",
    "net",
    "network",
    "params",
    "weights",
    "module",
)
# Characters of a name in a message; objects that are looked into for it.
_MAX_NAME, _MAX_SEARCHED = 80, 20
# The counter of PyTorch's AveragedModel.
_AVERAGED_MODELS = "n_averaged"
# What wrapper models put in front of each name.
_PREFIXES = ("module.", "_orig_mod.")


@contextlib.contextmanager
def open_torch(path: str | os.PathLike) -> Iterator[dict[str, LazyArray]]:
    """Opens a state dict, or a checkpoint around one; yields its tensors by PyTorch's names.

    Nothing in the file is executed, and no more memory is used than its tensors need. Objects of other types
    next to the state dict, such as the arguments of a training, are not made.

    Raises:
        UserError: the file is damaged or cannot be opened, or its tensors are in other objects than dicts.
    """
    with contextlib.ExitStack() as stack:
        with _damage_as_user_error(path):
            file = stack.enter_context(open(path, "rb"))
            open_format = _open_zip if file.read(2) == b"PK" else _open_legacy
            file.seek(0)
            index, read = stack.enter_context(open_format(file, path))
            stored = {name: _lazy(tensor, read, path) for name, tensor in _state_dict(index, path).items()}
        yield stored


@contextlib.contextmanager
def _damage_as_user_error(path: str | os.PathLike) -> Iterator[None]:
    try:
        yield
    except UserError:
        raise
    except _BROKEN as error:
        reason = str(error) or "it ends early"
        raise UserError(
            f"is damaged or not a PyTorch file ({reason}); download or save it again.", value=path
        ) from error


def _state_dict(index: Any, path: str | os.PathLike) -> dict[str, Tensor]:
    """Returns the state dict without the checkpoint around it and the prefixes of its names."""
    found = _tensors(_unwrap(index, path))
    foreign = _first_foreign(index)
    if not found and foreign is not None:
        raise _foreign(foreign, path)
    if not found:
        raise UserError(
            f"holds no state dict: a dict of tensors, by itself or as one of {', '.join(_WRAPPERS)}.",
            value=path,
        )
    found.pop(_AVERAGED_MODELS, None)
    for prefix in _PREFIXES * 2:
        if all(name.startswith(prefix) for name in found):
            found = {name.removeprefix(prefix): tensor for name, tensor in found.items()}
    return found


def _unwrap(index: Any, path: str | os.PathLike) -> Any:
    """Returns the dict inside a checkpoint; other tensors in it, such as a best accuracy, are ignored."""
    for _ in range(_MAX_WRAPPERS):
        if not isinstance(index, dict):
            break
        inside = {
            name: value for name, value in index.items() if isinstance(value, dict) and _has_weights(value)
        }
        known = [name for name in _WRAPPERS if name in inside]
        if not known and len(inside) > 1 and not _has_weights(index, depth=0):
            raise UserError(
                f"holds several state dicts, {', '.join(str(name)[:_MAX_NAME] for name in inside)}; save "
                "one of them alone: torch.save(model.state_dict(), ...).",
                value=path,
            )
        if not inside or (not known and _has_weights(index, depth=0)):
            break
        index = inside[known[0]] if known else next(iter(inside.values()))
    return index


def _has_weights(index: dict, depth: int = 2) -> bool:
    """Whether this is a state dict, or has one inside; the state of an optimizer has numbers for names."""
    if any(isinstance(value, Tensor) and str(name).endswith("weight") for name, value in index.items()):
        return True
    return depth > 0 and any(
        isinstance(value, dict) and _has_weights(value, depth - 1) for value in index.values()
    )


def _first_foreign(index: Any) -> Foreign | None:
    """Returns an object that was not made, if possible one with tensors inside."""
    found = list(itertools.islice((one for one in _walk(index) if isinstance(one, Foreign)), _MAX_SEARCHED))
    with_tensors = (one for one in found if any(isinstance(part, Tensor) for part in _walk(one)))
    return next(with_tensors, found[0] if found else None)


def _foreign(found: Foreign, path: str | os.PathLike) -> UserError:
    return UserError(
        f"holds an object of type {found.name[:_MAX_NAME]}, which cannot be read without running code, and "
        "no state dict next to it; save the state dict alone: torch.save(model.state_dict(), ...).",
        value=path,
    )


def _tensors(index: Any) -> dict[str, Tensor]:
    items = index.items() if isinstance(index, dict) else ()
    return {str(name): value for name, value in items if isinstance(value, Tensor)}


def _lazy(tensor: Tensor, read: Callable[[Storage], bytes], path: str | os.PathLike) -> LazyArray:
    def array() -> np.ndarray:
        with _damage_as_user_error(path):
            contents = read(tensor.storage)
        numbers = np.frombuffer(contents, tensor.storage.dtype, tensor.storage.size)
        strides = [stride * numbers.itemsize for stride in tensor.strides]
        # Inside the storage: that was checked when the index was read.
        return np.lib.stride_tricks.as_strided(numbers[tensor.offset :], tensor.shape, strides).copy()

    return LazyArray(tensor.shape, array)


@contextlib.contextmanager
def _open_zip(file: IO[bytes], path: str | os.PathLike) -> Iterator[tuple[Any, Callable[[Storage], bytes]]]:
    """Yields the index, and a function that reads a storage."""
    with zipfile.ZipFile(file) as archive:
        indices = [name for name in archive.namelist() if name.endswith("/data.pkl")]
        if len(indices) != 1:
            raise zipfile.BadZipFile("it has no data.pkl")
        root = indices[0].removesuffix("data.pkl")
        members = {info.filename: info for info in archive.infolist()}
        if f"{root}byteorder" in members and _read_member(archive, f"{root}byteorder", 16) != b"little":
            raise _big_endian(path)
        index = read_pickle(io.BytesIO(_read_member(archive, indices[0], _MAX_INDEX)), path)
        for storage in set(_storages(index)):
            info = members.get(f"{root}data/{storage.key}")
            if info is None or info.file_size != storage.size * storage.dtype.itemsize:
                raise zipfile.BadZipFile(f"storage {storage.key[:9]} is not what the index says")

        def read(storage: Storage) -> bytes:
            size = storage.size * storage.dtype.itemsize
            return _read_member(archive, f"{root}data/{storage.key}", size)

        yield index, read


def _read_member(archive: zipfile.ZipFile, name: str, max_bytes: int) -> bytes:
    """Reads a file of the archive, which must be small enough and, as PyTorch writes it, not compressed."""
    info = archive.getinfo(name)
    # Uncompressed members do not overlap, so that none is larger than the archive.
    if info.compress_type != zipfile.ZIP_STORED or info.file_size > min(max_bytes, archive.start_dir):
        raise zipfile.BadZipFile(f"{name} is compressed or larger than it may be")
    return archive.read(info)


@contextlib.contextmanager
def _open_legacy(
    file: IO[bytes], path: str | os.PathLike
) -> Iterator[tuple[Any, Callable[[Storage], bytes]]]:
    """As `_open_zip` for the older format: pickles, then each storage after its number of values."""
    front = io.BytesIO(file.read(_MAX_INDEX))
    read_next = functools.partial(read_pickle, front, path)
    first = read_next()
    foreign = _first_foreign(first)
    if foreign is not None:  # a pickle by itself
        raise _foreign(foreign, path)
    if first != _LEGACY_MAGIC:
        raise BrokenPickleError("it does not begin like one")
    _version, system, index, keys = read_next(), read_next(), read_next(), read_next()
    if not isinstance(system, dict) or not isinstance(keys, list) or not all(map(_is_text, keys)):
        raise BrokenPickleError("it lacks its list of storages")
    if system.get("little_endian") is not True:
        raise _big_endian(path)
    sizes = {storage.key: storage.dtype.itemsize for storage in _storages(index)}
    offsets, offset, end = {}, front.tell(), os.fstat(file.fileno()).st_size
    for key in keys:
        file.seek(offset)
        (count,) = struct.unpack("<q", _read_exactly(file, 8))
        if not 0 <= count <= end or key not in sizes:
            raise BrokenPickleError(f"storage {key} is not in the index")
        offsets[key] = (offset + 8, count)
        offset += 8 + count * sizes[key]
    if offset > end:
        raise EOFError

    def read(storage: Storage) -> bytes:
        start, count = offsets.get(storage.key, (0, -1))
        if count != storage.size:
            raise BrokenPickleError(f"storage {storage.key} has another size than its index says")
        file.seek(start)
        return _read_exactly(file, count * storage.dtype.itemsize)

    yield index, read


def _big_endian(path: str | os.PathLike) -> UserError:
    return UserError("was written on a big-endian machine; save it on a little-endian one.", value=path)


def _storages(index: Any) -> Iterator[Storage]:
    """Yields the storage of each tensor, however deep it is nested."""
    for value in _walk(index):
        if isinstance(value, Tensor):
            yield value.storage
        elif isinstance(value, Storage):  # of an object that is not made
            yield value


def _walk(index: Any) -> Iterator[Any]:
    """Yields an object and all that it contains."""
    visited, waiting = set(), [index]
    while waiting:
        value = waiting.pop()
        yield value
        if isinstance(value, (Tensor, Storage)) or id(value) in visited:
            continue
        if isinstance(value, (dict, list, tuple, Foreign)):
            visited.add(id(value))
            inner = value.parts if isinstance(value, Foreign) else value
            waiting.extend(inner.values() if isinstance(inner, dict) else inner)


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _read_exactly(file: IO[bytes], count: int) -> bytes:
    contents = file.read(count)
    if len(contents) != count:
        raise EOFError
    return contents
