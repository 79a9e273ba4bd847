"""Training: compile and fit, with the paper's schedule."""

import pathlib
from collections.abc import Collection, Sequence

import keras
import tensorflow as tf

from keras_resnet.training.blockwise import BlockwiseModel
from keras_resnet.training.optimizer import CoupledSGD
from keras_resnet.training.progress import ProgressBar
from keras_resnet.training.recipes import Recipe
from keras_resnet.training.waiting import InputWait

# A smaller improvement of the validation error (0..1) is noise, not progress.
_MIN_DELTA = 1e-4
# Three drops, as the longest of the paper's schedules.
_SMALLEST_LEARNING_RATE = 1e-3


@keras.saving.register_keras_serializable("keras_resnet")
class Error(keras.metrics.MeanMetricWrapper):
    """Share of images whose likeliest class is not theirs, 0..1: the top-1 error.

    Labels are class numbers (N,), or a share of each class (N, classes), of which the largest counts.
    """

    def __init__(self, name: str = "error", **kwargs):
        super().__init__(_is_wrong, name=name, **kwargs)

    def get_config(self):
        return {"name": self.name, "dtype": self.dtype}


def _is_wrong(labels, probabilities):
    if labels.shape[-1:] == probabilities.shape[-1:] and len(labels.shape) == 2:
        labels = keras.ops.argmax(labels, axis=-1)
    answers = keras.ops.argmax(probabilities, axis=-1)
    return keras.ops.not_equal(keras.ops.cast(keras.ops.reshape(labels, [-1]), answers.dtype), answers)


def compile_for_training(
    model: keras.Model, recipe: Recipe, *, jit_compile: bool = False, rematerialized: Collection[str] = ()
) -> keras.Model:
    """A compiled model that shares layers and weights with a flat one; `train` fits it.

    Args: as of `train`.
    """
    trained = BlockwiseModel(model, rematerialized)
    trained.compile(
        optimizer=CoupledSGD(recipe.learning_rate, recipe.momentum, recipe.weight_decay),
        loss="categorical_crossentropy" if recipe.mixing else "sparse_categorical_crossentropy",
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
    steps_per_epoch: int | None = None,
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
        train_batches: (images, integer labels), or labels (n, classes) with a recipe that mixes. One epoch
            of them, or all epochs one after another where `steps_per_epoch` is given.
        validation_batches: (images, integer labels); their error drives the learning rate.
        steps_per_epoch: number of batches.
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
    if recipe.mixing:
        classes = model.output_shape[-1]
        validation_batches = validation_batches.map(lambda x, y: (x, tf.one_hot(y, classes)))
    wait = InputWait()
    return trained.fit(
        wait.timed(train_batches),
        validation_data=validation_batches,
        epochs=recipe.epochs,
        steps_per_epoch=steps_per_epoch,
        shuffle=False,  # the batches come shuffled
        callbacks=[plateau, *files, *callbacks, ProgressBar(), wait],
    )
