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
from keras_resnet.training.interruption import Interrupted

_EXAMPLE = '{"cluster": {"worker": ["host1:port", "host2:port"]}, "task": {"type": "worker", "index": 0}}'
# What TensorFlow makes of another worker that is gone.
_LOST = (
    tf.errors.AbortedError,
    tf.errors.CancelledError,
    tf.errors.DeadlineExceededError,
    tf.errors.FailedPreconditionError,
    tf.errors.InternalError,
    tf.errors.UnavailableError,
    tf.errors.UnknownError,
)
# The exit status that says so, by sysexits.h.
_TRY_AGAIN = 75
_TASKS = ("chief", "worker")


class Place(NamedTuple):
    """Which of how many machines ("workers") this process is on."""

    worker: int
    workers: int

    @property
    def is_chief(self) -> bool:
        """Whether this is the one that writes files and tells the user."""
        return self.worker == 0


def make_strategy(kind: str = "auto", devices: Sequence[str] = ()) -> tf.distribute.Strategy:
    """The strategy of this kind.

    To be called before TensorFlow has computed anything, which several machines need.

    Args:
        kind: "none": one device; "mirrored": several devices of this machine; "multi_worker": those of all
            machines that TF_CONFIG or a SLURM step names; "auto": what there is.
        devices: names of the devices for "mirrored"; by default every visible GPU.

    Raises:
        UserError: there are no machines, or TF_CONFIG does not name them.
    """
    resolver = _cluster() if kind in ("auto", "multi_worker") else None
    if kind == "multi_worker" or (kind == "auto" and resolver is not None and not devices):
        if resolver is None:
            raise UserError(
                f"--strategy=multi_worker needs to know the machines: set TF_CONFIG on each, as {_EXAMPLE}, "
                "or start it by srun with several tasks."
            )
        return _multi_worker(resolver)
    if kind == "none":
        return tf.distribute.get_strategy()
    devices = tuple(devices) or tuple(device.name for device in tf.config.list_logical_devices("GPU"))
    return _mirrored(devices) if len(devices) > 1 else tf.distribute.get_strategy()


def place(strategy: tf.distribute.Strategy) -> Place:
    """Where this process is among those of the strategy."""
    resolver = strategy.cluster_resolver
    spec = resolver.cluster_spec().as_dict() if resolver else {}
    tasks = _tasks(spec)
    if len(tasks) < 2:
        return Place(0, 1)
    return Place(tasks.index((resolver.task_type, resolver.task_id)), len(tasks))


@contextlib.contextmanager
def others_may_be_lost(strategy: tf.distribute.Strategy) -> Iterator[None]:
    """What happens inside needs the other workers; if one does not answer, this one ends with a sentence.

    Raises:
        Interrupted: with the status that asks for another try.
    """
    try:
        yield
    except _LOST as error:
        if place(strategy).workers == 1:
            raise
        reason = next(iter((error.message or "no reason given").splitlines()))[:120]
        raise Interrupted(
            f"another worker does not answer any more ({reason}); the same command on all of them goes on "
            "from the last checkpoint.",
            _TRY_AGAIN,
        ) from error


def total(strategy: tf.distribute.Strategy, value: float) -> float:
    """The sum of the numbers that all devices' workers give; who gives one waits for the others."""

    @tf.function
    def add():
        own = strategy.run(lambda: tf.constant(value, tf.float64))
        return strategy.reduce("SUM", own, axis=None)

    with others_may_be_lost(strategy):
        return float(add())


def local_replicas(strategy: tf.distribute.Strategy) -> int:
    """Number of the strategy's devices on this machine."""
    return strategy.num_replicas_in_sync // place(strategy).workers


@functools.cache
def _mirrored(devices: tuple[str, ...]) -> tf.distribute.Strategy:
    # Once a process: TensorFlow numbers the collective operations of each strategy from the same start, and
    # those of two strategies over the same devices are taken for one another.
    return tf.distribute.MirroredStrategy(list(devices))


def _multi_worker(resolver: Any) -> tf.distribute.Strategy:
    try:
        return tf.distribute.MultiWorkerMirroredStrategy(cluster_resolver=resolver)
    except RuntimeError as error:
        raise UserError(
            f"--strategy=multi_worker must be made before TensorFlow computes anything ({error})."
        ) from error


def _cluster() -> Any:
    """A resolver of the machines that the environment names, or None where it names fewer than two."""
    if os.environ.get("TF_CONFIG"):
        try:
            config = json.loads(os.environ["TF_CONFIG"])
            cluster, task = config["cluster"], config["task"]
            tasks = _tasks(cluster)
            known = (task["type"], int(task["index"])) in tasks
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise UserError(
                f"TF_CONFIG must be JSON with a cluster and a task, as {_EXAMPLE}; "
                f"got {os.environ['TF_CONFIG']}."
            ) from error
        if not known:
            raise UserError(
                f"TF_CONFIG: the task {task['type']} {task['index']} is not one of the cluster's: "
                f"{', '.join(f'{kind} {index}' for kind, index in tasks)}."
            )
        return tf.distribute.cluster_resolver.TFConfigClusterResolver() if len(tasks) > 1 else None
    count = int(os.environ.get("SLURM_STEP_NUM_TASKS", "1"))
    if count > 1:
        # Which GPUs a task sees is SLURM's to say; these numbers only give each task of a node its port.
        return tf.distribute.cluster_resolver.SlurmClusterResolver(
            gpus_per_node=count, gpus_per_task=1, auto_set_gpu=False
        )
    return None


def _tasks(cluster: Mapping[str, Sequence[str]]) -> list[tuple[str, int]]:
    """Type and number of each machine's task, the chief first."""
    return [(kind, index) for kind in _TASKS for index in range(len(cluster.get(kind, ())))]


def synchronize_batch_norm(model: keras.Model) -> None:
    """Take batch statistics over all devices' images, not over each device's own as the paper did.

    To be called before the model is trained for the first time.
    """
    for layer in model.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.synchronized = True
