"""`train`: a model, batches and a recipe in; a trained model and its history out."""

import contextlib
from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import keras
from numpy.typing import ArrayLike

from keras_resnet._utils.environment import require_engine
from keras_resnet.data.image_arrays import ImageArrays
from keras_resnet.errors import UserError
from keras_resnet.models.freezing import restore_trainable
from keras_resnet.models.head import count_classes
from keras_resnet.models.surgery import residual_blocks, zero_gamma
from keras_resnet.training.callbacks.checks import check_callbacks
from keras_resnet.training.callbacks.progress import ProgressBar
from keras_resnet.training.checkpoint import Checkpoints
from keras_resnet.training.class_metrics import CLASS_METRICS
from keras_resnet.training.datasets import as_batches
from keras_resnet.training.distillation import Distillation
from keras_resnet.training.engines import Engine, default_engine
from keras_resnet.training.engines.steps import check_unfreeze
from keras_resnet.training.input import ResumableData, as_resumable_data, data_for_steps
from keras_resnet.training.measures import Metric, metric_names
from keras_resnet.training.recipes import Recipe, get_recipe
from keras_resnet.training.state import TrainState
from keras_resnet.training.trainer import Trainer

if TYPE_CHECKING:
    import tensorflow as tf


def train(
    model: keras.Model,
    train_data: "ResumableData | ImageArrays | tf.data.Dataset | tuple[ArrayLike, ArrayLike]",
    validation_data: "tf.data.Dataset | tuple[ArrayLike, ArrayLike]",
    recipe: Recipe | str,
    *,
    callbacks: Sequence[keras.callbacks.Callback] | None = None,
    metrics: Mapping[str, Metric] | None = None,
    checkpoints: Checkpoints | None = None,
    gradient_accumulation_steps: int = 1,
    max_rollbacks: int = 0,
    jit_compile: bool = False,
    rematerialize: Collection[str] = (),
    distillation: Distillation | None = None,
    class_weight: Sequence[float] | None = None,
    restore_best: bool = False,
    stop_after: int | None = None,
    seed: int = 0,
    engine: Engine | None = None,
) -> TrainState:
    """Trains a classifier as a recipe says, from the last checkpoint on if there is one.

    Every field of the recipe is applied here, its `batch_augment` and `zero_gamma` too. Call it in the scope
    of the strategy in which the model was built; with several machines, call it on each. Whatever happens,
    layers are as trainable afterwards as they were before, and a call that does not return leaves the last
    raw weights in the model, never the averaged ones.

    Args:
        model: a flat Functional classifier, trained in place. It returns probabilities or logits, or the
            probability of the second of two classes by one sigmoid.
        train_data: one epoch of batches (images, labels) of the recipe's `batch_size`, or a `ResumableData`,
            which can start at any step; or a pair of arrays, of which each epoch makes batches in another
            order, or `ImageArrays`, which crops and flips them as well. Images are cast to the dtype of the
            model's input. Labels are integers (N,) or (N, 1), or probabilities (N, classes), such as one-hot
            labels, for a recipe without `batch_augment`. A model that ends in a sigmoid for each of several
            labels takes vectors of 0 and 1, (N, labels); its loss is the sum of their binary
            cross-entropies, its error the share of wrong labels.
        validation_data: batches (images, labels) of this worker, or a pair of arrays; each image counts once.
        recipe: a recipe, or the name of one in `RECIPES`.
        callbacks: Keras' or your own; a progress bar by default.
        metrics: functions (integer labels, probabilities) -> one value per image, as those of keras.metrics.
            They get the softmax of logits, and both probabilities of a sigmoid; of several labels the vectors
            and the probability of each label.
        checkpoints: where the state is kept. Repeat the call to resume an interrupted training.
        gradient_accumulation_steps: number of parts in which a batch is computed, one after another, in less
            memory.
        max_rollbacks: how often to return to the last checkpoint, with a tenth of the learning rate, when the
            loss is NaN or infinite.
        jit_compile: compiles the step by XLA; not possible on several devices.
        rematerialize: stages (`conv2`, ...) whose inner activations are recomputed for the gradients instead
            of kept; "batch_norm": of all stages, but not the outputs of convolutions.
        distillation: a teacher whose probabilities are learned besides the labels.
        class_weight: one number for each class, as Keras' `fit` takes them by class: the loss of a training
            image counts so many times, and the sum is divided by the number of images. A label that is
            probabilities weighs the mean of the weights, in its shares. Validation does not weigh.
        restore_best: ends with the weights of the epoch with the lowest validation error (of equal ones, the
            lowest loss), from its checkpoint, unless a callback puts in others at the end.
        stop_after: number of epochs without a better one after which training ends.
        seed: for the random numbers of the recipe's `batch_augment`, where `train_data` has not applied it.
        engine: as of `make_engine`; by default TensorFlow's strategy in scope, or JAX's first device.

    Returns:
        The state at the end. Its history has `loss`, `error`, `val_loss`, `val_error`, `val_macro_f1`,
        `val_balanced_accuracy`, `learning_rate` and the metrics, one value per epoch.

    Raises:
        UserError: the loss is NaN or infinite, the checkpoint is of a different training, or data or model
            cannot take the recipe.
        Interrupted: SIGINT or SIGTERM was received; the state was saved.
    """
    require_engine()
    engine = engine or default_engine()
    recipe = get_recipe(recipe) if isinstance(recipe, str) else recipe
    check_unfreeze(model, recipe)
    if distillation is not None:
        distillation.check_student(model)
    if stop_after is not None and stop_after < 1:
        raise UserError("must be at least 1 epoch.", parameter="stop_after", value=stop_after)
    if restore_best and checkpoints is None:
        raise UserError("needs checkpoints, one of which is of the best epoch.", parameter="restore_best")
    callbacks = check_callbacks([ProgressBar()] if callbacks is None else callbacks, metric_names(metrics))
    data = as_resumable_data(
        as_batches(train_data, model, "train_data", recipe.batch_size), recipe.batch_size
    )
    validation: Any = as_batches(validation_data, model, "validation_data")
    batches, arrays = data_for_steps(data, engine, recipe, count_classes(model), seed)
    checkpoint = None
    if checkpoints is not None:
        options = {"class_weight": class_weight and list(class_weight), "stop_after": stop_after}
        checkpoints.identify_training(
            {
                "recipe": recipe.settings(),
                "training": {
                    **{name: value for name, value in options.items() if value is not None},
                    "metrics": (*metric_names(metrics), *CLASS_METRICS),
                    "steps_per_epoch": data.steps_per_epoch,
                    **_crop_settings(train_data),
                    "augment_seed": seed if recipe.batch_augment and not data.batch_augment else None,
                },
            }
        )
        checkpoint = checkpoints.latest()
    with restore_trainable(model) if recipe.unfreeze else contextlib.nullcontext():
        if recipe.zero_gamma and checkpoint is None:
            _zero_gamma(model)
        steps = engine.make_steps(
            model,
            recipe,
            arrays,
            gradient_accumulation_steps=gradient_accumulation_steps,
            metrics=metrics,
            jit_compile=jit_compile,
            rematerialize=rematerialize,
            distillation=distillation,
            class_weight=class_weight,
        )
        trainer = Trainer(
            model,
            engine,
            steps,
            batches,
            validation,
            recipe,
            checkpoints,
            max_rollbacks,
            restore_best=restore_best,
            stop_after=stop_after,
        )
        trainer.resume(checkpoint)
        del checkpoint  # as large as all variables
        trainer.run(callbacks)
    return trainer.state


def _crop_settings(train_data: Any) -> dict[str, Any]:
    """What makes a training on arrays another one, besides the images."""
    if not isinstance(train_data, ImageArrays):
        return {}
    return {name: getattr(train_data, name) for name in ("padding", "hflip", "seed")}


def _zero_gamma(model: keras.Model) -> None:
    if not residual_blocks(model):
        raise UserError(
            f"{model.name} has no residual blocks, as conv2_block1_add ends one; use zero_gamma=false.",
            parameter="zero_gamma",
            value=True,
        )
    zero_gamma(model)
