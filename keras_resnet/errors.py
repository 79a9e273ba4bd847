"""The exception for mistakes that the caller can fix."""

import os
from collections.abc import Mapping

# In characters: of a message from elsewhere, and of what a message of this package says.
_MAX_LINE, _MAX_VALUE, _MAX_REASON = 300, 1000, 2000


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
        value = None if self.value is None else _shortened(format_value(self.value), _MAX_VALUE)
        subject = "=".join(part for part in (self.parameter, value) if part is not None)
        reason = _shortened(self.reason, _MAX_REASON)
        return f"{subject}: {reason}" if subject else reason


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
    return _shortened(str(error).strip().split("\n")[0].rstrip("."), _MAX_LINE)


def _shortened(text: str, length: int) -> str:
    return text if len(text) <= length else f"{text[:length]}..."
