"""`TrainConfig.teacher`: a trained network whose probabilities are learned besides the labels."""

import dataclasses
import os
import pathlib
from typing import TYPE_CHECKING

from keras_resnet.data.dataset import Dataset
from keras_resnet.data.input_spec import InputTransform
from keras_resnet.errors import UserError
from keras_resnet.runs.config import TrainConfig
from keras_resnet.runs.initial_weights import InitialWeights, resolve_initial_weights
from keras_resnet.runs.record import load_finished_run
from keras_resnet.weights import registry

if TYPE_CHECKING:
    from keras_resnet.training.distillation import Distillation

# Where the configuration says nothing; neither can be 0.
TEMPERATURE, SHARE = 4.0, 0.9
# What the errors about weights name, and the field of the teacher that is meant.
_FIELDS = {"weights": "teacher", "depth": "teacher_depth"}


@dataclasses.dataclass(frozen=True)
class Teacher:
    """A teacher, and how much the training listens to it; see `Distillation`.

    Args:
        weights: of the teacher.
        temperature, share: as of `Distillation`.
    """

    weights: InitialWeights
    temperature: float
    share: float

    def settings(self) -> dict[str, object]:
        """What makes a training another one."""
        return {
            "fingerprint": self.weights.fingerprint,
            "temperature": self.temperature,
            "share": self.share,
        }

    def build(
        self, input_shape: tuple[int | None, int | None, int], classes: int, policy: str
    ) -> "Distillation":
        """Builds the network, in the scope of the engine that is to compute it."""
        from keras_resnet.models.classifier import build_classifier
        from keras_resnet.training.distillation import Distillation

        normalization = self.weights.normalization
        assert normalization is not None  # checked when it was resolved
        model = build_classifier(self.weights.architecture, input_shape, classes, normalization, policy)
        self.weights.load_into(model)
        return Distillation(model, self.temperature, self.share)


def resolve_teacher(config: TrainConfig, dataset: Dataset, transform: InputTransform) -> Teacher | None:
    """The teacher of a configuration, or None.

    Raises:
        UserError: it cannot be used, or a field of the teacher is given without one.
    """
    if config.teacher is None:
        for name in ("teacher_depth", "teacher_temperature", "teacher_share"):
            if getattr(config, name) is not None:
                raise UserError(
                    "needs a teacher: a finished run, a file of weights, or a name of public weights.",
                    parameter=name,
                    value=getattr(config, name),
                )
        return None
    name = os.fspath(config.teacher)
    if config.teacher_depth is not None and not registry.is_name(name):
        raise UserError(
            f"is for public weights by name; teacher={name} says its depth itself.",
            parameter="teacher_depth",
            value=config.teacher_depth,
        )
    try:
        weights = resolve_initial_weights(
            TrainConfig(dataset=config.dataset, weights=name, depth=config.teacher_depth), dataset
        )
    except UserError as error:
        field = _FIELDS.get(error.parameter or "", error.parameter)
        reason = error.reason.replace("weights=", "teacher=")
        raise UserError(reason, parameter=field, value=error.value) from error
    assert weights is not None
    _check(config, weights, dataset, transform)
    temperature, share = config.teacher_temperature, config.teacher_share
    return Teacher(weights, temperature or TEMPERATURE, share or SHARE)


def _check(config: TrainConfig, weights: InitialWeights, dataset: Dataset, transform: InputTransform) -> None:
    def refuse(reason: str) -> UserError:
        return UserError(reason, parameter="teacher", value=config.teacher)

    if weights.new_head:
        raise refuse(
            f"does not predict the {len(dataset.class_names):,} classes of {dataset.name}; use a run that "
            "was trained on them."
        )
    if weights.normalization is None:
        raise refuse("does not say how it normalizes pixels; use a finished run, or its model.keras.")
    path = pathlib.Path(os.fspath(config.teacher or ""))
    if not path.is_dir():
        return
    theirs = load_finished_run(path, "teacher").settings["input"]["size"]
    if theirs != transform.spec.size:
        raise refuse(
            f"takes images of {theirs} pixels, and this training has {transform.spec.size}; use "
            f"image_size={theirs}."
        )
