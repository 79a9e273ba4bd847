"""Which devices JAX trains on: one, all of this machine, or those of several machines."""

import contextlib
import importlib.util
from collections.abc import Iterator

import jax

from keras_resnet.training.signals import lost_worker


def find_devices(strategy: str) -> list[jax.Device]:
    """Returns the devices that a name of a strategy stands for, as of `make_engine`."""
    _hide_accelerators_from_tensorflow()
    return jax.local_devices()[:1] if strategy == "none" else jax.devices()


def _hide_accelerators_from_tensorflow() -> None:
    """Keeps TensorFlow, which only reads the images here, from taking the memory of all GPUs."""
    if importlib.util.find_spec("tensorflow") is not None:
        import tensorflow as tf

        tf.config.set_visible_devices([], "GPU")


@contextlib.contextmanager
def handle_lost_workers() -> Iterator[None]:
    """Turns the errors of a worker that stopped responding into `Interrupted`.

    Raises:
        Interrupted: with the exit status for temporary failures.
    """
    try:
        yield
    except jax.errors.JaxRuntimeError as error:
        raise lost_worker(str(error)) from error
