"""Fields of a configuration: their defaults, their help, and which values they take.

The same table checks a value given in Python and defines the flag of the command line.
"""

import dataclasses
import difflib
import math
import numbers
import os
import typing
from collections.abc import Mapping
from typing import Any, TypeVar

from keras_resnet.errors import UserError

_T = TypeVar("_T")


@dataclasses.dataclass(frozen=True)
class Option:
    """What a field of a configuration takes.

    Args:
        help: one sentence that stands alone, with unit and default.
        kind: "int", "float", "bool", "str", "ints", "floats" or "strs" (lists), "mapping" (a float by name,
            or one of the choices).
        choices: the values it takes; empty: any.
        minimum, maximum: bounds of a number, both included.
        above: lower bound of a number that is not included itself.
        below: upper bound of a number that is not included itself.
        group: heading of the flag in the command line's help; empty for fields without a flag.
        objects: a class whose objects the field takes as they are, from Python.
    """

    help: str
    kind: str = "str"
    choices: tuple[str, ...] = ()
    minimum: float | None = None
    maximum: float | None = None
    above: float | None = None
    below: float | None = None
    group: str = ""
    objects: type | None = None


def option(default: _T, help: str, kind: str = "str", *, group: str = "", **limits: Any) -> _T:
    """A field of a frozen dataclass with its `Option`."""
    made = Option(help, kind, group=group, **limits)
    return dataclasses.field(default=default, metadata={"option": made})


def options_of(config: Any) -> dict[str, Option]:
    """The options of a configuration class or object by field name."""
    return {
        field.name: field.metadata["option"]
        for field in dataclasses.fields(config)
        if "option" in field.metadata
    }


def check_options(config: Any) -> None:
    """Checks every field of a frozen configuration, and turns lists into tuples and paths into strings.

    Raises:
        UserError: a field does not take its value.
    """
    defaults = {field.name: field.default for field in dataclasses.fields(config)}
    for name, limits in options_of(config).items():
        value = getattr(config, name)
        if limits.objects is not None and isinstance(value, limits.objects):
            continue
        if value is not None or defaults[name] is not None:
            object.__setattr__(config, name, check_value(name, value, limits))


def make_config(kind: type[_T], config: "_T | None", fields: Mapping[str, Any]) -> _T:
    """A configuration from an object, from keyword arguments, or from both: the arguments win.

    Raises:
        UserError: a field is unknown or does not take its value.
    """
    names = [field.name for field in dataclasses.fields(typing.cast(Any, kind))]
    for name in fields:
        if name not in names:
            close = difflib.get_close_matches(name, names, 1)
            hint = f"did you mean {close[0]}?" if close else f"the fields are {', '.join(names)}."
            raise UserError(f"{kind.__name__} has no such field; {hint}", parameter=name, value=fields[name])
    if config is None:
        return kind(**fields)
    if not isinstance(config, kind):
        raise UserError(f"must be a {kind.__name__}; got a {type(config).__name__}.", parameter="config")
    return dataclasses.replace(typing.cast(Any, config), **fields) if fields else config


def check_value(name: str, value: Any, limits: Option) -> Any:
    """The value, with lists as tuples.

    Raises:
        UserError: the option does not take it.
    """
    if limits.kind in ("ints", "floats", "strs"):
        items = [value] if isinstance(value, str | numbers.Real) else value
        if not isinstance(items, list | tuple):
            raise UserError("must be a list.", parameter=name, value=value)
        single = dataclasses.replace(limits, kind=limits.kind[:-1])
        return tuple(check_value(name, item, single) for item in items)
    if limits.kind == "mapping" and isinstance(value, Mapping):
        return {str(key): _check_number(name, item, limits) for key, item in value.items()}
    if limits.kind == "mapping" and value not in limits.choices:
        return _refuse(name, value, f"must be {', '.join(limits.choices)} or numbers by name")
    if limits.kind in ("str", "mapping"):
        if not isinstance(value, str | os.PathLike):
            return _refuse(name, value, "must be a string")
        if limits.choices and value not in limits.choices:
            return _refuse(name, value, f"must be one of {', '.join(limits.choices)}")
        return os.fspath(value)
    if limits.kind == "bool":
        return value if isinstance(value, bool) else _refuse(name, value, "must be True or False")
    return _check_number(name, value, limits)


def _check_number(name: str, value: Any, limits: Option) -> Any:
    integral = limits.kind == "int"
    if isinstance(value, bool) or not isinstance(value, numbers.Integral if integral else numbers.Real):
        return _refuse(name, value, f"must be {'an integer' if integral else 'a number'}")
    number = int(typing.cast(int, value)) if integral else float(value)
    if not math.isfinite(number):
        return _refuse(name, value, "must be a finite number")
    for wrong, bound in (
        (limits.minimum is not None and number < limits.minimum, f"at least {limits.minimum}"),
        (limits.above is not None and number <= limits.above, f"greater than {limits.above}"),
        (limits.maximum is not None and number > limits.maximum, f"at most {limits.maximum}"),
        (limits.below is not None and number >= limits.below, f"less than {limits.below}"),
    ):
        if wrong:
            return _refuse(name, value, f"must be {bound}")
    return number


def _refuse(name: str, value: Any, reason: str) -> typing.NoReturn:
    raise UserError(f"{reason}.", parameter=name, value=value)
