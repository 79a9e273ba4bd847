"""Checks what is evaluated together: models, their weights in the ensemble, labels."""

from collections.abc import Mapping, Sequence

import numpy as np
import tensorflow as tf

from keras_resnet.data.dataset import Split
from keras_resnet.errors import UserError
from keras_resnet.inference.predictor import Predictor

# What the average of several models is called among their results.
ENSEMBLE = "ensemble"


def check_models(models: Mapping[str, Predictor], split: Split) -> None:
    """Checks that the models have the same classes, and can take these images.

    Raises:
        UserError: with the name of the model that does not fit.
    """
    if not models:
        raise UserError("must hold at least one model.", parameter="models")
    if ENSEMBLE in models:
        raise UserError(
            "is the name of all models together; rename the model's folder.",
            parameter="models",
            value=ENSEMBLE,
        )
    first, *others = models.items()
    for name, predictor in others:
        pairs = zip(first[1].class_names, predictor.class_names, strict=False)
        for number, (one, other) in enumerate(pairs):
            if one != other:
                raise UserError(
                    f"its class {number} is {other}, and that of {first[0]} is {one}; evaluate models of "
                    "different classes one by one.",
                    parameter="models",
                    value=name,
                )
        if len(predictor.class_names) != len(first[1].class_names):
            raise UserError(
                f"it has {len(predictor.class_names)} classes, and {first[0]} has "
                f"{len(first[1].class_names)}; evaluate models of different classes one by one.",
                parameter="models",
                value=name,
            )
    several = [name for name, predictor in models.items() if predictor.thresholds is not None]
    if several:
        raise UserError(
            "it gives an image any number of labels; use evaluate_multi_label, or keras_resnet.evaluate with "
            "a table.",
            parameter="models",
            value=several[0],
        )
    image, label = split.read(None).element_spec[1:]
    if label.shape.rank:
        raise UserError(
            "has vectors of labels, and the models give an image one class.",
            parameter="images",
            value=split.name,
        )
    for name, predictor in models.items():
        if image.dtype != tf.string and image.shape[-1] not in (1, predictor.spec.channels):
            raise UserError(
                f"it takes images of {predictor.spec.channels} channel(s), and those of {split.name} have "
                f"{image.shape[-1]}; use another model or other images.",
                parameter="models",
                value=name,
            )


def check_labels(labels: np.ndarray, classes: int, split: Split) -> None:
    """Checks that labels are classes of the models.

    Raises:
        UserError: one is not.
    """
    wrong = labels[(labels < 0) | (labels >= classes)]
    if len(wrong):
        raise UserError(
            f"an image has label {wrong[0]}, and the models have {classes} classes, 0 to {classes - 1}; use "
            "images of their classes.",
            parameter="images",
            value=split.name,
        )


def ensemble_shares(weights: Sequence[float], models: Mapping[str, Predictor]) -> list[float]:
    """Returns the weights of the models in the ensemble, scaled to a sum of 1.

    Args:
        weights: one for each model; empty: all equal.

    Raises:
        UserError: they are more or fewer, or one is not greater than 0.
    """
    weights = list(weights) or [1.0] * len(models)
    if len(weights) != len(models):
        raise UserError(
            f"must be one weight for each of the {len(models)} models.",
            parameter="ensemble_weights",
            value=weights,
        )
    if not all(np.isfinite(weight) and weight > 0 for weight in weights):
        raise UserError("must be greater than 0.", parameter="ensemble_weights", value=weights)
    return [weight / sum(weights) for weight in weights]
