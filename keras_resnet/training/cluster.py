"""Which machines train together, as TF_CONFIG or a SLURM step lists them. Imports no TensorFlow."""

import dataclasses
import json
import os
import re
from collections.abc import Mapping
from typing import Any, NamedTuple

from keras_resnet.errors import UserError

EXAMPLE = '{"cluster": {"worker": ["host1:port", "host2:port"]}, "task": {"type": "worker", "index": 0}}'
# Strategies that look for a cluster.
CLUSTER_STRATEGIES = ("auto", "multi_worker")
# Tasks that train, the chief first. TensorFlow knows others for other strategies.
_TASKS = ("chief", "worker")
_ADDRESS = re.compile(r"(?P<host>[^\s/]+):(?P<port>\d{1,5})")
_SLURM_COUNT = "SLURM_STEP_NUM_TASKS"
# What TensorFlow reads of a SLURM step of several tasks.
_SLURM_NUMBERS = ("SLURM_PROCID", "SLURM_LOCALID")
_SLURM_TEXTS = ("SLURM_STEP_NODELIST", "SLURM_STEP_TASKS_PER_NODE")
_SLURM_TASKS_PER_NODE = re.compile(r"\d+(\(x\d+\))?(,\d+(\(x\d+\))?)*")

Task = tuple[str, int]


@dataclasses.dataclass(frozen=True)
class Cluster:
    """Two or more tasks, one for each machine or process, and which of them this process is.

    Args:
        tasks: type and index of each, the chief first.
        task: this process.
        address: "host:port" of this process; empty where SLURM's resolver chooses it.
        chief_address: "host:port" of the chief; empty likewise.
        source: "TF_CONFIG" or "SLURM".
    """

    tasks: tuple[Task, ...]
    task: Task
    address: str
    chief_address: str
    source: str

    @property
    def is_chief(self) -> bool:
        """Whether this process writes the files of a run."""
        return self.task == self.tasks[0]


class WorkerInfo(NamedTuple):
    """Which of how many workers (machines) this process is."""

    worker: int
    workers: int

    @property
    def is_chief(self) -> bool:
        """Whether this is the worker that writes the files and logs."""
        return self.worker == 0


def find_cluster(environ: Mapping[str, str] = os.environ) -> Cluster | None:
    """Returns the cluster that the environment lists, or None for fewer than two tasks.

    Raises:
        UserError: TF_CONFIG or a variable of SLURM is malformed, or this task does not train.
    """
    return _of_tf_config(environ["TF_CONFIG"]) if environ.get("TF_CONFIG") else _of_slurm(environ)


def tasks_of(cluster: Mapping[str, Any]) -> tuple[Task, ...]:
    """Returns type and index of each task that trains, the chief first."""
    return tuple((kind, index) for kind in _TASKS for index in range(len(cluster.get(kind, ()))))


def _of_tf_config(text: str) -> Cluster | None:
    def refuse(reason: str) -> UserError:
        return UserError(reason, value=f"TF_CONFIG={text}")

    try:
        config = json.loads(text)
        cluster, task = config["cluster"], config["task"]
        own = (task["type"], _index(task["index"]))
        addresses = {kind: _addresses(cluster[kind]) for kind in cluster}
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise refuse(f"must be JSON with a cluster and a task, such as {EXAMPLE}.") from error
    if own[0] == "evaluator":
        raise refuse(
            "An evaluator has nothing to do, for the workers validate after each epoch; do not start it."
        )
    if own[0] == "ps" or "ps" in cluster:
        raise refuse(
            "Parameter servers (ps) are not used: list workers only, and a chief where you want one."
        )
    tasks = tasks_of(addresses)
    if own not in tasks:
        names = ", ".join(f"{kind} {index}" for kind, index in tasks)
        raise refuse(f"The task {own[0]} {own[1]} is not in the cluster: {names or 'no tasks'}.")
    if len(addresses.get("chief", ())) > 1:
        raise refuse("There can be one chief only.")
    listed = [address for kind in _TASKS for address in addresses.get(kind, ())]
    for address in listed:
        match = _ADDRESS.fullmatch(address)
        if match is None or not 0 < int(match["port"]) < 65536:
            raise refuse(f"{address!r} is not an address; write host:port, with a port from 1 to 65535.")
        if listed.count(address) > 1:
            raise refuse(f"{address} is listed twice, and each task needs an address of its own.")
    if len(tasks) < 2:
        return None
    chief, index = tasks[0]
    return Cluster(tasks, own, addresses[own[0]][own[1]], addresses[chief][index], "TF_CONFIG")


def _index(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int | str):
        raise TypeError("an index is an integer")
    return int(value)


def _addresses(value: Any) -> list[str]:
    if not isinstance(value, list) or not all(isinstance(address, str) for address in value):
        raise TypeError("a list of addresses is a list of strings")
    return value


def _of_slurm(environ: Mapping[str, str]) -> Cluster | None:
    if _number(environ, _SLURM_COUNT, "1") < 2:
        return None
    for name in (*_SLURM_NUMBERS, *_SLURM_TEXTS):
        if not environ.get(name):
            raise UserError(
                f"is not set, and {_SLURM_COUNT}={environ[_SLURM_COUNT]} says that this is one of several "
                "tasks; start them by srun, or use strategy=none or mirrored.",
                value=name,
            )
    tasks_per_node = environ["SLURM_STEP_TASKS_PER_NODE"]
    if not _SLURM_TASKS_PER_NODE.fullmatch(tasks_per_node):
        raise UserError(
            "must be numbers of tasks, as SLURM writes them: 2(x3),1.",
            value=f"SLURM_STEP_TASKS_PER_NODE={tasks_per_node}",
        )
    for name in _SLURM_NUMBERS:
        _number(environ, name)
    count, own = _number(environ, _SLURM_COUNT), _number(environ, "SLURM_PROCID")
    if own >= count:
        raise UserError(
            f"must be less than {_SLURM_COUNT}={count}; start the tasks by srun.", value=f"SLURM_PROCID={own}"
        )
    return Cluster(tuple(("worker", index) for index in range(count)), ("worker", own), "", "", "SLURM")


def _number(environ: Mapping[str, str], name: str, default: str = "") -> int:
    text = environ.get(name, default)
    if not re.fullmatch(r"\d{1,9}", text, re.ASCII):
        raise UserError(
            "must be a whole number; it is set by srun: unset it, or use strategy=none or mirrored.",
            value=f"{name}={text}",
        )
    return int(text)
