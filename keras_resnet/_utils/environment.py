"""Environment variables: what makes TensorFlow faster, and which backend Keras has."""

import importlib.util
import json
import os
import pathlib
import sys

from keras_resnet.errors import UserError

# oneDNN's kernels train a ResNet-50 1.4 times and a CIFAR ResNet-20 twice as fast on a CPU with AVX2, where
# TensorFlow leaves them off (docs/benchmarks.md). For single images they gain nothing or are slower, so only
# work on many images sets this. TensorFlow's own number of threads, that of the cores, stays: fewer were not
# faster.
SETTINGS = {"TF_ENABLE_ONEDNN_OPTS": "1"}
# Those on which the models work.
_BACKENDS = ("tensorflow", "jax", "torch")
# Those that train; the names of modules in training/engines.
ENGINES = ("tensorflow", "jax")
# Instruction sets by which TensorFlow computes bfloat16 faster than float32.
_BFLOAT16_FLAGS = {"avx512_bf16", "amx_bf16"}
_THREADS = ("TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS")


def prepare_training() -> str:
    """Prepares Keras' backend for training, and returns a sentence about what holds now.

    Raises:
        UserError: Keras has a backend that no engine is for.
    """
    require_engine()
    return prepare() if keras_backend() == "tensorflow" else "The steps are compiled and run by JAX."


def prepare() -> str:
    """Sets the variables that the environment leaves unset, and returns a sentence about what holds now.

    Raises:
        UserError: Keras has another backend than TensorFlow.
    """
    require_tensorflow_backend()
    for name, value in SETTINGS.items():
        os.environ.setdefault(name, value)
    values = [f"{name}={os.environ[name]}" for name in (*SETTINGS, *_THREADS) if name in os.environ]
    return f"TensorFlow runs with {', '.join(values)} (set by the environment, or else for training)."


def computes_bfloat16(cpuinfo: str | os.PathLike = "/proc/cpuinfo") -> bool:
    """Returns whether this machine's processor multiplies bfloat16, as Linux describes it (x86 only).

    Args:
        cpuinfo: file of the description; other systems have none.
    """
    try:
        lines = pathlib.Path(cpuinfo).read_text(encoding="utf-8").splitlines()
    except OSError:
        return False
    flags = next((line.split() for line in lines if line.startswith("flags")), [])
    return not _BFLOAT16_FLAGS.isdisjoint(flags)


def require_engine() -> None:
    """Checks that there is an engine to train with for Keras' backend.

    Raises:
        UserError: there is none.
    """
    name = keras_backend()
    if name not in ENGINES:
        raise UserError(
            f"cannot train; set KERAS_BACKEND to {' or '.join(ENGINES)} before Keras is imported.",
            value=f"KERAS_BACKEND={name}",
        )
    require_installed_backend()


def set_backend(name: str) -> None:
    """Chooses what Keras computes with, before it is imported.

    Raises:
        UserError: there is no such engine, or Keras is already imported with another one.
    """
    if name not in ENGINES:
        raise UserError(f"must be one of {', '.join(ENGINES)}.", parameter="backend", value=name)
    if "keras" in sys.modules and keras_backend() != name:
        raise UserError(
            f"Keras has already been imported with {keras_backend()}, and a process has one backend; set "
            f"KERAS_BACKEND={name} before it starts.",
            parameter="backend",
            value=name,
        )
    os.environ["KERAS_BACKEND"] = name


def require_tensorflow_backend() -> None:
    """Checks that Keras computes with TensorFlow, or will when it is imported.

    Raises:
        UserError: it has, or would get, another backend.
    """
    name = keras_backend()
    if name != "tensorflow":
        raise UserError(
            "prediction, evaluation and export need Keras' TensorFlow backend; set "
            "KERAS_BACKEND=tensorflow before Keras is imported.",
            value=f"KERAS_BACKEND={name}",
        )


def require_installed_backend() -> None:
    """Checks that Keras can be imported with its backend, for what works on any.

    Raises:
        UserError: there is no such backend, or its package is not installed.
    """
    name = keras_backend()
    if name not in _BACKENDS or importlib.util.find_spec(name) is None:
        hint = "; pip install 'keras-resnet-applications[jax]' installs it" if name == "jax" else ""
        raise UserError(
            f"is not a backend of Keras that is installed; use one of {', '.join(_BACKENDS)}{hint}.",
            value=f"KERAS_BACKEND={name}",
        )


def keras_backend() -> str:
    """Returns the backend of Keras, by its own rules where it has not been imported yet."""
    keras = sys.modules.get("keras")
    if keras is not None and hasattr(keras, "config"):
        return keras.config.backend()
    if os.environ.get("KERAS_BACKEND"):
        return os.environ["KERAS_BACKEND"]
    home = pathlib.Path(os.environ.get("KERAS_HOME") or pathlib.Path("~/.keras").expanduser())
    try:
        return json.loads((home / "keras.json").read_text(encoding="utf-8")).get("backend", "tensorflow")
    except (OSError, ValueError, AttributeError):
        return "tensorflow"
