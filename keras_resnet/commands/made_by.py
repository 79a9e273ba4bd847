"""How a result was made: by which command, with which versions."""

import importlib.metadata
import platform
import shlex

from absl import flags

import keras_resnet

_PACKAGES = ("tensorflow", "keras", "tensorflow-datasets", "numpy")


def command(values: flags.FlagValues, *words: str) -> str:
    """The command line: its words, and the flags that were given."""
    given = [values[name].serialize() for name in sorted(values) if not values[name].using_default_value]
    return shlex.join([*words, *given])


def versions() -> dict[str, str]:
    """Of this package, of those it computes with, and of Python."""
    return {
        "keras_resnet": keras_resnet.__version__,
        **{package: importlib.metadata.version(package) for package in _PACKAGES},
        "Python": platform.python_version(),
    }
