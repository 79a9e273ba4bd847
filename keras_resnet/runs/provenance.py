"""How a result was made: the command that repeats it, and the versions of the packages that compute it."""

import dataclasses
import importlib.metadata
import platform
import shlex
from typing import Any

import keras_resnet
from keras_resnet.data.dataset import Dataset
from keras_resnet.errors import format_value
from keras_resnet.models.architectures import Architecture
from keras_resnet.training.recipes import Recipe

_PACKAGES = ("tensorflow", "keras", "tensorflow-datasets", "numpy")


def command_of(config: Any, command: str, *arguments: str) -> str:
    """The command line that says the same as a configuration: its fields that are not the defaults.

    Objects that have no flag, such as an `Architecture`, are written as `FIELD=<Architecture>`.

    Args:
        config: a frozen dataclass whose fields are flags.
        command: words of the command, such as "train".
    """
    flags = []
    for field in dataclasses.fields(config):
        value = getattr(config, field.name)
        if value == field.default:
            continue
        if isinstance(value, Dataset | Recipe | Architecture):
            flags.append(f"{field.name}=<{type(value).__name__}>")
        elif isinstance(value, bool):
            flags.append(f"--{'' if value else 'no'}{field.name}")
        else:
            flags.append(f"--{field.name}={format_value(value)}")
    return shlex.join(["keras-resnet", *command.split(), *arguments, *sorted(flags)])


def versions() -> dict[str, str]:
    """Versions of this package, of those it computes with, and of Python."""
    return {
        "keras_resnet": keras_resnet.__version__,
        **{package: importlib.metadata.version(package) for package in _PACKAGES},
        "Python": platform.python_version(),
    }
