"""The exception for mistakes that the caller can fix."""

import os
from collections.abc import Mapping

# Of a message from elsewhere, in characters.
_MAX_LINE = 300


class UserError(ValueError):
    """A mistake the caller can fix: a value, a file or a dataset that cannot be used.

    The message reads `parameter=value: reason`. The command line puts dashes in front of the parameter and
    prints the message instead of a traceback.

    Args:
        reason: why the value cannot be used and what would work, as one sentence.
        parameter: name of the parameter, or None where no parameter is at fault.
        value: the value that was given, or the path of the file at fault.
    """

    def __init__(self, reason: str, *, parameter: str | None = None, value: object = None):
        super().__init__(reason, parameter, value)
        self.reason, self.parameter, self.value = reason, parameter, value

    def __str__(self) -> str:
        value = None if self.value is None else format_value(self.value)
        subject = "=".join(part for part in (self.parameter, value) if part is not None)
        return f"{subject}: {self.reason}" if subject else self.reason


def format_value(value: object) -> str:
    """A parameter's value as it is written on the command line: 0.1, a.jpg, conv2,conv3."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, str | os.PathLike):
        return os.fsdecode(value).encode(errors="backslashreplace").decode()  # a path may not be UTF-8
    if isinstance(value, Mapping):
        return ",".join(f"{key}={format_value(item)}" for key, item in value.items())
    if isinstance(value, list | tuple):
        return ",".join(map(format_value, value))
    return str(value)


def first_line(error: Exception) -> str:
    """Returns the first line of an error's message, without a full stop and of a bounded length."""
    line = str(error).strip().split("\n")[0].rstrip(".")
    return line if len(line) <= _MAX_LINE else f"{line[:_MAX_LINE]}..."
