"""Where training runs: one device, every GPU of the machine, or several machines."""

import contextlib
import functools
from collections.abc import Iterator, Sequence
from typing import Any

import tensorflow as tf

from keras_resnet.errors import UserError
from keras_resnet.training.cluster import (
    CLUSTER_STRATEGIES,
    EXAMPLE,
    Cluster,
    WorkerInfo,
    find_cluster,
    tasks_of,
)
from keras_resnet.training.signals import lost_worker

# What TensorFlow raises when another worker is gone.
_LOST = (
    tf.errors.AbortedError,
    tf.errors.CancelledError,
    tf.errors.DeadlineExceededError,
    tf.errors.FailedPreconditionError,
    tf.errors.InternalError,
    tf.errors.UnavailableError,
    tf.errors.UnknownError,
)


def make_strategy(kind: str = "auto", devices: Sequence[str] = ()) -> tf.distribute.Strategy:
    """Returns a strategy for the devices to train on.

    Call it before TensorFlow has computed anything; several machines need that.

    Args:
        kind: "none" for one device; "mirrored" for several devices of this machine; "multi_worker" for those
            of all machines that TF_CONFIG or a SLURM step lists; "auto" for whatever there is.
        devices: names of the devices for "mirrored"; by default every visible GPU.

    Raises:
        UserError: no machines are listed, TF_CONFIG is malformed, or TensorFlow is already running.
    """
    cluster = find_cluster() if kind in CLUSTER_STRATEGIES else None
    if kind == "multi_worker" or (kind == "auto" and cluster is not None and not devices):
        if cluster is None:
            raise UserError(
                f"needs a list of the machines; set TF_CONFIG on each of them, such as {EXAMPLE}, or start "
                "the processes by srun with several tasks.",
                parameter="strategy",
                value="multi_worker",
            )
        return _multi_worker(cluster)
    if kind == "none":
        return tf.distribute.get_strategy()
    devices = tuple(devices) or tuple(device.name for device in tf.config.list_logical_devices("GPU"))
    return _mirrored(devices) if len(devices) > 1 else tf.distribute.get_strategy()


def worker_info(strategy: tf.distribute.Strategy) -> WorkerInfo:
    """Returns which of the strategy's workers this process is."""
    resolver = strategy.cluster_resolver
    spec = resolver.cluster_spec().as_dict() if resolver else {}
    tasks = tasks_of(spec)
    if len(tasks) < 2:
        return WorkerInfo(0, 1)
    return WorkerInfo(tasks.index((resolver.task_type, resolver.task_id)), len(tasks))


@contextlib.contextmanager
def handle_lost_workers(strategy: tf.distribute.Strategy) -> Iterator[None]:
    """Turns the errors of a worker that stopped responding into `Interrupted`.

    Raises:
        Interrupted: with the exit status for temporary failures.
    """
    try:
        yield
    except _LOST as error:
        if worker_info(strategy).workers == 1:
            raise
        raise lost_worker(error.message) from error


def all_reduce_sum(strategy: tf.distribute.Strategy, value: float) -> float:
    """Returns the sum of a value over all devices, each with its worker's; waits for all workers."""

    @tf.function
    def add():
        own = strategy.run(lambda: tf.constant(value, tf.float64))
        return strategy.reduce("SUM", own, axis=None)

    with handle_lost_workers(strategy):
        return float(add())


def local_replicas(strategy: tf.distribute.Strategy) -> int:
    """Returns the number of the strategy's devices on this machine."""
    return strategy.num_replicas_in_sync // worker_info(strategy).workers


@functools.cache
def _mirrored(devices: tuple[str, ...]) -> tf.distribute.Strategy:
    # Once per process: TensorFlow numbers the collective operations of every strategy from the same start,
    # and confuses those of two strategies over the same devices.
    return tf.distribute.MirroredStrategy(list(devices))


def _multi_worker(cluster: Cluster) -> tf.distribute.Strategy:
    try:
        return tf.distribute.MultiWorkerMirroredStrategy(cluster_resolver=_resolver(cluster))
    except RuntimeError as error:
        raise UserError(
            f"must be set up before TensorFlow computes anything ({error}).",
            parameter="strategy",
            value="multi_worker",
        ) from error
    except tf.errors.OpError as error:
        # Its own server, before it has tried to reach any other task.
        raise UserError(
            f"This task cannot listen on {cluster.address or 'its port'} ({error.message.splitlines()[0]}): "
            "another process uses the port, or the host is not this machine.",
            value=cluster.source,
        ) from error


def _resolver(cluster: Cluster) -> Any:
    if cluster.source == "TF_CONFIG":
        return tf.distribute.cluster_resolver.TFConfigClusterResolver()
    # SLURM decides which GPUs a task may use; these numbers only give each task of a node its own port.
    return tf.distribute.cluster_resolver.SlurmClusterResolver(
        gpus_per_node=len(cluster.tasks), gpus_per_task=1, auto_set_gpu=False
    )
