"""Runs of several labels an image: what they refuse, their thresholds and their results."""

import dataclasses
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from keras_resnet.data.dataset import Dataset, Split
from keras_resnet.errors import UserError
from keras_resnet.runs.card_multi_label import LabelRow, MultiLabelInfo
from keras_resnet.runs.config import TrainConfig
from keras_resnet.training.recipes import Recipe

if TYPE_CHECKING:
    import keras
    import numpy as np

    from keras_resnet.data.pipeline import Pipeline

_BATCH = 256


def check_multi_label(config: TrainConfig, recipe: Recipe, dataset: Dataset) -> None:
    """Refuses what is not defined for images of several labels.

    Raises:
        UserError: with the field.
    """
    several = f"and the images of {dataset.name} have several labels"
    if config.teacher is not None:
        raise UserError(
            f"teaches one class an image, {several}; leave it out.", parameter="teacher", value=config.teacher
        )
    if config.class_weight is not None:
        raise UserError(
            f"counts images by their class, {several}; leave it out.",
            parameter="class_weight",
            value=config.class_weight,
        )
    if recipe.warmup_error:
        raise UserError(
            f"is a top-1 error, {several}; use warmup_error=0, or warmup_epochs.",
            parameter="warmup_error",
            value=recipe.warmup_error,
        )


def multi_label_results(
    model: "keras.Model", pipeline: "Pipeline"
) -> tuple[dict[str, Any], tuple[float, ...]]:
    """Returns the results of a finished run, and the threshold of each label; reads the test split, if any.

    Thresholds are those of the largest F1 on the validation split.

    Returns:
        `validation_error` and `validation_map`; `test_error` where there is a test split; and of the reported
        split `accuracy`, `mean_average_precision` and `macro_f1`, and as `reported_split` "test" or
        "validation". `labels` has the scores of each. Errors are shares of wrong labels at the thresholds,
        and the accuracy of right ones.
    """
    from keras_resnet.evaluation.multi_label import best_thresholds, multi_label_scores

    dataset = pipeline.dataset
    predictions = _predictions(model, pipeline, dataset.validation)
    thresholds = best_thresholds(*predictions)
    reported = validation = multi_label_scores(*predictions, thresholds)
    if dataset.test is not None:
        reported = multi_label_scores(*_predictions(model, pipeline, dataset.test), thresholds)
    results = {
        "validation_error": validation.label_error,
        "validation_map": validation.mean_average_precision,
        **({} if dataset.test is None else {"test_error": reported.label_error}),
        "accuracy": 1 - reported.label_error,
        "mean_average_precision": reported.mean_average_precision,
        "macro_f1": reported.macro_f1,
        "labels": [
            {"name": name, **dataclasses.asdict(own)}
            for name, own in zip(dataset.class_names, reported.labels, strict=True)
        ],
        "reported_split": "validation" if dataset.test is None else "test",
    }
    return results, thresholds


def multi_label_info(results: Mapping[str, Any]) -> MultiLabelInfo:
    """Returns what a card says of the results of a run of several labels an image."""
    return MultiLabelInfo(
        results["mean_average_precision"],
        results["macro_f1"],
        results["validation_map"],
        tuple(LabelRow(**own) for own in results["labels"]),
    )


def _predictions(model: "keras.Model", pipeline: "Pipeline", split: Split) -> "tuple[np.ndarray, np.ndarray]":
    """Returns the labels of a split's images and their probabilities, (N, classes) each."""
    import numpy as np

    from keras_resnet.inference.predictor import Predictor

    predict = Predictor.from_model(model).predict_fn
    with pipeline.decode_errors.translate():
        batches = pipeline.sample_batches(split, split.size, _BATCH).as_numpy_iterator()
        labels, probabilities = zip(*((own, predict(images)) for images, own in batches), strict=True)
    return np.concatenate(labels), np.concatenate(probabilities)
