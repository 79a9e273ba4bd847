"""Training on several devices, and which machines make up a cluster."""

import json

import keras
import numpy as np
import pytest
import tensorflow as tf
from helpers.errors import refused
from helpers.marks import slow

from keras_resnet.data.input_spec import InputSpec, InputTransform
from keras_resnet.data.load import load_dataset
from keras_resnet.data.pipeline import Pipeline
from keras_resnet.models import architectures
from keras_resnet.models.classifier import build_classifier
from keras_resnet.training import Recipe, ResumableData, train
from keras_resnet.training.cluster import WorkerInfo
from keras_resnet.training.engines import default_engine
from keras_resnet.training.strategy import handle_lost_workers, make_strategy, worker_info

DIGITS = load_dataset("digits")
VIEW = InputTransform(InputSpec(8, 1), hflip=False)
BATCH = 48


class Losses(keras.callbacks.Callback):
    """The mean loss since the epoch began, after each step."""

    def __init__(self):
        super().__init__()
        self.values = []

    def on_train_batch_end(self, batch, logs=None):
        self.values.append(logs["loss"])


def _train(*devices, synchronized, gradient_accumulation_steps=1, steps=10, policy="float32"):
    keras.utils.set_random_seed(0)
    strategy = make_strategy("auto", devices)
    images = Pipeline(DIGITS, VIEW)
    mean = images.mean(per_pixel=True)
    losses = Losses()
    data = ResumableData(
        10,
        lambda first_step, worker, workers: images.train_batches(BATCH, 100, mean, first_step=first_step),
    )
    with strategy.scope():
        model = build_classifier(architectures.cifar_architecture(8), (8, 8, 1), 10, mean, policy)
        if synchronized:
            default_engine().synchronize_batch_norm(model)
        state = train(
            model,
            data,
            # 355 images in batches of 64 leave 35, of which the second device would get three.
            images.validation_batches(64),
            Recipe("this test", BATCH, iterations=steps, learning_rate=0.02),
            callbacks=[losses],
            gradient_accumulation_steps=gradient_accumulation_steps,
        )
    return strategy.num_replicas_in_sync, losses.values, state.history


@pytest.mark.parametrize("gradient_accumulation_steps", [1, slow(2)])
def test_two_devices_train_as_one(float64, gradient_accumulation_steps):
    """And as one device with parts of 24 images, where batch norm normalizes the same images."""
    if gradient_accumulation_steps == 1:
        one, losses, history = _train("CPU:0", synchronized=True, steps=50, policy=None)
    else:
        one, losses, history = _train(
            "CPU:0", synchronized=False, gradient_accumulation_steps=2, steps=10, policy=None
        )
    two, mirrored_losses, mirrored_history = _train(
        "CPU:0", "CPU:1", synchronized=gradient_accumulation_steps == 1, steps=len(losses), policy=None
    )
    assert (one, two) == (1, 2)
    np.testing.assert_allclose(mirrored_losses, losses, rtol=1e-4)
    # The averages of batch norm move twice a step for two parts, and once for two devices.
    for metric in ("error", "loss", *(["val_error", "val_loss"] if gradient_accumulation_steps == 1 else [])):
        np.testing.assert_allclose(mirrored_history[metric], history[metric], rtol=1e-4, err_msg=metric)


@pytest.mark.slow
def test_without_synchronization_each_device_has_its_own_statistics():
    _, losses, _ = _train("CPU:0", synchronized=False)
    _, mirrored_losses, _ = _train("CPU:0", "CPU:1", synchronized=False)
    assert abs(np.array(mirrored_losses) / losses - 1).max() > 1e-3


@pytest.mark.slow
def test_half_types_and_parts_on_two_devices():
    for policy in ("mixed_float16", "mixed_bfloat16"):
        _, losses, history = _train(
            "CPU:0", "CPU:1", synchronized=False, gradient_accumulation_steps=2, steps=10, policy=policy
        )
        assert np.isfinite(losses).all()
        assert np.isfinite(history["val_loss"]).all()


@pytest.mark.slow
def test_an_overflow_on_one_device_is_one_on_all():
    """With loss scaling the step is skipped and the scale halved, and no device waits for another."""
    from keras_resnet.models.resnet import ResNet

    keras.utils.set_random_seed(0)
    architecture = architectures.Architecture("small", (1, 1), (4, 8), stem="cifar")
    keras.config.set_dtype_policy("mixed_float16")
    try:
        with make_strategy("auto", ("CPU:0", "CPU:1")).scope():
            model = ResNet(architecture, input_shape=(8, 8, 3), classes=3)
            steps = default_engine().make_steps(model, Recipe("this test", 4, epochs=1))
            images = np.random.default_rng(0).normal(size=(4, 8, 8, 3)).astype("float32")
            steps.train_step(tf.constant(images), tf.zeros(4, tf.int64))
            before, scale = model.trainable_variables[0].numpy(), steps.optimizer.dynamic_scale.numpy()
            # float16 ends at 65,504: the second device's gradients are none.
            images[2:] *= 1e6
            steps.train_step(tf.constant(images), tf.zeros(4, tf.int64))
            np.testing.assert_array_equal(model.trainable_variables[0].numpy(), before)
            assert steps.optimizer.dynamic_scale.numpy() == scale / 2
    finally:
        keras.config.set_dtype_policy("float32")


def test_without_gpus_there_is_nothing_to_mirror():
    assert not tf.config.list_logical_devices("GPU")
    assert make_strategy() is make_strategy("mirrored") is tf.distribute.get_strategy()
    assert worker_info(make_strategy()) == WorkerInfo(0, 1)


TWO = {"worker": ["127.0.0.1:1", "127.0.0.1:2"]}


@pytest.mark.parametrize(
    "config",
    [
        "{",
        "[]",
        json.dumps({"cluster": TWO}),
        json.dumps({"cluster": TWO, "task": {"type": "worker", "index": 2}}),
    ],
)
def test_a_malformed_list_of_machines_is_refused(monkeypatch, config):
    monkeypatch.setenv("TF_CONFIG", config)
    with refused(None, f"TF_CONFIG={config}"):
        make_strategy("multi_worker")


@pytest.mark.parametrize(
    "config", ["", json.dumps({"cluster": {"worker": ["a:1"]}, "task": {"type": "worker", "index": 0}})]
)
def test_several_machines_must_be_listed(monkeypatch, config):
    monkeypatch.setenv("TF_CONFIG", config)
    with refused("strategy", "multi_worker") as caught:
        make_strategy("multi_worker")
    assert "TF_CONFIG" in caught.value.reason


@pytest.mark.parametrize("kind", ["none", "mirrored"])
def test_one_machine_needs_no_others(monkeypatch, kind):
    monkeypatch.setenv("TF_CONFIG", "{")
    assert make_strategy(kind) is tf.distribute.get_strategy()


def test_a_slurm_step_of_several_tasks_lists_the_machines(monkeypatch):
    monkeypatch.delenv("TF_CONFIG", raising=False)
    for name, value in {
        "SLURM_STEP_NUM_TASKS": "2",
        "SLURM_STEP_NODELIST": "n[1-2]",
        "SLURM_STEP_TASKS_PER_NODE": "1(x2)",
        "SLURM_PROCID": "1",
        "SLURM_LOCALID": "0",
    }.items():
        monkeypatch.setenv(name, value)
    resolvers = []
    monkeypatch.setattr(
        tf.distribute,
        "MultiWorkerMirroredStrategy",
        lambda cluster_resolver: resolvers.append(cluster_resolver) or "strategy",
    )
    assert make_strategy() == "strategy"
    (resolver,) = resolvers
    assert resolver.cluster_spec().as_dict() == {"worker": ["n1:8888", "n2:8888"]}
    assert (resolver.task_type, resolver.task_id) == ("worker", 1)


def test_several_machines_are_refused_once_tensorflow_has_computed(monkeypatch):
    cluster = {"worker": ["localhost:12345", "localhost:12346"]}
    config = {"cluster": cluster, "task": {"type": "worker", "index": 0}}
    monkeypatch.setenv("TF_CONFIG", json.dumps(config))
    tf.constant(1) + 1
    with refused("strategy", "multi_worker") as caught:
        make_strategy("multi_worker")
    assert "before TensorFlow" in caught.value.reason


def test_a_single_worker_takes_no_error_for_a_lost_worker():
    with (
        pytest.raises(tf.errors.UnavailableError),
        handle_lost_workers(tf.distribute.get_strategy()),
    ):
        raise tf.errors.UnavailableError(None, None, "of something else")


def test_a_port_in_use_is_refused(monkeypatch):
    """By what TensorFlow raises, without the port."""

    def busy(cluster_resolver):
        raise tf.errors.UnknownError(None, None, "Could not start gRPC server")

    monkeypatch.setattr(tf.distribute, "MultiWorkerMirroredStrategy", busy)
    monkeypatch.setenv("TF_CONFIG", json.dumps({"cluster": TWO, "task": {"type": "worker", "index": 1}}))
    with refused(None, "TF_CONFIG") as caught:
        make_strategy()
    assert "127.0.0.1:2" in caught.value.reason
