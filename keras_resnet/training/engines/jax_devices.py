"""Which devices JAX trains on: one, all of this machine, or those of several machines."""

import contextlib
import importlib.util
import os
import pathlib
from collections.abc import Iterator, Mapping
from typing import Any

import jax

from keras_resnet.errors import UserError
from keras_resnet.training.cluster import CLUSTER_STRATEGIES, EXAMPLE, find_cluster
from keras_resnet.training.signals import lost_worker

# Seconds after which a worker that does not answer counts as lost. XLA then ends the others.
_HEARTBEAT_SECONDS = 30
# Set by Open MPI for the processes that it starts.
_LAUNCHERS = ("OMPI_MCA_orte_hnp_uri", "PMIX_NAMESPACE")


def find_devices(strategy: str) -> list[jax.Device]:
    """Returns the devices that a name of a strategy stands for, as of `make_engine`."""
    _hide_accelerators_from_tensorflow()
    _keep_compiled_steps()
    if strategy in CLUSTER_STRATEGIES:
        _join_cluster(required=strategy == "multi_worker")
        return jax.devices()
    return jax.local_devices()[: 1 if strategy == "none" else None]


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


def _join_cluster(*, required: bool) -> None:
    """Connects this process to the others of its cluster, where there is one.

    Raises:
        UserError: there is none and one is required, or the others cannot be reached.
    """
    if jax.distributed.is_initialized():
        return
    arguments = _arguments(os.environ)
    if arguments is None and not required:
        return
    try:
        jax.distributed.initialize(**(arguments or {}), heartbeat_timeout_seconds=_HEARTBEAT_SECONDS)
    except ValueError as error:
        raise UserError(
            f"needs a list of the machines; set TF_CONFIG on each of them, such as {EXAMPLE}, or start the "
            "processes by srun, mpirun or on a TPU pod.",
            parameter="strategy",
            value="multi_worker",
        ) from error
    except RuntimeError as error:
        raise UserError(
            f"cannot connect to the other workers ({str(error).splitlines()[0][:200]}); all must be started "
            "at about the same time, before anything is computed, and reach the chief.",
            parameter="strategy",
            value="multi_worker" if required else "auto",
        ) from error


def _arguments(environ: Mapping[str, str]) -> dict[str, Any] | None:
    """Returns arguments of `jax.distributed.initialize`, or None where nothing tells of other processes."""
    cluster = find_cluster(environ)
    if cluster is not None and cluster.source == "TF_CONFIG":
        return {
            "coordinator_address": cluster.chief_address,
            "num_processes": len(cluster.tasks),
            "process_id": cluster.tasks.index(cluster.task),
        }
    several_hosts = "," in environ.get("TPU_WORKER_HOSTNAMES", "")
    others = any(environ.get(name) for name in _LAUNCHERS)
    return {} if cluster is not None or several_hosts or others else None


def _hide_accelerators_from_tensorflow() -> None:
    """Keeps TensorFlow, which only reads the images here, from taking the memory of all GPUs."""
    if importlib.util.find_spec("tensorflow") is not None:
        import tensorflow as tf

        tf.config.set_visible_devices([], "GPU")


def _keep_compiled_steps() -> None:
    """Turns JAX's cache of compiled functions on, unless the environment has set its place."""
    if not os.environ.get("JAX_COMPILATION_CACHE_DIR"):
        home = pathlib.Path(os.environ.get("XDG_CACHE_HOME") or pathlib.Path("~/.cache").expanduser())
        jax.config.update("jax_compilation_cache_dir", str(home / "keras_resnet" / "jax"))
