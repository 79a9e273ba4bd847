"""The index of a PyTorch file, read without running it.

A pickle is a program. Here it is not run but read, by an interpreter that knows the few instructions which
dicts, lists, tuples, numbers, strings and tensors take, and which calls nothing that the file names.
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
_MOST_AXES = 8
# Letters of a name in a message.
_SHOWN = 80
# What a damaged or made-up program can make the interpreter stumble over.
_STUMBLES = (ArithmeticError, AttributeError, LookupError, TypeError, ValueError)


class Storage(NamedTuple):
    """A row of numbers of one type in the file, under a key."""

    key: str
    dtype: np.dtype
    size: int


class Tensor(NamedTuple):
    """Which numbers of a storage a tensor has: strides and offset in numbers."""

    storage: Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


class _Global(NamedTuple):
    """Something that the file names; only ever compared with the names known here."""

    name: str


class BrokenPickleError(Exception):
    """The program is damaged."""


def read_pickle(file: IO[bytes], path: object) -> Any:
    """What the pickle at this place of a file describes; the file is behind it afterwards.

    Args:
        file: no larger than may be held in memory, many times over.
        path: for messages.

    Raises:
        BrokenPickleError: it is damaged.
        UserError: it needs an object of another kind, which is named.
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
    except _STUMBLES as error:
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
            stack.append(tuple(_down_to_mark(stack)))
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
            stack.append(_made(stack.pop(), arguments))
        case "SETITEM":
            value, key = stack.pop(), stack.pop()
            _put(stack[-1], [key, value])
        case "SETITEMS":
            items = _down_to_mark(stack)
            _put(stack[-1], items)
        case "APPEND":
            value = stack.pop()
            _list(stack[-1]).append(value)
        case "APPENDS":
            items = _down_to_mark(stack)
            _list(stack[-1]).extend(items)
        case "BUILD":
            stack.pop()  # attributes of a state dict: versions of PyTorch's layers
            _put(stack[-1], [])
        case _:
            raise UserError(
                f"{path} needs the pickle instruction {name}, which no dict of tensors needs; save the state "
                "dict alone: torch.save(model.state_dict(), ...)."
            )


def _known(name: str, path: object) -> _Global:
    if name not in _KNOWN:
        raise UserError(
            f"{path} holds an object of the kind {name[:_SHOWN]}, which would have to be run to be read; "
            "save the state dict alone: torch.save(model.state_dict(), ...)."
        )
    return _Global(name)


def _down_to_mark(stack: list[Any]) -> list[Any]:
    items = []
    while (item := stack.pop()) is not _MARK:
        items.append(item)
    return items[::-1]


def _put(target: Any, items: list[Any]) -> None:
    if not isinstance(target, dict):
        raise TypeError("items for what is no dict")
    for key, value in zip(items[::2], items[1::2], strict=True):
        # Nothing else: the hash of a tuple in a tuple in a tuple ... overflows the stack.
        target[key if isinstance(key, str) else _number(key)] = value


def _list(target: Any) -> list[Any]:
    if not isinstance(target, list):
        raise TypeError("items for what is no list")
    return target


def _storage(identity: Any) -> Storage:
    """('storage', type, key, device, count), and None in the older format."""
    if not isinstance(identity, tuple) or len(identity) not in (5, 6):
        raise ValueError("an unknown kind of storage")
    word, kind, key, _, count, *view = identity
    if word != "storage" or not isinstance(kind, _Global) or any(part is not None for part in view):
        raise ValueError("an unknown kind of storage")
    return Storage(str(_text(key)), _STORAGES[kind.name], _number(count))


def _made(called: Any, arguments: Any) -> Any:
    if not isinstance(called, _Global) or not isinstance(arguments, tuple):
        raise TypeError("a call of what cannot be called")
    if called.name == _DICT and not arguments:
        return {}
    if called.name == _PARAMETER:
        return _tensor(arguments[0])
    if called.name == _TENSOR:
        storage, offset, shape, strides = arguments[:4]
        if not isinstance(storage, Storage) or max(len(shape), len(strides)) > _MOST_AXES:
            raise TypeError("a tensor of no storage, or of too many axes")
        return _within(
            Tensor(storage, _number(offset), tuple(map(_number, shape)), tuple(map(_number, strides)))
        )
    raise ValueError(f"a call of {called.name}")


def _tensor(value: Any) -> Tensor:
    if not isinstance(value, Tensor):
        raise TypeError("a parameter that is no tensor")
    return value


def _within(tensor: Tensor) -> Tensor:
    """The tensor, which has no more numbers than its storage, and none outside of it."""
    numbers, last = 1, tensor.offset
    for size, stride in zip(tensor.shape, tensor.strides, strict=True):
        numbers *= size
        last += (size - 1) * stride
    if numbers > tensor.storage.size or (numbers and last >= tensor.storage.size):
        raise ValueError("a tensor that is larger than its storage")
    return tensor


def _number(value: Any) -> int:
    if type(value) is not int or not 0 <= value < 2**40:
        raise ValueError("a size that is none")
    return value


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError("a name that is no text")
    return value
