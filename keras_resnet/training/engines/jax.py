"""The JAX engine: see `Engine`; its steps are in `jax_steps.py`, its devices in `jax_mesh.py`."""

import contextlib
from collections.abc import Sequence
from typing import Any

import jax
import keras

from keras_resnet.data.image_arrays import ImageArrays
from keras_resnet.errors import UserError
from keras_resnet.training.engines.jax_arrays import JaxArraySteps
from keras_resnet.training.engines.jax_devices import find_devices, handle_lost_workers
from keras_resnet.training.engines.jax_mesh import DeviceMesh
from keras_resnet.training.engines.jax_steps import JaxSteps
from keras_resnet.training.engines.steps import StepFunctions
from keras_resnet.training.recipes import Recipe


class JaxEngine:
    """Computes with JAX; see `Engine`.

    Args:
        devices: by default the first of this machine.
    """

    keeps_arrays = True

    def __init__(self, devices: Sequence[jax.Device] | None = None):
        self._mesh = DeviceMesh(devices or jax.local_devices()[:1])
        self.devices, self.local_devices = self._mesh.devices, self._mesh.local_devices
        self.worker = self._mesh.worker
        self.share = self._mesh.share

    @classmethod
    def on(cls, strategy: str) -> "JaxEngine":
        """An engine on the devices that a name of a strategy stands for."""
        return cls(find_devices(strategy))

    def scope(self) -> contextlib.AbstractContextManager:
        return contextlib.nullcontext()

    def make_steps(
        self, model: keras.Model, recipe: Recipe, arrays: ImageArrays | None = None, **options: Any
    ) -> StepFunctions:
        if arrays is None:
            return JaxSteps(self._mesh, model, recipe, **options)
        return JaxArraySteps(self._mesh, arrays, model, recipe, **options)

    def all_reduce_sum(self, value: float) -> float:
        if self.worker.workers == 1:
            return float(value)
        with self.handle_lost_workers():
            return self._mesh.sum(value)

    def handle_lost_workers(self) -> contextlib.AbstractContextManager:
        return handle_lost_workers() if self.worker.workers > 1 else contextlib.nullcontext()

    def synchronize_batch_norm(self, model: keras.Model) -> None:
        # The layers stay as they are: the whole batch is normalized at once.
        self._mesh.global_batch_norm = True

    def make_deterministic(self) -> None:
        if jax.default_backend() == "gpu":
            raise UserError(
                "XLA has no deterministic gradient of max pooling on a GPU; train with "
                "KERAS_BACKEND=tensorflow, or without it.",
                parameter="deterministic",
                value=True,
            )
