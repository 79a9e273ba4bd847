"""Reads the index of a PyTorch file, a pickle, without running it.

A pickle is a program. This interpreter builds dicts, lists, tuples, numbers, strings and descriptions of
tensors, and calls nothing that the file names: of other objects it keeps the name of their type, and what the
program would have given them.
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
_DICTS = frozenset(
    ("collections.OrderedDict", "collections.defaultdict", "builtins.dict", "__builtin__.dict")
)
_TENSORS = frozenset(("torch._utils._rebuild_tensor", "torch._utils._rebuild_tensor_v2"))
_PARAMETERS = frozenset(("torch._utils._rebuild_parameter", "torch._utils._rebuild_parameter_with_state"))
# A tensor of a subclass, or with attributes.
_SUBCLASS = "torch._tensor._rebuild_from_type_v2"
_MARK = object()
_MAX_AXES = 8
# Instructions that push their argument.
_VALUES = frozenset(
    [
        "BININT",
        "BININT1",
        "BININT2",
        "INT",
        "LONG",
        "LONG1",
        "LONG4",
        "BINFLOAT",
        "FLOAT",
        "BINUNICODE",
        "SHORT_BINUNICODE",
        "BINUNICODE8",
        "UNICODE",
        "STRING",
        "BINSTRING",
        "SHORT_BINSTRING",
        "BINBYTES",
        "SHORT_BINBYTES",
        "BINBYTES8",
        "BYTEARRAY8",
    ]
)
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


class Foreign:
    """Stands for an object of another type: nothing of it was made.

    Args:
        name: of its type, or of the function that would make it.
        parts: its arguments, state and items.
    """

    def __init__(self, name: str, parts: list[Any]):
        self.name, self.parts = name, parts


class BrokenPickleError(Exception):
    """Raised for a damaged program."""


def read_pickle(file: IO[bytes], path: object) -> Any:
    """Reads the pickle at the file's position, and leaves the file behind it.

    Args:
        file: small enough to be held in memory many times over.
        path: for messages.

    Raises:
        BrokenPickleError: the pickle is damaged.
        UserError: it has an instruction that no file of PyTorch has.
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
        case "DICT":
            items = _pop_to_mark(stack)
            stack.append({})
            _set_items(stack[-1], items)
        case "EMPTY_LIST" | "EMPTY_SET":
            stack.append([])
        case "LIST" | "FROZENSET":
            stack.append(_pop_to_mark(stack))
        case "EMPTY_TUPLE":
            stack.append(())
        case "POP":
            stack.pop()
        case "POP_MARK":
            _pop_to_mark(stack)
        case "DUP":
            stack.append(stack[-1])
        case "NONE":
            stack.append(None)
        case "NEWTRUE" | "NEWFALSE":
            stack.append(name == "NEWTRUE")
        case _ if name in _VALUES:
            stack.append(argument)
        case "TUPLE":
            stack.append(tuple(_pop_to_mark(stack)))
        case "TUPLE1" | "TUPLE2" | "TUPLE3":
            items = [stack.pop() for _ in range(int(name[-1]))]
            stack.append(tuple(reversed(items)))
        case "BINPUT" | "LONG_BINPUT" | "PUT":
            memo[argument] = stack[-1]
        case "MEMOIZE":
            memo[len(memo)] = stack[-1]
        case "BINGET" | "LONG_BINGET" | "GET":
            stack.append(memo[argument])
        case "GLOBAL":
            stack.append(_Global(argument.replace(" ", ".")))
        case "STACK_GLOBAL":
            attribute, module = stack.pop(), stack.pop()
            stack.append(_Global(f"{module:s}.{attribute:s}"))
        case "BINPERSID":
            stack.append(_storage(stack.pop()))
        case "REDUCE" | "NEWOBJ":
            arguments = stack.pop()
            stack.append(_call(stack.pop(), arguments))
        case "NEWOBJ_EX":
            options, arguments = stack.pop(), stack.pop()
            stack.append(_call(stack.pop(), (*arguments, options)))
        case "INST":
            arguments = tuple(_pop_to_mark(stack))
            stack.append(_call(_Global(argument.replace(" ", ".")), arguments))
        case "OBJ":
            called, *others = _pop_to_mark(stack)
            stack.append(_call(called, tuple(others)))
        case "SETITEM":
            value, key = stack.pop(), stack.pop()
            _set_items(stack[-1], [key, value])
        case "SETITEMS":
            items = _pop_to_mark(stack)
            _set_items(stack[-1], items)
        case "APPEND":
            value = stack.pop()
            _list(stack[-1]).append(value)
        case "APPENDS" | "ADDITEMS":
            items = _pop_to_mark(stack)
            _list(stack[-1]).extend(items)
        case "BUILD":
            state = stack.pop()
            if isinstance(stack[-1], Foreign):
                stack[-1].parts.append(state)
            else:  # attributes of a state dict: versions of PyTorch's layers
                _set_items(stack[-1], [])
        case _:
            raise UserError(
                f"needs the pickle instruction {name}, which no dict of tensors needs; save the state dict "
                "alone: torch.save(model.state_dict(), ...).",
                value=path,
            )


def _pop_to_mark(stack: list[Any]) -> list[Any]:
    items = []
    while (item := stack.pop()) is not _MARK:
        items.append(item)
    return items[::-1]


def _set_items(target: Any, items: list[Any]) -> None:
    if isinstance(target, Foreign):
        target.parts.extend(items)
        return
    if not isinstance(target, dict):
        raise TypeError("items for something that is not a dict")
    for key, value in zip(items[::2], items[1::2], strict=True):
        # The hash of other keys, such as deeply nested tuples, may overflow the stack.
        target[key if isinstance(key, str) or type(key) is int else _OtherKey()] = value


class _OtherKey:
    """Stands for a key that is neither text nor an integer."""


def _list(target: Any) -> list[Any]:
    if isinstance(target, Foreign):
        return target.parts
    if not isinstance(target, list):
        raise TypeError("items for something that is not a list")
    return target


def _storage(description: Any) -> Storage | Foreign:
    """From ('storage', type, key, device, count), followed by None in the older format."""
    if not isinstance(description, tuple) or len(description) not in (5, 6):
        raise ValueError("an unknown kind of storage")
    word, kind, key, _, count, *view = description
    if word != "storage" or not isinstance(kind, _Global) or any(part is not None for part in view):
        raise ValueError("an unknown kind of storage")
    if kind.name not in _STORAGES:
        return Foreign(kind.name, [])  # of numbers that NumPy does not have
    return Storage(str(_text(key)), _STORAGES[kind.name], _number(count))


def _call(called: Any, arguments: Any) -> Any:
    """Returns what a call would give: a dict or tensor, or what stands for another object."""
    if not isinstance(called, _Global | Foreign) or not isinstance(arguments, tuple):
        raise TypeError("a call of something that cannot be called")
    if called.name in _DICTS:
        return _dict(called.name, arguments)
    if called.name in _PARAMETERS:
        return _tensor(arguments[0])
    if called.name == _SUBCLASS and isinstance(arguments[0], _Global) and arguments[0].name in _TENSORS:
        return _call(arguments[0], arguments[2])
    if called.name in _TENSORS:
        storage, offset, shape, strides = arguments[:4]
        if isinstance(storage, Foreign):
            return storage
        if not isinstance(storage, Storage) or max(len(shape), len(strides)) > _MAX_AXES:
            raise TypeError("a tensor without a storage, or with too many axes")
        return _checked(
            Tensor(storage, _number(offset), tuple(map(_number, shape)), tuple(map(_number, strides)))
        )
    return Foreign(called.name, list(arguments))


def _dict(name: str, arguments: tuple) -> dict:
    """From nothing, a dict, or, as Python 2 wrote it, a list of pairs; `defaultdict` has a factory first."""
    contents = arguments[1:] if name == "collections.defaultdict" else arguments
    if not contents:
        return {}
    if len(contents) > 1 or not isinstance(contents[0], dict | list):
        raise ValueError(f"a call of {name}")
    if isinstance(contents[0], dict):
        return contents[0]
    made: dict = {}
    for pair in contents[0]:
        _set_items(made, pair)
    contents[0].clear()  # or a small file would make many large dicts of it
    return made


def _tensor(value: Any) -> Tensor | Foreign:
    if not isinstance(value, Tensor | Foreign):
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
