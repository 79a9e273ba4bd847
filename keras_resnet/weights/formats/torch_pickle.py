"""Reads the index of a PyTorch file, a pickle, without running it.

A pickle is a program. This interpreter knows only the few instructions that dicts, lists, tuples, numbers,
strings and tensors need, and calls nothing that the file names.
"""

import pickletools
from typing import IO, Any, NamedTuple

import ml_dtypes
import numpy as np

from keras_resnet.errors import UserError

_STORAGES = {
    f"torch.{name}Storage": np.dtype(kind)
    for name, kind in {
        "Float": "float32",
        "Double": "float64",
        "Half": "float16",
        "BFloat16": ml_dtypes.bfloat16,
        "Long": "int64",
        "Int": "int32",
        "Short": "int16",
        "Char": "int8",
        "Byte": "uint8",
        "Bool": "bool",
    }.items()
}
_DICT, _TENSOR, _PARAMETER = (
    "collections.OrderedDict",
    "torch._utils._rebuild_tensor_v2",
    "torch._utils._rebuild_parameter",
)
_KNOWN = {_DICT, _TENSOR, _PARAMETER, *_STORAGES}
_MARK = object()
_MAX_AXES = 8
# Characters of a name in a message.
_MAX_NAME = 80
# What damaged or forged programs make the interpreter raise.
_BROKEN = (ArithmeticError, AttributeError, LookupError, TypeError, ValueError)


class Storage(NamedTuple):
    """A sequence of numbers of one type in the file, under a key."""

    key: str
    dtype: np.dtype
    size: int


class Tensor(NamedTuple):
    """The part of a storage that a tensor consists of; strides and offset count numbers."""

    storage: Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


class _Global(NamedTuple):
    """An object that the file names; it is only ever compared with the names known here."""

    name: str


class BrokenPickleError(Exception):
    """Raised for a damaged program."""


def read_pickle(file: IO[bytes], path: object) -> Any:
    """Reads the pickle at the file's position, and leaves the file behind it.

    Args:
        file: small enough to be held in memory many times over.
        path: for messages.

    Raises:
        BrokenPickleError: the pickle is damaged.
        UserError: it needs an object of another kind; the message names it.
    """
    stack: list[Any] = []
    memo: dict[int, Any] = {}
    try:
        for opcode, argument, _ in pickletools.genops(file):
            if opcode.name == "STOP":
                return stack.pop()
            _execute(opcode.name, argument, stack, memo, path)
    except UserError:
        raise
    except _BROKEN as error:
        raise BrokenPickleError(str(error)) from error
    raise BrokenPickleError("it has no end")


def _execute(name: str, argument: Any, stack: list[Any], memo: dict[int, Any], path: object) -> None:
    match name:
        case "PROTO" | "FRAME":
            pass
        case "MARK":
            stack.append(_MARK)
        case "EMPTY_DICT":
            stack.append({})
        case "EMPTY_LIST":
            stack.append([])
        case "EMPTY_TUPLE":
            stack.append(())
        case "NONE":
            stack.append(None)
        case "NEWTRUE" | "NEWFALSE":
            stack.append(name == "NEWTRUE")
        case "BININT" | "BININT1" | "BININT2" | "LONG1" | "BINFLOAT" | "BINUNICODE" | "SHORT_BINUNICODE":
            stack.append(argument)
        case "TUPLE":
            stack.append(tuple(_pop_to_mark(stack)))
        case "TUPLE1" | "TUPLE2" | "TUPLE3":
            items = [stack.pop() for _ in range(int(name[-1]))]
            stack.append(tuple(reversed(items)))
        case "BINPUT" | "LONG_BINPUT":
            memo[argument] = stack[-1]
        case "MEMOIZE":
            memo[len(memo)] = stack[-1]
        case "BINGET" | "LONG_BINGET":
            stack.append(memo[argument])
        case "GLOBAL":
            stack.append(_known(argument.replace(" ", "."), path))
        case "STACK_GLOBAL":
            attribute, module = stack.pop(), stack.pop()
            stack.append(_known(f"{module:s}.{attribute:s}", path))
        case "BINPERSID":
            stack.append(_storage(stack.pop()))
        case "REDUCE":
            arguments = stack.pop()
            stack.append(_call(stack.pop(), arguments))
        case "SETITEM":
            value, key = stack.pop(), stack.pop()
            _set_items(stack[-1], [key, value])
        case "SETITEMS":
            items = _pop_to_mark(stack)
            _set_items(stack[-1], items)
        case "APPEND":
            value = stack.pop()
            _list(stack[-1]).append(value)
        case "APPENDS":
            items = _pop_to_mark(stack)
            _list(stack[-1]).extend(items)
        case "BUILD":
            stack.pop()  # attributes of a state dict: versions of PyTorch's layers
            _set_items(stack[-1], [])
        case _:
            raise UserError(
                f"needs the pickle instruction {name}, which no dict of tensors needs; save the state dict "
                "alone: torch.save(model.state_dict(), ...).",
                value=path,
            )


def _known(name: str, path: object) -> _Global:
    if name not in _KNOWN:
        raise UserError(
            f"holds an object of type {name[:_MAX_NAME]}, which cannot be read without running code; save "
            "the state dict alone: torch.save(model.state_dict(), ...).",
            value=path,
        )
    return _Global(name)


def _pop_to_mark(stack: list[Any]) -> list[Any]:
    items = []
    while (item := stack.pop()) is not _MARK:
        items.append(item)
    return items[::-1]


def _set_items(target: Any, items: list[Any]) -> None:
    if not isinstance(target, dict):
        raise TypeError("items for something that is not a dict")
    for key, value in zip(items[::2], items[1::2], strict=True):
        # No other keys: the hash of deeply nested tuples overflows the stack.
        target[key if isinstance(key, str) else _number(key)] = value


def _list(target: Any) -> list[Any]:
    if not isinstance(target, list):
        raise TypeError("items for something that is not a list")
    return target


def _storage(description: Any) -> Storage:
    """From ('storage', type, key, device, count), followed by None in the older format."""
    if not isinstance(description, tuple) or len(description) not in (5, 6):
        raise ValueError("an unknown kind of storage")
    word, kind, key, _, count, *view = description
    if word != "storage" or not isinstance(kind, _Global) or any(part is not None for part in view):
        raise ValueError("an unknown kind of storage")
    return Storage(str(_text(key)), _STORAGES[kind.name], _number(count))


def _call(called: Any, arguments: Any) -> Any:
    if not isinstance(called, _Global) or not isinstance(arguments, tuple):
        raise TypeError("a call of something that cannot be called")
    if called.name == _DICT and not arguments:
        return {}
    if called.name == _PARAMETER:
        return _tensor(arguments[0])
    if called.name == _TENSOR:
        storage, offset, shape, strides = arguments[:4]
        if not isinstance(storage, Storage) or max(len(shape), len(strides)) > _MAX_AXES:
            raise TypeError("a tensor without a storage, or with too many axes")
        return _checked(
            Tensor(storage, _number(offset), tuple(map(_number, shape)), tuple(map(_number, strides)))
        )
    raise ValueError(f"a call of {called.name}")


def _tensor(value: Any) -> Tensor:
    if not isinstance(value, Tensor):
        raise TypeError("a parameter that is not a tensor")
    return value


def _checked(tensor: Tensor) -> Tensor:
    """Returns the tensor if all of its numbers are in its storage, and no more of them than there are."""
    numbers, last = 1, tensor.offset
    for size, stride in zip(tensor.shape, tensor.strides, strict=True):
        numbers *= size
        last += (size - 1) * stride
    if numbers > tensor.storage.size or (numbers and last >= tensor.storage.size):
        raise ValueError("a tensor that is larger than its storage")
    return tensor


def _number(value: Any) -> int:
    if type(value) is not int or not 0 <= value < 2**40:
        raise ValueError("a size out of range")
    return value


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError("a name that is not text")
    return value
