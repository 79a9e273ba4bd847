"""`train` applies every field of a recipe to plain data, as a loop by hand does it, or refuses it by name."""

import dataclasses

import keras
import numpy as np
import pytest
import tensorflow as tf
from helpers.callbacks import AfterStep
from helpers.errors import refused
from helpers.marks import slow

from keras_resnet.data.batch_augment import BatchAugment
from keras_resnet.data.batch_augmenter import BatchAugmenter
from keras_resnet.models import architectures, resnet
from keras_resnet.models.freezing import freeze
from keras_resnet.models.surgery import zero_gamma
from keras_resnet.training import RECIPES, Checkpoints, Recipe, ResumableData, train
from keras_resnet.training.strategy import make_strategy

RNG = np.random.default_rng(0)
SIZE, CLASSES, BATCH, BATCHES, EPOCHS = 8, 3, 8, 5, 2
IMAGES = RNG.integers(0, 256, (BATCH * BATCHES, SIZE, SIZE, 3), dtype="uint8")
# Floats in the range of normalized images, which label smoothing takes as well.
SCALED = IMAGES / np.float32(128) - 1
LABELS = RNG.integers(0, CLASSES, BATCH * BATCHES)
MIXED = Recipe(
    "this test", BATCH, epochs=EPOCHS, batch_augment=BatchAugment(label_smoothing=0.1, mixup=0.3, cutmix=0.7)
)
ALL = BatchAugment(label_smoothing=0.1, randaugment=0.5, random_erasing=0.5, mixup=0.3, cutmix=0.7)


def _model(shortcut="B"):
    keras.utils.set_random_seed(0)
    architecture = architectures.Architecture("small", (1, 1, 1), (4, 4, 8), stem="cifar", shortcut=shortcut)
    return resnet.ResNet(architecture, input_shape=(SIZE, SIZE, 3), classes=CLASSES)


def _dense():
    keras.utils.set_random_seed(0)
    pixels = keras.Input((SIZE, SIZE, 3))
    return keras.Model(pixels, keras.layers.Dense(CLASSES, "softmax")(keras.layers.Flatten()(pixels)))


def _data(images=IMAGES, labels=LABELS):
    return tf.data.Dataset.from_tensor_slices((images, labels)).batch(BATCH)


class _Weights(keras.callbacks.Callback):
    """The raw weights at the start and after each step."""

    def on_train_begin(self, logs=None):
        self.values = [self.model.get_weights()]

    def on_train_batch_end(self, batch, logs=None):
        self.values.append(self.model.get_weights())


def _smooth(labels, smoothing):
    return (1 - smoothing) * np.eye(CLASSES, dtype="float32")[labels] + smoothing / CLASSES


def _rate(recipe, step, mean_error):
    """Of the recipes as they are used below: in two epochs no plateau drops."""
    if recipe.schedule != "cosine":
        if mean_error >= recipe.warmup_error > 0:
            return recipe.learning_rate / 10
        return recipe.learning_rate / 10 ** sum(step >= milestone for milestone in recipe.milestones)
    warmup, total = round(recipe.warmup_epochs * BATCHES), EPOCHS * BATCHES
    if step < warmup:
        return recipe.learning_rate * (step + 1) / (warmup + 1)
    return recipe.learning_rate * (1 + np.cos(np.pi * (step - warmup) / (total - warmup))) / 2


def _by_hand(recipe):
    """The averaged weights of a loop by hand on the flat model, or the last where there is no average."""
    model = _model()
    if recipe.zero_gamma:
        for layer in model.layers:
            if layer.name.endswith("_2_bn"):  # the last of the two of a basic block
                layer.gamma.assign(np.zeros(layer.gamma.shape))
    velocities = {variable.path: np.zeros(variable.shape) for variable in model.trainable_variables}
    average = {variable.path: variable.numpy() for variable in model.weights}
    total, mean_error = EPOCHS * BATCHES, 1.0
    first_steps = np.cumsum([0, *(fraction * total for _, fraction in recipe.unfreeze)])
    for step in range(total):
        for (stage, _), first in zip(recipe.unfreeze, first_steps, strict=False):
            if step >= round(first):
                freeze(model, stage)
        rows = slice(step % BATCHES * BATCH, (step % BATCHES + 1) * BATCH)
        labels = _smooth(LABELS[rows], recipe.batch_augment.label_smoothing)
        with tf.GradientTape() as tape:
            probabilities = model(SCALED[rows], training=True)
            loss = -tf.reduce_mean(tf.reduce_sum(labels * tf.math.log(probabilities), axis=-1))
        rate = _rate(recipe, step, mean_error)
        error = np.mean(np.argmax(probabilities, axis=-1) != LABELS[rows])
        mean_error += (error - mean_error) / 20
        variables = model.trainable_variables
        for variable, gradient in zip(variables, tape.gradient(loss, variables), strict=True):
            if recipe.weight_decay_on == "all" or len(variable.shape) > 1:
                gradient = gradient + recipe.weight_decay * variable
            velocity = recipe.momentum * velocities[variable.path] - rate * gradient
            velocities[variable.path] = velocity
            variable.assign_add(velocity)
        if step < 8 or (step + 1) % 8 == 0:
            updates = (step + 1) / 8
            decay = min(recipe.ema_decay**8, updates / (updates + 9))
            for variable in model.weights:
                average[variable.path] = decay * average[variable.path] + (1 - decay) * variable.numpy()
    return average if recipe.ema_decay else {variable.path: variable.numpy() for variable in model.weights}


# Shortened as below, these differ from others in nothing, or little.
SLOW = ("digits", "imagenet", "cifar", "plateau", "cifar110", "finetune")


@pytest.mark.parametrize("name", [slow(name) if name in SLOW else name for name in RECIPES])
def test_a_recipe_trains_plain_data_as_a_loop_by_hand(name, float64):
    """Shortened, and with smaller steps."""
    recipe = dataclasses.replace(
        RECIPES[name],
        batch_size=BATCH,
        epochs=EPOCHS,
        iterations=0,
        learning_rate=0.01,
        milestones=(4, 7) if RECIPES[name].milestones else (),
    )
    model = _model()
    train(model, _data(SCALED), _data(SCALED), recipe, callbacks=[])
    for path, expected in _by_hand(recipe).items():
        (weight,) = [weight for weight in model.weights if weight.path == path]
        np.testing.assert_allclose(weight.numpy(), expected, rtol=1e-5, atol=1e-7, err_msg=path)


def test_images_and_labels_are_those_of_the_augmenter():
    """By a key of seed, worker and step, so that they are known beforehand."""
    recipe = dataclasses.replace(MIXED, batch_augment=ALL, momentum=0.0, weight_decay=0.0, learning_rate=1e-5)
    model, weights = _dense(), _Weights()
    train(model, _data(), _data(), recipe, callbacks=[weights], seed=7)
    # In a graph, where each of mixup and cutmix draws its own numbers whichever is taken.
    augmenter = tf.function(BatchAugmenter(ALL, CLASSES), autograph=False)
    changed = 0
    for step in range(EPOCHS * BATCHES):
        rows = slice(step % BATCHES * BATCH, (step % BATCHES + 1) * BATCH)
        key = tf.random.experimental.stateless_fold_in(tf.constant([7, 0]), step)
        images, labels = augmenter(tf.constant(IMAGES[rows]), tf.constant(LABELS[rows]), key)
        changed += not np.array_equal(images, IMAGES[rows])
        (kernel, bias), (next_kernel, next_bias) = weights.values[step : step + 2]
        pixels = images.numpy().reshape(BATCH, -1).astype("float64")
        logits = pixels @ kernel + bias
        powers = np.exp(logits - logits.max(axis=1, keepdims=True))
        gradient = (powers / powers.sum(axis=1, keepdims=True) - labels.numpy()) / BATCH
        np.testing.assert_allclose(next_kernel - kernel, -1e-5 * pixels.T @ gradient, rtol=0.01, atol=2e-6)
        np.testing.assert_allclose(next_bias - bias, -1e-5 * gradient.sum(axis=0), rtol=0.01, atol=1e-8)
    assert changed == EPOCHS * BATCHES


@pytest.mark.slow
def test_another_seed_augments_otherwise():
    results = [_dense() for _ in range(3)]
    for model, seed in zip(results, (0, 0, 1), strict=True):
        train(model, _data(), _data(), MIXED, callbacks=[], seed=seed)
    same, again, other = (model.get_weights()[0] for model in results)
    np.testing.assert_array_equal(same, again)
    assert abs(same - other).max() > 1e-3


def _fail(model):
    raise RuntimeError


def test_a_resumed_training_augments_as_an_uninterrupted_one(tmp_path):
    expected_model, model = _dense(), _dense()
    expected = train(expected_model, _data(), _data(), MIXED, callbacks=[])
    for steps in (3, 5):
        with pytest.raises(RuntimeError):
            train(
                model,
                _data(),
                _data(),
                MIXED,
                callbacks=[AfterStep(steps, _fail)],
                checkpoints=Checkpoints(tmp_path, minutes=0),
            )
    state = train(model, _data(), _data(), MIXED, callbacks=[], checkpoints=Checkpoints(tmp_path))
    assert state.history == expected.history
    for ours, theirs in zip(model.get_weights(), expected_model.get_weights(), strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_another_seed_does_not_resume(tmp_path):
    train(_dense(), _data(), _data(), MIXED, callbacks=[], checkpoints=Checkpoints(tmp_path))
    with refused(None) as caught:
        train(_dense(), _data(), _data(), MIXED, callbacks=[], checkpoints=Checkpoints(tmp_path), seed=1)
    assert "training.augment_seed=0 instead of 1" in caught.value.reason


def test_several_devices_share_an_augmented_batch():
    """Without batch norm: the same steps as on one device."""
    results = []
    for devices in (("CPU:0",), ("CPU:0", "CPU:1")):
        with make_strategy("auto", devices).scope():
            model = _dense()
            train(model, _data(), _data(), dataclasses.replace(MIXED, learning_rate=1e-5), callbacks=[])
        results.append(model.get_weights()[0])
    np.testing.assert_allclose(*results, rtol=1e-4, atol=1e-6)


def _resumable(batch_augment, labels=LABELS):
    """As a pipeline that has applied an augmentation itself: here, labels that it has made."""
    return ResumableData(BATCHES, lambda *_: _data(labels=labels).repeat(), batch_augment)


def test_what_the_data_have_applied_is_not_applied_again():
    smoothing = BatchAugment(label_smoothing=0.1)
    recipe = dataclasses.replace(MIXED, batch_augment=smoothing, learning_rate=1e-5)
    applied, declared = _dense(), _dense()
    train(applied, _data(), _data(), recipe, callbacks=[])
    train(declared, _resumable(smoothing, _smooth(LABELS, 0.1)), _data(), recipe, callbacks=[])
    for ours, theirs in zip(applied.get_weights(), declared.get_weights(), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-5)


def test_data_that_have_applied_nothing_are_augmented():
    smoothing = BatchAugment(label_smoothing=0.1)
    recipe = dataclasses.replace(MIXED, batch_augment=smoothing, learning_rate=1e-5)
    results = []
    for data in (_data(), _resumable(None), _resumable(BatchAugment())):
        model = _dense()
        results.append((train(model, data, _data(), recipe, callbacks=[]).history, model.get_weights()))
    for history, weights in results[1:]:
        assert history["loss"] == results[0][0]["loss"]
        np.testing.assert_array_equal(weights[0], results[0][1][0])


@pytest.mark.parametrize("wanted", [BatchAugment(), BatchAugment(mixup=0.2)])
def test_data_that_have_applied_something_else_are_refused(wanted):
    data = _resumable(BatchAugment(label_smoothing=0.1), _smooth(LABELS, 0.1))
    model = _dense()
    before = model.get_weights()
    with refused("batch_augment", wanted):
        train(model, data, _data(), dataclasses.replace(MIXED, batch_augment=wanted), callbacks=[])
    np.testing.assert_array_equal(model.get_weights()[0], before[0])


def test_labels_that_cannot_be_augmented_are_refused():
    recipe = dataclasses.replace(MIXED, batch_augment=BatchAugment(label_smoothing=0.1))
    with refused("batch_augment", recipe.batch_augment) as caught:
        train(_dense(), _data(labels=_smooth(LABELS, 0.0)), _data(), recipe, callbacks=[])
    assert "integer" in caught.value.reason


@pytest.mark.parametrize("field", ["randaugment", "random_erasing", "mixup", "cutmix"])
def test_images_whose_pixels_cannot_be_augmented_are_refused(field):
    recipe = dataclasses.replace(MIXED, batch_augment=BatchAugment(**{field: 0.5}))
    with refused("batch_augment", recipe.batch_augment) as caught:
        train(_dense(), _data(SCALED), _data(), recipe, callbacks=[])
    assert "uint8" in caught.value.reason


def test_label_smoothing_takes_images_of_any_type():
    recipe = dataclasses.replace(MIXED, batch_augment=BatchAugment(label_smoothing=0.1))
    history = train(_dense(), _data(SCALED), _data(), recipe, callbacks=[]).history
    assert np.isfinite(history["loss"]).all()


def test_labels_out_of_range_are_an_error_and_not_zeros():
    recipe = dataclasses.replace(MIXED, batch_augment=BatchAugment(label_smoothing=0.1))
    with pytest.raises(tf.errors.InvalidArgumentError, match=r"labels must be 0\.\.2"):
        train(_dense(), _data(labels=LABELS + CLASSES), _data(), recipe, callbacks=[])


def test_metrics_get_integer_labels_with_augmentation_too():
    recipe = dataclasses.replace(
        MIXED, batch_augment=BatchAugment(label_smoothing=0.1), epochs=1, learning_rate=1e-12
    )
    metrics = {"accuracy": keras.metrics.sparse_categorical_accuracy}
    history = train(_dense(), _data(), _data(), recipe, callbacks=[], metrics=metrics).history
    assert history["accuracy"] == pytest.approx([1 - error for error in history["error"]])
    assert history["accuracy"] == pytest.approx(history["val_accuracy"])


def _gammas(model):
    """Of the last batch norm of each block."""
    return [layer.gamma.numpy() for layer in model.layers if layer.name.endswith("_2_bn")]


ZERO_GAMMA = dataclasses.replace(MIXED, batch_augment=BatchAugment(), zero_gamma=True)


@pytest.mark.parametrize("recipe", [ZERO_GAMMA, slow(dataclasses.replace(ZERO_GAMMA, zero_gamma=False))])
def test_zero_gamma_is_applied_at_the_start(recipe):
    weights, model, expected = _Weights(), _model(), _model()
    if recipe.zero_gamma:
        zero_gamma(expected)
    train(model, _data(), _data(), recipe, callbacks=[weights])
    for ours, theirs in zip(weights.values[0], expected.get_weights(), strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_zero_gamma_is_not_applied_when_resuming(tmp_path):
    model = _model()
    with pytest.raises(RuntimeError):
        train(
            model,
            _data(),
            _data(),
            ZERO_GAMMA,
            callbacks=[AfterStep(6, _fail)],
            checkpoints=Checkpoints(tmp_path, minutes=0),
        )
    weights = _Weights()
    train(model, _data(), _data(), ZERO_GAMMA, callbacks=[weights], checkpoints=Checkpoints(tmp_path))
    assert len(weights.values) == 1 + EPOCHS * BATCHES - 5
    model.set_weights(weights.values[0])
    assert all(np.abs(gamma).max() > 0 for gamma in _gammas(model))


@pytest.mark.slow
def test_a_refused_checkpoint_leaves_gamma_as_it_is(tmp_path):
    train(_model(), _data(), _data(), MIXED, callbacks=[], checkpoints=Checkpoints(tmp_path))
    model = _model()
    with refused(None):
        train(model, _data(), _data(), ZERO_GAMMA, callbacks=[], checkpoints=Checkpoints(tmp_path))
    assert all(np.array_equal(gamma, np.ones_like(gamma)) for gamma in _gammas(model))


@pytest.mark.parametrize("make", [_dense, lambda: _model(shortcut=None)], ids=["dense", "plain"])
def test_zero_gamma_without_residual_blocks_is_refused(make):
    with refused("zero_gamma", True):
        train(make(), _data(), _data(), ZERO_GAMMA, callbacks=[])
