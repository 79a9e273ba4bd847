"""The part of `keras_resnet.evaluate` for models of several labels an image: their scores and files."""

import csv
import dataclasses
import json
import pathlib
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from keras_resnet._utils.atomic import atomic_write
from keras_resnet.errors import UserError
from keras_resnet.runs.data_options import file_label

if TYPE_CHECKING:
    from keras_resnet.evaluation.multi_label_evaluator import MultiLabelEvaluation


def check_views(views: str, ensemble_weights: Sequence[float] = ()) -> None:
    """Refuses what is not defined for several labels an image.

    Raises:
        UserError: with the parameter.
    """
    if views != "center":
        raise UserError(
            "is not defined for several labels an image; use views=center.",
            parameter="views",
            value=views,
        )
    if ensemble_weights:
        raise UserError(
            "models of several labels an image are evaluated one by one, without an ensemble; leave it out.",
            parameter="ensemble_weights",
            value=ensemble_weights,
        )


def as_json(
    evaluations: "Mapping[str, MultiLabelEvaluation]", class_names: Sequence[str], about: Mapping[str, Any]
) -> str:
    """Returns the numbers of evaluations as JSON.

    Args:
        about: other plain values to include.
    """
    results = {}
    for name, evaluation in evaluations.items():
        values = dataclasses.asdict(evaluation.scores)
        labels = [
            {"label": label, **own} for label, own in zip(class_names, values.pop("labels"), strict=True)
        ]
        speed = round(evaluation.images_per_second, 2)
        results[name] = {**values, "images_per_second": speed, "labels": labels}
    return json.dumps({**about, "results": results}, indent=2, ensure_ascii=False)


def write_labels(
    evaluations: "Mapping[str, MultiLabelEvaluation]", class_names: Sequence[str], folder: pathlib.Path
) -> None:
    """Writes `MODEL-labels.csv` for each model: a row for each label."""
    for name, evaluation in evaluations.items():
        path = folder / f"{file_label(name)}-labels.csv"
        with atomic_write(path) as written, open(written, "w", newline="", encoding="utf-8") as file:
            rows = [dataclasses.asdict(own) for own in evaluation.scores.labels]
            writer = csv.writer(file)
            writer.writerow(["label", *rows[0]])
            for label, row in zip(class_names, rows, strict=True):
                values = [f"{value:.4f}" if isinstance(value, float) else value for value in row.values()]
                writer.writerow([label, *values])
