"""Which devices JAX trains on; JAX itself can be imported next to TensorFlow."""

import json

import jax
import keras
import pytest
from helpers.errors import refused

import keras_resnet
from keras_resnet.training.cluster import WorkerInfo
from keras_resnet.training.engines import jax_devices
from keras_resnet.training.engines.jax import JaxEngine

TF_CONFIG = {"cluster": {"worker": ["a:1", "b:2"]}, "task": {"type": "worker", "index": 1}}
SLURM = {
    "SLURM_STEP_NUM_TASKS": "2",
    "SLURM_PROCID": "1",
    "SLURM_LOCALID": "0",
    "SLURM_STEP_NODELIST": "n[1-2]",
    "SLURM_STEP_TASKS_PER_NODE": "1(x2)",
}


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        ({}, None),
        (
            {"TF_CONFIG": json.dumps(TF_CONFIG)},
            {"coordinator_address": "a:1", "num_processes": 2, "process_id": 1},
        ),
        (SLURM, {}),
        ({"OMPI_MCA_orte_hnp_uri": "1.0;tcp://10.0.0.1:1"}, {}),
        ({"TPU_WORKER_HOSTNAMES": "t1,t2"}, {}),
        ({"TPU_WORKER_HOSTNAMES": "localhost"}, None),
    ],
    ids=["nothing", "TF_CONFIG", "SLURM", "Open MPI", "TPU pod", "one TPU host"],
)
def test_what_tells_of_other_processes(environ, expected):
    assert jax_devices._arguments(environ) == expected


def test_one_process_takes_its_own_devices():
    engine = JaxEngine.on("auto")
    assert (engine.worker, engine.devices) == (WorkerInfo(0, 1), len(jax.devices()))
    assert JaxEngine.on("none").devices == 1
    assert engine.all_reduce_sum(3) == 3


def test_several_machines_that_nobody_lists_are_refused(monkeypatch):
    def initialize(**_):
        raise ValueError("coordinator_address should be defined.")

    monkeypatch.setattr(jax.distributed, "initialize", initialize)
    with refused("strategy", "multi_worker"):
        jax_devices.find_devices("multi_worker")


def test_workers_that_cannot_be_reached_are_refused(monkeypatch):
    def initialize(**_):
        raise RuntimeError("DEADLINE_EXCEEDED: Barrier timed out.")

    monkeypatch.setenv("TF_CONFIG", json.dumps(TF_CONFIG))
    monkeypatch.setattr(jax.distributed, "initialize", initialize)
    with refused("strategy", "auto"):
        jax_devices.find_devices("auto")


def test_deterministic_training_is_refused_on_a_gpu(monkeypatch):
    engine = JaxEngine()
    engine.make_deterministic()
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    with refused("deterministic", True):
        engine.make_deterministic()


def test_synchronized_layers_are_refused():
    model = keras_resnet.CifarResNet(8, input_shape=(8, 8, 1), classes=3, weights=None)
    model.get_layer("conv1_bn").synchronized = True
    recipe = keras_resnet.Recipe("this test", 4, epochs=1)
    with refused("model", model.name):
        JaxEngine().make_steps(model, recipe)
    assert isinstance(model, keras.Model)
