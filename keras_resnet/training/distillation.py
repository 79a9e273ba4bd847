"""Training with the probabilities of a teacher besides the labels (Hinton et al. 2015, arXiv:1503.02531)."""

import dataclasses
from typing import Any

import keras

from keras_resnet.errors import UserError
from keras_resnet.models.head import MULTI_LABEL, SIGMOID, count_classes, find_head
from keras_resnet.training.losses import MIN_PROBABILITY
from keras_resnet.training.measures import class_probabilities, in_full_precision, logits_of

# Of the engine: tf.Tensor or jax.Array.
Tensor = Any


@dataclasses.dataclass(frozen=True)
class Distillation:
    """A teacher, and how much a training listens to it.

    The loss of an image is (1 - share) times that of its label, plus share * temperature ** 2 times the
    divergence of the student's probabilities from the teacher's, both at the temperature (section 2). The
    teacher sees the same pixels: augmented, and mixed where the recipe mixes images.

    Args:
        teacher: a classifier of the same classes that takes the same images; it is not trained.
        temperature: divides the logits of both; higher ones tell more of the improbable classes.
        share: of the teacher in the loss, 0 to 1.

    Raises:
        UserError: a field does not take its value.
    """

    teacher: keras.Model
    temperature: float = 4.0
    share: float = 0.9

    def __post_init__(self):
        if not 0 < self.temperature < float("inf"):
            raise UserError("must be greater than 0.", parameter="temperature", value=self.temperature)
        if not 0 < self.share <= 1:
            raise UserError("must be greater than 0, and at most 1.", parameter="share", value=self.share)

    def check_student(self, student: keras.Model) -> None:
        """Refuses a student of other classes or images.

        Raises:
            UserError: with the number of classes or the shapes.
        """
        for model in (self.teacher, student):
            if find_head(model) == MULTI_LABEL:
                raise UserError(
                    f"is not defined for models of several labels an image, as {model.name}; leave it out.",
                    parameter="distillation",
                )
        theirs, own = count_classes(self.teacher), count_classes(student)
        if theirs != own:
            raise UserError(
                f"has a teacher of {theirs} classes, and {student.name} has {own}.", parameter="distillation"
            )
        shapes = [tuple(model.inputs[0].shape) for model in (self.teacher, student)]
        if any(None not in sides and sides[0] != sides[1] for sides in zip(*shapes, strict=True)):
            raise UserError(
                f"has a teacher that takes images of {shapes[0]}, and {student.name} takes {shapes[1]}.",
                parameter="distillation",
            )

    def scores(self, outputs: Tensor) -> Tensor:
        """Returns logits of each class, (N, classes), from the teacher's outputs."""
        head = find_head(self.teacher)
        return class_scores(outputs, logits_of(outputs, head), head)

    def losses(self, label_losses: Tensor, student_scores: Tensor, teacher_scores: Tensor) -> Tensor:
        """Returns the loss of each image, (N,).

        Args:
            label_losses: of the label of each, (N,).
            student_scores, teacher_scores: logits, (N, classes).
        """
        dtype = student_scores.dtype
        student = keras.ops.log_softmax(student_scores / self.temperature)
        teacher = keras.ops.log_softmax(keras.ops.cast(teacher_scores, dtype) / self.temperature)
        divergence = keras.ops.sum(keras.ops.exp(teacher) * (teacher - student), axis=-1)
        weight = self.share * self.temperature**2
        return (1 - self.share) * label_losses + weight * keras.ops.cast(divergence, label_losses.dtype)


def class_scores(outputs: Tensor, logits: Tensor | None, head: str) -> Tensor:
    """Returns numbers whose softmax are the probabilities of the classes, (N, classes).

    Args:
        outputs, logits, head: as of `measures.training_losses`.
    """
    if logits is None:
        probabilities = class_probabilities(outputs, None, head)
        return keras.ops.log(keras.ops.maximum(probabilities, MIN_PROBABILITY))
    logits = in_full_precision(logits)
    if head == SIGMOID:
        return keras.ops.concatenate([keras.ops.zeros_like(logits), logits], axis=1)
    return logits
