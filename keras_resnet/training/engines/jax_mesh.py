"""The devices that JAX computes on, of this machine or several, and the arrays on them."""

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from keras_resnet.training.cluster import WorkerInfo

# The mesh's only axis: the devices, each with its share of every batch.
DEVICES = "devices"
_REPLICATED = PartitionSpec()


class DeviceMesh:
    """Devices in a row, and what is copied to them and compiled for them.

    Args:
        devices: of one process, or the same ones in each of several.
    """

    def __init__(self, devices: Sequence[jax.Device]):
        self._mesh = Mesh(np.array(devices), (DEVICES,))
        self.devices = len(devices)
        self.local_devices = sum(device.process_index == jax.process_index() for device in devices)
        several = len({device.process_index for device in devices}) > 1
        self.worker = WorkerInfo(jax.process_index(), jax.process_count()) if several else WorkerInfo(0, 1)
        # Whether batch norm is over all devices, and not over the images of each as in the paper.
        self.global_batch_norm = False

    @property
    def per_device(self) -> bool:
        """Whether a training step computes on each device by itself, with the batch norm of the paper."""
        return self.devices > 1 and not self.global_batch_norm

    @property
    def platform(self) -> str:
        """The kind of the devices: "cpu", "gpu" or "tpu"."""
        return self._mesh.devices.flat[0].platform

    def sum(self, value: float) -> float:
        """Returns the sum of a value of each worker; waits for all workers."""
        return float(self._reduce(jnp.sum, np.float32(value / self.local_devices)))

    def largest(self, number: int) -> int:
        """Returns the largest of the numbers of all workers, of which all must call this."""
        if self.worker.workers == 1:
            return number
        return int(self._reduce(jnp.max, np.int32(number)))

    def _reduce(self, function: Callable, value: np.generic) -> jax.Array:
        """Applies a function to an array that has each worker's value once for each of its devices."""
        own = self.share(np.full(self.local_devices, value))
        return jax.jit(function, out_shardings=self._sharding(_REPLICATED))(own)

    def share(self, array: Any, axis: int = 0) -> jax.Array:
        """Copies this worker's share of a batch to its devices, in equal parts along an axis.

        What is there stays.
        """
        if isinstance(array, jax.Array):
            return array
        return jax.make_array_from_process_local_data(self._sharding(_along(axis)), narrow(np.asarray(array)))

    def replicate(self, array: Any) -> jax.Array:
        """Copies an array to every device, into memory that belongs to the copy alone."""
        return jax.make_array_from_process_local_data(self._sharding(_REPLICATED), np.array(array))

    def compile(
        self,
        function: Callable,
        shared: Sequence[int | None],
        *,
        per_device: bool,
        donate: Sequence[int] = (),
    ) -> Callable:
        """Compiles a function for all devices.

        Args:
            function: of pytrees.
            shared: for each argument the axis along which it is divided among the devices; None: each has
                all of it.
            per_device: calls the function on each device with its own part, in which `jax.lax.psum` adds up
                over the axis "devices"; else once, with all parts as one.
            donate: arguments whose memory the results may take.

        Returns:
            The function, whose results are the same on every device.
        """
        specs = tuple(map(_along, shared))
        if per_device:
            function = jax.shard_map(
                function, mesh=self._mesh, in_specs=specs, out_specs=_REPLICATED, check_vma=False
            )
        shardings = tuple(map(self._sharding, specs))
        return jax.jit(
            function,
            in_shardings=shardings,
            out_shardings=self._sharding(_REPLICATED),
            donate_argnums=tuple(donate),
        )

    def _sharding(self, spec: PartitionSpec) -> NamedSharding:
        return NamedSharding(self._mesh, spec)


def _along(axis: int | None) -> PartitionSpec:
    return _REPLICATED if axis is None else PartitionSpec(*[None] * axis, DEVICES)


def narrow(array: np.ndarray) -> np.ndarray:
    """Casts integers of 64 bits to 32, as JAX does."""
    return array.astype("int32") if array.dtype.kind in "iu" and array.dtype.itemsize > 4 else array
