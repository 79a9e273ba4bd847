"""Which machines the environment lists, and what is refused of it."""

import json

import pytest
from helpers.errors import refused

from keras_resnet.training.cluster import find_cluster

TWO = ["h1:1", "h2:2"]
SLURM = {
    "SLURM_STEP_NUM_TASKS": "3",
    "SLURM_STEP_NODELIST": "n[1-2]",
    "SLURM_STEP_TASKS_PER_NODE": "2,1",
    "SLURM_PROCID": "1",
    "SLURM_LOCALID": "1",
}


def _config(cluster, kind="worker", index=0):
    return json.dumps({"cluster": cluster, "task": {"type": kind, "index": index}})


@pytest.mark.parametrize(
    ("config", "tasks", "task", "address"),
    [
        (_config({"worker": TWO}, index=1), 2, ("worker", 1), "h2:2"),
        (_config({"worker": TWO}, index="1"), 2, ("worker", 1), "h2:2"),
        (_config({"worker": TWO, "chief": ["h0:1"]}, "chief"), 3, ("chief", 0), "h0:1"),
        (_config({"worker": TWO, "evaluator": ["h0:1"]}), 2, ("worker", 0), "h1:1"),
        (_config({"worker": ["[::1]:1", "h2:2"]}), 2, ("worker", 0), "[::1]:1"),
    ],
)
def test_tf_config(config, tasks, task, address):
    cluster = find_cluster({"TF_CONFIG": config})
    assert cluster is not None
    assert (len(cluster.tasks), cluster.task, cluster.address) == (tasks, task, address)
    # The chief is the first worker where none is named.
    assert cluster.is_chief == (task in (("chief", 0), ("worker", 0)))


@pytest.mark.parametrize(
    "config",
    [
        "{",
        "[]",
        "null",
        '"x"',
        _config(None),
        _config([]),
        _config({}),
        _config({"worker": "h1:1"}),
        _config({"worker": [1, 2]}),
        _config({"worker": {"0": "h1:1"}}),
        _config({"worker": ["h1", "h2"]}),
        _config({"worker": ["h1:http", "h2:2"]}),
        _config({"worker": ["h1:0", "h2:2"]}),
        _config({"worker": ["h1:65536", "h2:2"]}),
        _config({"worker": ["http://h1:1", "h2:2"]}),
        _config({"worker": ["h1:1", "h1:1"]}),
        _config({"worker": TWO, "chief": ["h1:1"]}),
        _config({"worker": TWO, "chief": ["h3:1", "h4:1"]}),
        _config({"worker": TWO}, index=2),
        _config({"worker": TWO}, index=-1),
        _config({"worker": TWO}, index=0.5),
        _config({"worker": TWO}, index=True),
        _config({"worker": TWO}, index="one"),
        _config({"worker": TWO}, index=None),
        _config({"worker": TWO}, "chief"),
        _config({"worker": TWO}, "Worker"),
        _config({"worker": TWO}, None),
        _config({"worker": TWO}, ["worker"]),
        _config({"worker": TWO, "evaluator": ["h3:1"]}, "evaluator"),
        _config({"worker": TWO}, "evaluator"),
        _config({"worker": TWO, "ps": ["h3:1"]}),
        _config({"worker": TWO, "ps": ["h3:1"]}, "ps"),
        json.dumps({"cluster": {"worker": TWO}}),
        json.dumps({"cluster": {"worker": TWO}, "task": {"type": "worker"}}),
        json.dumps({"cluster": {"worker": TWO}, "task": "worker"}),
        json.dumps({"task": {"type": "worker", "index": 0}}),
    ],
)
def test_a_malformed_tf_config_is_refused(config):
    with refused(None, f"TF_CONFIG={config}"):
        find_cluster({"TF_CONFIG": config})


@pytest.mark.parametrize(
    "environ",
    [
        {},
        {"TF_CONFIG": ""},
        {"TF_CONFIG": _config({"worker": ["h1:1"]})},
        {**SLURM, "SLURM_STEP_NUM_TASKS": "1"},
        {"SLURM_JOB_ID": "7", "SLURM_PROCID": "0"},
    ],
)
def test_one_task_is_no_cluster(environ):
    assert find_cluster(environ) is None


def test_slurm():
    cluster = find_cluster(SLURM)
    assert cluster is not None
    assert (len(cluster.tasks), cluster.task, cluster.is_chief) == (3, ("worker", 1), False)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("SLURM_STEP_NUM_TASKS", "two"),
        ("SLURM_STEP_NUM_TASKS", ""),
        ("SLURM_STEP_NUM_TASKS", "2(x2)"),
        ("SLURM_STEP_NUM_TASKS", "-2"),
        ("SLURM_PROCID", "first"),
        ("SLURM_PROCID", "3"),
        ("SLURM_LOCALID", "1.0"),
        ("SLURM_STEP_TASKS_PER_NODE", "many"),
    ],
)
def test_a_malformed_variable_of_slurm_is_refused(name, value):
    with refused(None, f"{name}={value}"):
        find_cluster({**SLURM, name: value})


@pytest.mark.parametrize("name", sorted(set(SLURM) - {"SLURM_STEP_NUM_TASKS"}))
def test_a_missing_variable_of_slurm_is_refused(name):
    with refused(None, name):
        find_cluster({key: value for key, value in SLURM.items() if key != name})
