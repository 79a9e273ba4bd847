"""What the steps of every engine have in common: their optimizer, averages, variables and phases."""

import abc
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any

import keras

from keras_resnet.errors import UserError
from keras_resnet.models.freezing import freeze, stages
from keras_resnet.models.head import MULTI_LABEL, count_classes, find_head
from keras_resnet.training.averages import ExponentialMovingAverage
from keras_resnet.training.blockwise import BlockwiseModel
from keras_resnet.training.distillation import Distillation, class_scores
from keras_resnet.training.measures import Metric, image_weights, metric_names, training_losses
from keras_resnet.training.optimizer import CoupledSGD
from keras_resnet.training.recipes import Recipe


class StepFunctions(abc.ABC):
    """The step functions of a model on the devices of an engine.

    With a recipe that unfreezes, they train whatever it unfreezes last, until `train_from` is called.
    Optimizer and averages have variables for all of that throughout: velocities, learning rate and loss scale
    carry over from one phase to the next, velocities of frozen weights stay zero, and checkpoints of all
    phases hold the same variables.

    Args:
        model: a flat Functional classifier, as of `training.train`; trained in place.
        recipe: for the optimizer, the moving average and what is unfrozen.
        gradient_accumulation_steps: number of parts in which a batch is computed one after another, their
            gradients summed before the weights change: a large batch in less memory. Batch norm normalizes
            each part by itself.
        metrics: the user's, by name, besides `loss` and `error`.
        jit_compile: compiles the training step by XLA.
        rematerialize: stages (`conv2`, ...) whose blocks recompute their inner activations for the gradients
            instead of keeping them: about 1.3 times the work, and a fraction of the memory. "batch_norm":
            every block recomputes all of them but those of convolutions, as TensorFlow does in any case.
        distillation: a teacher whose probabilities are learned besides the labels.
        class_weight: how often the loss of a training image of each class counts, (classes,).

    Raises:
        UserError: the recipe unfreezes a stage that the model does not have, the model is no classifier, or
            has another number of classes than there are weights.
    """

    def __init__(
        self,
        model: keras.Model,
        recipe: Recipe,
        *,
        gradient_accumulation_steps: int = 1,
        metrics: Mapping[str, Metric] | None = None,
        jit_compile: bool = False,
        rematerialize: Collection[str] = (),
        distillation: Distillation | None = None,
        class_weight: Sequence[float] | None = None,
    ):
        self._gradient_accumulation_steps = gradient_accumulation_steps
        self._metrics = dict(metrics or {})
        self._model, self._jit_compile, self._rematerialize = model, jit_compile, rematerialize
        self._head = find_head(model)
        if self._head == MULTI_LABEL:
            _check_multi_label(recipe, class_weight)
        self._distillation = distillation
        self._teacher = None if distillation is None else BlockwiseModel(distillation.teacher)
        if class_weight is not None and len(class_weight) != count_classes(model):
            raise UserError(
                f"must have a number for each of the {count_classes(model)} classes.",
                parameter="class_weight",
                value=class_weight,
            )
        self._class_weight = class_weight
        check_unfreeze(model, recipe)
        if recipe.unfreeze:
            freeze(model, recipe.unfreeze[-1][0])
        self._build()
        optimizer = CoupledSGD(
            recipe.learning_rate,
            recipe.momentum,
            recipe.weight_decay,
            weight_decay_on=recipe.weight_decay_on,
        )
        if keras.config.dtype_policy().compute_dtype == "float16" or _computes_float16(model):
            optimizer = keras.optimizers.LossScaleOptimizer(optimizer)
        # Here and not in the first step, where TensorFlow would trace the creation of each velocity.
        optimizer.build(self.trained.trainable_variables)
        self.optimizer = optimizer
        self.averages = self._make_averages(recipe.ema_decay) if recipe.ema_decay else None

    trained: keras.Model  # shares the layers and weights of the model

    @abc.abstractmethod
    def _build(self) -> None:
        """Makes `trained` and its training step for what is not frozen."""

    @abc.abstractmethod
    def _make_averages(self, decay: float) -> ExponentialMovingAverage:
        """Makes averages of all weights of floating point."""

    @abc.abstractmethod
    def train_step(self, images: Any, labels: Any, flag: float = 0.0) -> list[float]:
        """Updates the weights by one batch.

        Args:
            images, labels: this worker's share of the batch, (n, ...), n a multiple of its devices times
                `gradient_accumulation_steps`. Labels are integers (n,) or probabilities (n, classes);
                for a model of several labels an image the latter.
            flag: a number of this worker's, to be summed over the workers.

        Returns:
            The sum of each of `names` over the images of all workers, the number of images, and a number that
            is 0 if all flags are.

        Raises:
            UserError: the images of a device cannot be divided into so many parts.
        """

    # Most steps that one call of `train_steps` computes.
    steps_per_call = 1

    def train_steps(
        self, batches: Sequence[tuple[Any, Any]], learning_rates: Sequence[float], flag: float = 0.0
    ) -> list[list[float]]:
        """Updates the weights by up to `steps_per_call` batches; returns for each what `train_step` returns.

        Args:
            batches: for each step what `train_step` takes.
            learning_rates: of each step; the first one is the optimizer's.
            flag: the same for all of them.
        """
        return [self.train_step(*batch, flag) for batch in batches]

    @abc.abstractmethod
    def load_ahead(self, batches: Iterable) -> Iterator:
        """Iterates over this worker's batches, which are copied to its devices in advance."""

    @abc.abstractmethod
    def test_step(self, images: Any, labels: Any, sample_weight: Any) -> list[float]:
        """Returns the same sums, without the flags, of a batch that is not trained on, and counts of classes.

        The counts are those of `measures.class_counts`, (3 * classes,), after the number of images.

        Args:
            images, labels: as in `train_step`.
            sample_weight: 1 for each image that counts, 0 for one that only fills up the batch, (n,).
        """

    def release(self) -> None:  # noqa: B027, for most engines there is nothing to do
        """Leaves the model, once it is trained, as it can be used without the engine."""

    def train_from(self, stage: str) -> None:
        """Trains from this stage on, and freezes what comes before it, from the next step on."""
        freeze(self._model, stage)
        self._build()

    @property
    def is_multi_label(self) -> bool:
        """Whether the model ends in a sigmoid for each of several labels an image."""
        return self._head == MULTI_LABEL

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the metrics, in the order of the sums."""
        return metric_names(self._metrics)

    @property
    def variables(self) -> dict[str, keras.Variable]:
        """All variables that a checkpoint must hold, by name."""
        groups = {"weights": self.trained.variables, "optimizer": self.optimizer.variables}
        if self.averages:
            groups["averages"] = self.averages.variables
        # By number: Keras' own names depend on what else the process has made.
        return {
            f"{group}/{number}": variable
            for group, variables in groups.items()
            for number, variable in enumerate(variables)
        }

    def _losses(self, labels: Any, outputs: Any, logits: Any, teacher_scores: Any = None) -> Any:
        """Returns the loss of each image that is trained on, (N,).

        Args:
            labels, outputs, logits: as of `measures.training_losses`.
            teacher_scores: of the same images, where there is a teacher.
        """
        losses = training_losses(labels, outputs, logits, self._head)
        if self._distillation:
            scores = class_scores(outputs, logits, self._head)
            losses = self._distillation.losses(losses, scores, teacher_scores)
        if self._class_weight is None:
            return losses
        return losses * keras.ops.cast(image_weights(labels, self._class_weight), losses.dtype)

    def _changing_state(self) -> list[keras.Variable]:
        """Returns what a step changes besides the trained weights.

        Averages of batch norm and states of random generators, but for those of frozen layers.
        """
        frozen = {
            id(weight) for layer in self._model.layers if not layer.trainable for weight in layer.weights
        }
        return [variable for variable in self.trained.non_trainable_variables if id(variable) not in frozen]

    def _images_at_once(self, images: int) -> int:
        """Returns how many of a device's images are computed at once."""
        if images % self._gradient_accumulation_steps:
            raise UserError(
                f"must divide the {images} images of a batch on each device.",
                parameter="gradient_accumulation_steps",
                value=self._gradient_accumulation_steps,
            )
        return images // self._gradient_accumulation_steps


def check_unfreeze(model: keras.Model, recipe: Recipe) -> None:
    """Refuses a recipe that unfreezes a stage that the model does not have.

    Raises:
        UserError: with the stages that it has.
    """
    found = stages(model)
    for stage, _ in recipe.unfreeze:
        if stage not in found:
            raise UserError(
                f"{stage} is not a stage of {model.name}, which has {', '.join(found) or 'none'}.",
                parameter="unfreeze",
                value=recipe.unfreeze,
            )


def _check_multi_label(recipe: Recipe, class_weight: Sequence[float] | None) -> None:
    """Refuses what is not defined for several labels an image."""
    if class_weight is not None:
        raise UserError(
            "counts images by their class, and a model of several labels an image has none; leave it out.",
            parameter="class_weight",
            value=class_weight,
        )
    if recipe.warmup_error:
        raise UserError(
            "is a top-1 error, which models of several labels an image do not have; use 0, or warmup_epochs.",
            parameter="warmup_error",
            value=recipe.warmup_error,
        )


def _computes_float16(model: keras.Model) -> bool:
    return any(layer.compute_dtype == "float16" for layer in model.layers)
