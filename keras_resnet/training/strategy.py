"""Where training runs: one device, every GPU of the machine, or several machines."""

import contextlib
import functools
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import keras
import tensorflow as tf

from keras_resnet.errors import UserError
from keras_resnet.training.signals import Interrupted

_EXAMPLE = '{"cluster": {"worker": ["host1:port", "host2:port"]}, "task": {"type": "worker", "index": 0}}'
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
# EX_TEMPFAIL of sysexits.h: try again.
_TEMPORARY_FAILURE = 75
_TASKS = ("chief", "worker")


class WorkerInfo(NamedTuple):
    """Which of how many workers (machines) this process is."""

    worker: int
    workers: int

    @property
    def is_chief(self) -> bool:
        """Whether this is the worker that writes the files and logs."""
        return self.worker == 0


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
    resolver = _cluster() if kind in ("auto", "multi_worker") else None
    if kind == "multi_worker" or (kind == "auto" and resolver is not None and not devices):
        if resolver is None:
            raise UserError(
                f"needs a list of the machines; set TF_CONFIG on each of them, such as {_EXAMPLE}, or start "
                "the processes by srun with several tasks.",
                parameter="strategy",
                value="multi_worker",
            )
        return _multi_worker(resolver)
    if kind == "none":
        return tf.distribute.get_strategy()
    devices = tuple(devices) or tuple(device.name for device in tf.config.list_logical_devices("GPU"))
    return _mirrored(devices) if len(devices) > 1 else tf.distribute.get_strategy()


def worker_info(strategy: tf.distribute.Strategy) -> WorkerInfo:
    """Returns which of the strategy's workers this process is."""
    resolver = strategy.cluster_resolver
    spec = resolver.cluster_spec().as_dict() if resolver else {}
    tasks = _tasks(spec)
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
        reason = next(iter((error.message or "unknown reason").splitlines()))[:120]
        raise Interrupted(
            f"Another worker stopped responding ({reason}). Rerun the same command or call on all workers to "
            "resume from the last checkpoint.",
            _TEMPORARY_FAILURE,
        ) from error


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


def _multi_worker(resolver: Any) -> tf.distribute.Strategy:
    try:
        return tf.distribute.MultiWorkerMirroredStrategy(cluster_resolver=resolver)
    except RuntimeError as error:
        raise UserError(
            f"must be set up before TensorFlow computes anything ({error}).",
            parameter="strategy",
            value="multi_worker",
        ) from error


def _cluster() -> Any:
    """Returns a resolver of the machines listed in the environment, or None for fewer than two."""
    if os.environ.get("TF_CONFIG"):
        try:
            config = json.loads(os.environ["TF_CONFIG"])
            cluster, task = config["cluster"], config["task"]
            tasks = _tasks(cluster)
            known = (task["type"], int(task["index"])) in tasks
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise UserError(
                f"must be JSON with a cluster and a task, such as {_EXAMPLE}.",
                value=f"TF_CONFIG={os.environ['TF_CONFIG']}",
            ) from error
        if not known:
            listed = ", ".join(f"{kind} {index}" for kind, index in tasks)
            raise UserError(
                f"The task {task['type']} {task['index']} is not in the cluster: {listed or 'no tasks'}.",
                value=f"TF_CONFIG={os.environ['TF_CONFIG']}",
            )
        return tf.distribute.cluster_resolver.TFConfigClusterResolver() if len(tasks) > 1 else None
    count = int(os.environ.get("SLURM_STEP_NUM_TASKS", "1"))
    if count > 1:
        # SLURM decides which GPUs a task may use; these numbers only give each task of a node its own port.
        return tf.distribute.cluster_resolver.SlurmClusterResolver(
            gpus_per_node=count, gpus_per_task=1, auto_set_gpu=False
        )
    return None


def _tasks(cluster: Mapping[str, Sequence[str]]) -> list[tuple[str, int]]:
    """Returns type and index of each machine's task, the chief first."""
    return [(kind, index) for kind in _TASKS for index in range(len(cluster.get(kind, ())))]


def synchronize_batch_norm(model: keras.Model) -> None:
    """Makes batch norm use the images of all devices, not those of each device as in the paper.

    Call it before the model is trained for the first time.
    """
    for layer in model.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.synchronized = True
