"""Gradual unfreezing, compared with a loop by hand: also when interrupted, rolled back or on two devices."""

import dataclasses
import logging
import math
import pathlib
import signal
import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf
from helpers.errors import refused

from keras_resnet.models import architectures, resnet
from keras_resnet.models.freezing import freeze
from keras_resnet.training import Checkpoints, Recipe, ResumableData, train
from keras_resnet.training.callbacks.progress import LineLogger
from keras_resnet.training.engines import default_engine
from keras_resnet.training.signals import Interrupted
from keras_resnet.training.strategy import make_strategy

STAGES = ("conv1", "conv2", "conv3", "head")
STEPS_PER_EPOCH = 5
# The head in steps 0 to 2, from conv3 on in steps 3 to 5, everything in steps 6 to 9.
RECIPE = Recipe(
    "this test",
    batch_size=16,
    epochs=2,
    weight_decay=0.01,
    unfreeze=(("head", 0.3), ("conv3", 0.3), ("conv1", 0.4)),
)
TRAINED = [{"head"}] * 3 + [{"conv3", "head"}] * 3 + [set(STAGES)] * 4


def _model():
    keras.utils.set_random_seed(0)
    architecture = architectures.Architecture("small", (1, 1), (4, 8), stem="cifar")
    return resnet.ResNet(architecture, input_shape=(8, 8, 3), classes=3)


def _batch(step):
    """A function of the step alone, as the batches of a Pipeline are."""
    images = tf.random.stateless_normal([16, 8, 8, 3], [1, tf.cast(step, tf.int32)], dtype=tf.float32)
    return images, tf.cast(tf.reduce_mean(images, [1, 2, 3]) > 0, tf.int64)


def _data(batch=_batch):
    return ResumableData(
        STEPS_PER_EPOCH,
        lambda first_step, worker, workers: tf.data.Dataset.range(first_step, 10**6).map(batch),
    )


def _validation():
    return _data().batches(1000, 0, 1).take(2)


def _stage(path):
    return "head" if path.startswith("predictions") else path.split("_")[0]


class _Weights(keras.callbacks.Callback):
    """All weights after each step."""

    def __init__(self):
        super().__init__()
        self.values = []

    def on_train_begin(self, logs=None):
        self.values.append(self._now())

    def on_train_batch_end(self, batch, logs=None):
        self.values.append(self._now())

    def _now(self):
        return {weight.path: weight.numpy() for weight in self.model.weights}

    def moved(self, first=0):
        """The stages with a weight that has changed, of each step from one on."""
        return [
            {_stage(path) for path, value in after.items() if not np.array_equal(value, before[path])}
            for before, after in zip(self.values[first:], self.values[first + 1 :], strict=False)
        ]


class _StopAfter(keras.callbacks.Callback):
    def __init__(self, steps):
        super().__init__()
        self._left = steps

    def on_train_batch_begin(self, batch, logs=None):
        self._left -= 1
        if self._left == 0:
            signal.raise_signal(signal.SIGTERM)


def test_each_phase_moves_its_stages_and_no_others():
    """Neither by a gradient nor by weight decay; nor are batch norm's statistics changed by images."""
    weights, model = _Weights(), _model()
    train(model, _data(), _validation(), RECIPE, callbacks=[weights])
    assert weights.moved() == TRAINED
    for phase in (slice(0, 4), slice(3, 7), slice(6, 11)):
        first, *_, last = weights.values[phase]
        frozen = set(STAGES) - TRAINED[phase.start]
        for path, value in first.items():
            assert np.array_equal(last[path], value) == (_stage(path) in frozen), path
    assert all(layer.trainable for layer in model.layers)


def test_trains_as_a_loop_by_hand(float64):
    """The flat model, gradients by Keras and velocities by hand, which carry over between phases."""
    ours, theirs = _model(), _model()
    train(ours, _data(), _validation(), RECIPE, callbacks=[])
    velocities = {variable.path: np.zeros(variable.shape) for variable in theirs.trainable_variables}
    for step, stages in enumerate(TRAINED):
        freeze(theirs, min(stages, key=STAGES.index))
        images, labels = _batch(step)
        with tf.GradientTape() as tape:
            probabilities = theirs(images, training=True)
            loss = tf.reduce_mean(keras.losses.sparse_categorical_crossentropy(labels, probabilities))
        variables = theirs.trainable_variables
        for variable, gradient in zip(variables, tape.gradient(loss, variables), strict=True):
            decayed = gradient + RECIPE.weight_decay * variable
            velocity = RECIPE.momentum * velocities[variable.path] - RECIPE.learning_rate * decayed
            velocities[variable.path] = velocity
            variable.assign_add(velocity)
    for a, b in zip(ours.weights, theirs.weights, strict=True):
        np.testing.assert_allclose(a.numpy(), b.numpy(), rtol=1e-6, atol=1e-9, err_msg=a.path)


@pytest.mark.slow
def test_averages_carry_over_from_phase_to_phase():
    recipe = dataclasses.replace(RECIPE, epochs=5, ema_decay=0.9)  # phases begin at steps 0, 8 and 15
    weights, model = _Weights(), _model()
    train(model, _data(), _validation(), recipe, callbacks=[weights])
    average = weights.values[0]
    for step, now in enumerate(weights.values[1:], start=1):
        if step > 8 and step % 8:
            continue
        decay = min(0.9**8, (step / 8) / (step / 8 + 9))
        average = {path: decay * average[path] + (1 - decay) * now[path] for path in average}
    for weight in model.weights:
        np.testing.assert_allclose(weight.numpy(), average[weight.path], rtol=1e-4, atol=1e-6)


@pytest.mark.slow
def test_stages_that_are_never_unfrozen_stay_with_averages_too():
    recipe = dataclasses.replace(RECIPE, epochs=4, ema_decay=0.9, unfreeze=(("head", 0.5), ("conv3", 0.5)))
    model = _model()
    before = {weight.path: weight.numpy() for weight in model.weights}
    train(model, _data(), _validation(), recipe, callbacks=[])
    moved = {_stage(w.path) for w in model.weights if not np.array_equal(w.numpy(), before[w.path])}
    assert moved == {"conv3", "head"}


@pytest.mark.parametrize(
    ("stage", "batch_norms", "convolutions"), [("head", 0, 0), ("conv3", 3, 3), ("conv1", 6, 6)]
)
def test_a_step_neither_assigns_nor_differentiates_what_is_frozen(stage, batch_norms, convolutions):
    """By the operations it is made of: of six convolutions and BN, three are those of conv3."""
    steps = default_engine().make_steps(_model(), RECIPE)
    steps.train_from(stage)
    graph = steps._train.get_concrete_function(*_batch(0), tf.zeros(16)).graph.as_graph_def()
    kinds = [node.op for node in graph.node]
    kinds += [node.op for function in graph.library.function for node in function.node_def]
    # BN has two averages; and one is the optimizer's count of steps.
    assert kinds.count("AssignVariableOp") == 2 * batch_norms + 1
    assert kinds.count("Conv2DBackpropFilter") == convolutions


def uninterrupted_and_resumed(folder):
    """Trains once, and again with stops: where the second phase begins, and inside of it."""
    tf.config.experimental.enable_op_determinism()
    recipe = dataclasses.replace(RECIPE, epochs=4, ema_decay=0.9)  # boundaries at 6 and 12 of 20 steps
    uninterrupted = _model()
    expected = train(uninterrupted, _data(), _validation(), recipe, callbacks=[])
    for stop, done in ((6, 6), (3, 9)):
        model, checkpoints = _model(), Checkpoints(folder)
        with pytest.raises(Interrupted, match=f"Stopped after step {done} of 20. Saved as"):
            train(
                model, _data(), _validation(), recipe, callbacks=[_StopAfter(stop)], checkpoints=checkpoints
            )
        assert all(layer.trainable for layer in model.layers)
    model, weights = _model(), _Weights()
    state = train(model, _data(), _validation(), recipe, callbacks=[weights], checkpoints=Checkpoints(folder))
    assert len(weights.values) == 1 + 20 - 9
    assert state.history == expected.history
    for ours, theirs in zip(model.weights, uninterrupted.weights, strict=True):
        np.testing.assert_array_equal(ours.numpy(), theirs.numpy(), err_msg=ours.path)


@pytest.mark.slow
def test_an_interrupted_training_resumes_to_the_same_weights_to_the_last_bit(tmp_path):
    """In a process of its own: TensorFlow can only be made deterministic at its start."""
    here = pathlib.Path(__file__)
    code = (
        f"import sys; sys.path.append({str(here.parents[1])!r})\n"
        f"import {here.stem}; {here.stem}.uninterrupted_and_resumed({str(tmp_path)!r})"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], cwd=here.parent, capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stderr[-3000:]


def test_a_rollback_goes_back_to_the_phase_of_its_step(tmp_path):
    def poisoned(step):
        images, labels = _batch(step)
        return images, tf.where(step == 4, math.nan, tf.one_hot(labels, 3))

    weights, model = _Weights(), _model()
    with refused("learning_rate", 0.1) as caught:
        train(
            model,
            _data(poisoned),
            _validation(),
            RECIPE,
            callbacks=[weights],
            checkpoints=Checkpoints(tmp_path),
            max_rollbacks=1,
        )
    assert "after 1 rollback." in caught.value.reason
    # To the first step from conv3 on; back to the start, with a tenth of the rate, and once more to there.
    assert weights.moved()[:4] == TRAINED[:4]
    assert weights.moved(5) == TRAINED[1:4]
    start, restart = weights.values[0], weights.values[5]
    assert {_stage(path) for path in start if not np.array_equal(start[path], restart[path])} == {"head"}
    assert all(layer.trainable for layer in model.layers)


@pytest.mark.slow
def test_two_devices_train_as_one(float64):
    def twice(step):
        """Each device has the same images, and so BN the same statistics on one device and on two."""
        images, labels = _batch(step)
        return tf.concat([images[:8]] * 2, axis=0), tf.concat([labels[:8]] * 2, axis=0)

    recipe = dataclasses.replace(RECIPE, unfreeze=(("head", 0.5), ("conv1", 0.5)))
    results = []
    for devices in (("CPU:0",), ("CPU:0", "CPU:1")):
        weights = _Weights()
        with make_strategy("auto", devices).scope():
            history = train(_model(), _data(twice), _validation(), recipe, callbacks=[weights]).history
        assert weights.moved() == [{"head"}] * 5 + [set(STAGES)] * 5
        results.append((history, weights.values[-1]))
    (one, one_weights), (two, two_weights) = results
    for name, values in one.items():
        np.testing.assert_allclose(two[name], values, rtol=1e-5, err_msg=name)
    for path, value in one_weights.items():
        np.testing.assert_allclose(two_weights[path], value, rtol=1e-4, atol=1e-8, err_msg=path)


@pytest.mark.slow
def test_with_loss_scaling_and_parts_of_a_batch():
    keras.config.set_dtype_policy("mixed_float16")
    try:
        weights = _Weights()
        history = train(
            _model(), _data(), _validation(), RECIPE, callbacks=[weights], gradient_accumulation_steps=2
        ).history
    finally:
        keras.config.set_dtype_policy("float32")
    assert np.isfinite(history["loss"]).all()
    # A step that overflows is left out.
    assert all(moved <= trained for moved, trained in zip(weights.moved(), TRAINED, strict=True))
    assert weights.moved()[-1] == set(STAGES)


def test_a_model_without_the_stage_is_refused_before_training():
    weights, model = _Weights(), _model()
    recipe = dataclasses.replace(RECIPE, unfreeze=(("head", 0.5), ("conv4", 0.3), ("conv1", 0.2)))
    with refused("unfreeze", recipe.unfreeze) as caught:
        train(model, _data(), _validation(), recipe, callbacks=[weights])
    assert "conv4" in caught.value.reason
    assert "conv1, conv2, conv3, head" in caught.value.reason
    assert not weights.values
    assert all(layer.trainable for layer in model.layers)


def test_what_the_user_has_frozen_stays_so_where_the_recipe_unfreezes_nothing():
    weights, model = _Weights(), _model()
    freeze(model, "conv3")
    flags = [layer.trainable for layer in model.layers]
    recipe = dataclasses.replace(RECIPE, unfreeze=())
    train(model, _data(), _validation(), recipe, callbacks=[weights])
    assert weights.moved() == [{"conv3", "head"}] * 10
    assert [layer.trainable for layer in model.layers] == flags


def test_the_start_of_a_phase_is_logged(caplog):
    caplog.set_level(logging.INFO)
    recipe = dataclasses.replace(
        RECIPE, epochs=3, unfreeze=(("head", 1 / 3), ("conv3", 1 / 2), ("conv1", 1 / 6))
    )
    train(_model(), _data(), _validation(), recipe, callbacks=[LineLogger()])
    lines = [line.split(":")[0] if "done" in line else line for line in caplog.messages]
    assert [line for line in lines if line.startswith(("epoch", "From"))] == [
        "epoch 1/3 done",
        "From step 1 on, trained: head.",
        "From step 6 on, trained: conv3, head.",
        "epoch 2/3 done",
        "epoch 3/3 done",
        "From step 13 on, trained: conv1, conv2, conv3, head.",
    ]
