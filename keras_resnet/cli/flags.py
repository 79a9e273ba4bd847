"""From option tables to flags, and from flags to configurations.

Defaults and limits live in the configurations: a flag only says what the user gave.
"""

import dataclasses
import re
from collections.abc import Collection
from typing import Any, TypeVar

from absl import flags

from keras_resnet.errors import UserError, format_value
from keras_resnet.runs.options import Option, options_of

_T = TypeVar("_T")


class _Number(flags.ArgumentParser):
    def __init__(self, convert: type, kind: str):
        super().__init__()
        self._convert, self._kind = convert, kind
        self.syntactic_help = kind

    def parse(self, argument: Any) -> Any:
        try:
            return self._convert(argument)
        except ValueError as error:
            raise ValueError(f"must be {self._kind}.") from error


_PARSERS = {"int": _Number(int, "an integer"), "float": _Number(float, "a number")}

# Parameters that commands take by their position, whose names nobody writes.
_POSITIONAL = ("models", "folder", "out")


def define(values: flags.FlagValues, config: type, names: Collection[str] | None = None) -> None:
    """Defines a flag for each option of a configuration class, or for those of these names."""
    defaults = {field.name: field.default for field in dataclasses.fields(config)}
    for name, option in options_of(config).items():
        if names is None or name in names:
            define_flag(values, name, option, defaults[name])


def define_flag(values: flags.FlagValues, name: str, option: Option, default: object = None) -> None:
    """Defines one flag; its help names the default where there is one."""
    text = option.help
    if default not in (None, False, ()):
        text = f"{text} (default {format_value(default)})"
    group: dict[str, Any] = {"flag_values": values, "module_name": option.group}
    if option.kind == "bool":
        flags.DEFINE_boolean(name, None, text, **group)
    elif option.kind in _PARSERS:
        flags.DEFINE(_PARSERS[option.kind], name, None, text, **group)
    elif option.kind == "str":
        flags.DEFINE_string(name, None, text, **group)
    else:
        flags.DEFINE_list(name, None, text, **group)


def present_flags(values: flags.FlagValues, config: type) -> dict[str, Any]:
    """The fields of a configuration that the user gave as flags.

    Raises:
        UserError: an item of a list is not a number.
    """
    present = {}
    for name, option in options_of(config).items():
        if name in values and values[name].present:
            present[name] = parse_list(name, values[name].value, option)
    return present


def parse_list(name: str, value: Any, option: Option) -> Any:
    """The value of a flag, with the items of a list as numbers where the option wants numbers."""
    if option.kind == "mapping":
        return _parse_mapping(name, value, option)
    parser = _PARSERS.get(option.kind.removesuffix("s"))
    if not isinstance(value, list) or parser is None:
        return value
    try:
        return [parser.parse(item) for item in value]
    except ValueError as error:
        raise UserError(
            f"must be {parser.syntactic_help.split()[-1]}s with commas between them.",
            parameter=name,
            value=value,
        ) from error


def _parse_mapping(name: str, items: list[str], option: Option) -> Any:
    """One of the option's choices, or numbers by name."""
    if len(items) == 1 and items[0] in option.choices:
        return items[0]
    try:
        pairs = [item.rsplit("=", 1) for item in items]
        return {key: float(number) for key, number in pairs}
    except ValueError as error:
        choices = ", ".join(option.choices)
        raise UserError(
            f"must be {choices} or pairs NAME=NUMBER with commas between them.", parameter=name, value=items
        ) from error


def config_from_flags(values: flags.FlagValues, config: type[_T], **fields: Any) -> _T:
    """The configuration that the flags describe.

    Raises:
        UserError: a flag has a value that its field does not take.
    """
    return config(**{**present_flags(values, config), **fields})


def with_dashes(error: UserError, known: Collection[str]) -> str:
    """An error's message with dashes in front of the names of flags."""
    if error.parameter in _POSITIONAL:
        error = UserError(error.reason, value=error.value)
    text = str(error)
    if error.parameter in known:
        text = f"--{text}"
    names = "|".join(sorted(map(re.escape, known), key=len, reverse=True))
    return re.sub(rf"(?<![\w/.=-])({names})(?==)", r"--\1", text) if names else text
