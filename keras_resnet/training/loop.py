"""Training: compile and fit, with the paper's schedule."""

import pathlib
from collections.abc import Collection, Sequence

import keras
import tensorflow as tf

from keras_resnet.training.blockwise import BlockwiseModel
from keras_resnet.training.optimizer import CoupledSGD
from keras_resnet.training.progress import ProgressBar
from keras_resnet.training.recipes import Recipe

# A smaller improvement of the validation error (0..1) is noise, not progress.
_MIN_DELTA = 1e-4
# Three drops, as the longest of the paper's schedules.
_SMALLEST_LEARNING_RATE = 1e-3


@keras.saving.register_keras_serializable("keras_resnet")
class Error(keras.metrics.SparseCategoricalAccuracy):
    """Share of images whose likeliest class is not theirs, 0..1: the top-1 error."""

    def __init__(self, name: str = "error", **kwargs):
        super().__init__(name=name, **kwargs)

    def result(self):
        return 1.0 - super().result()


def compile_for_training(
    model: keras.Model, recipe: Recipe, *, jit_compile: bool = False, rematerialized: Collection[str] = ()
) -> keras.Model:
    """A compiled model that shares layers and weights with a flat one; `train` fits it.

    Args: as of `train`.
    """
    trained = BlockwiseModel(model, rematerialized)
    trained.compile(
        optimizer=CoupledSGD(recipe.learning_rate, recipe.momentum, recipe.weight_decay),
        loss="sparse_categorical_crossentropy",
        metrics=[Error()],
        jit_compile=jit_compile,
    )
    # Here and not in the first step, where TensorFlow would trace the making of each velocity.
    trained.optimizer.build(trained.trainable_variables)
    return trained


def train(
    model: keras.Model,
    train_batches: tf.data.Dataset,
    validation_batches: tf.data.Dataset,
    recipe: Recipe,
    *,
    history_file: pathlib.Path | None = None,
    callbacks: Sequence[keras.callbacks.Callback] = (),
    jit_compile: bool = False,
    rematerialized: Collection[str] = (),
) -> keras.callbacks.History:
    """Train a classifier and return what was measured after each epoch.

    The history has `loss`, `error`, `val_loss`, `val_error` and `learning_rate`, one value an epoch. Call
    this in the scope of the strategy in which the model was built.

    Args:
        model: a flat net that gives class probabilities; its weights are trained in place.
        train_batches: (images, integer labels).
        validation_batches: the same; their error drives the learning rate.
        history_file: CSV file that gets a line after each epoch.
        callbacks: the user's own.
        jit_compile: whether XLA compiles the step; it cannot under a strategy of several devices.
        rematerialized: stages (`conv2`, ...) whose inner activations are computed again for the gradients
            instead of being kept.
    """
    trained = compile_for_training(model, recipe, jit_compile=jit_compile, rematerialized=rematerialized)
    plateau = keras.callbacks.ReduceLROnPlateau(
        monitor="val_error",
        mode="min",
        factor=0.1,
        patience=recipe.patience,
        min_delta=_MIN_DELTA,
        min_lr=recipe.learning_rate * _SMALLEST_LEARNING_RATE,
        verbose=1,
    )
    files = [keras.callbacks.CSVLogger(str(history_file))] if history_file else []
    return trained.fit(
        train_batches,
        validation_data=validation_batches,
        epochs=recipe.epochs,
        shuffle=False,  # the batches come shuffled
        callbacks=[plateau, *files, *callbacks, ProgressBar()],
    )
