"""What computes a training: one file for each engine, chosen by Keras' backend.

The loop, recipes, checkpoints and callbacks are the same for all of them.
"""

import contextlib
from typing import Any, Protocol

import keras

from keras_resnet.data.image_arrays import ImageArrays
from keras_resnet.training.cluster import WorkerInfo
from keras_resnet.training.engines.steps import StepFunctions
from keras_resnet.training.recipes import Recipe


class Engine(Protocol):
    """Devices, of one machine or several, and what computes on them.

    Args:
        worker: which of how many workers (machines) this process is.
        devices: number of devices of all workers.
        local_devices: number of devices of this worker.
    """

    worker: WorkerInfo
    devices: int
    local_devices: int

    def scope(self) -> contextlib.AbstractContextManager:
        """The context in which a model is built and trained."""
        ...

    def make_steps(
        self, model: keras.Model, recipe: Recipe, arrays: ImageArrays | None = None, **options: Any
    ) -> StepFunctions:
        """Makes the steps of a model.

        Args:
            arrays: images to keep on the devices, where `keeps_arrays`. Batches are then rows of these, and
                their random numbers, instead of images and labels.
            options: those of `StepFunctions`.
        """
        ...

    # Whether images can live on the devices; else tf.data reads them.
    keeps_arrays: bool

    def all_reduce_sum(self, value: float) -> float:
        """Returns the sum of a value of each worker; waits for all workers."""
        ...

    def handle_lost_workers(self) -> contextlib.AbstractContextManager:
        """Turns the errors of a worker that stopped responding into `Interrupted`."""
        ...

    def synchronize_batch_norm(self, model: keras.Model) -> None:
        """Makes batch norm use the images of all devices, not those of each device as in the paper.

        Call it before the model is trained for the first time.
        """
        ...

    def make_deterministic(self) -> None:
        """Makes every operation compute the same in every run.

        Raises:
            UserError: the engine has no such kernels for these devices.
        """
        ...


def make_engine(strategy: str = "auto") -> Engine:
    """Returns the engine of Keras' backend on the devices to train on.

    Call it before anything is computed; several machines need that.

    Args:
        strategy: "none" for one device; "mirrored" for all of this machine; "multi_worker" for those of all
            machines of a cluster; "auto" for whatever there is.

    Raises:
        UserError: no machines are listed, the environment that lists them is malformed, or something has been
            computed already.
    """
    return _engine_class().on(strategy)


def default_engine() -> Engine:
    """Returns the engine for a call that names none: TensorFlow's strategy in scope, or one device."""
    return _engine_class()()


def _engine_class() -> Any:
    if keras.backend.backend() == "jax":
        from keras_resnet.training.engines.jax import JaxEngine

        return JaxEngine
    from keras_resnet.training.engines.tensorflow import TensorFlowEngine

    return TensorFlowEngine
