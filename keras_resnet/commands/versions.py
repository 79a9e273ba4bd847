"""The versions that a result depends on."""

import importlib.metadata
import platform

import keras_resnet

_PACKAGES = ("tensorflow", "keras", "tensorflow-datasets", "numpy")


def versions() -> dict[str, str]:
    """Of this package, of those it computes with, and of Python."""
    return {
        "keras_resnet": keras_resnet.__version__,
        **{package: importlib.metadata.version(package) for package in _PACKAGES},
        "Python": platform.python_version(),
    }
