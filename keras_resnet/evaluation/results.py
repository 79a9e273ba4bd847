"""Writes the files of an evaluation: numbers for machines, and drawings for people."""

import csv
import json
import os
import pathlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from keras_resnet._utils.atomic import atomic_write
from keras_resnet.data.tools.contact_sheet import contact_sheet
from keras_resnet.evaluation.evaluator import Evaluation
from keras_resnet.evaluation.figures import draw_confusion
from keras_resnet.evaluation.metrics import Scores, wilson_interval

_SIDE, _COLUMNS = 128, 5


def as_json(
    evaluations: Mapping[str, Evaluation],
    class_names: Sequence[str],
    describe: Callable[[int], str],
    about: Mapping[str, Any],
) -> str:
    """Returns the numbers of an evaluation as JSON.

    Without the confusion matrices, whose size is the square of the number of classes.

    Args:
        evaluations: by name of the model.
        describe: returns where the image of an index lies.
        about: other plain values to include.
    """
    results = {}
    for name, evaluation in evaluations.items():
        scores = evaluation.scores
        results[name] = {
            "images": scores.images,
            "top1_error": scores.top1_error,
            "top1_interval": scores.top1_interval,
            "top5_error": scores.top5_error,
            "top5_interval": scores.top5_interval,
            "loss": scores.loss,
            "calibration_error": scores.calibration_error,
            "macro_f1": scores.macro_f1,
            "balanced_accuracy": scores.balanced_accuracy,
            "images_per_second": round(evaluation.images_per_second, 2),
            "worst": [
                {
                    "image": describe(mistake.index),
                    "class": class_names[mistake.label],
                    "prediction": class_names[mistake.prediction],
                    "probability": round(mistake.probability, 4),
                    "loss": round(mistake.loss, 4),
                }
                for mistake in scores.worst
            ],
        }
    return json.dumps({**about, "results": results}, indent=2, ensure_ascii=False)


def write_results(scores: Scores, class_names: Sequence[str], stem: pathlib.Path, title: str) -> None:
    """Writes `STEM-classes.csv`, `STEM-confusion.csv`, `STEM-confusion.png` and perhaps `STEM-worst.png`.

    The last is of the mistakes, if there are any.
    """
    write_classes(scores.confusion, class_names, f"{stem}-classes.csv")
    write_confusion(scores.confusion, class_names, f"{stem}-confusion.csv")
    draw_confusion(scores.confusion, class_names, f"{stem}-confusion.png", title)
    worst = pathlib.Path(f"{stem}-worst.png")
    if not scores.worst:
        worst.unlink(missing_ok=True)  # of an earlier evaluation
        return
    captions = [
        f"{class_names[mistake.label]}\n{class_names[mistake.prediction]} {100 * mistake.probability:.0f}%?"
        for mistake in scores.worst
    ]
    contact_sheet([mistake.image for mistake in scores.worst], captions, worst, side=_SIDE, columns=_COLUMNS)


def write_confusion(confusion: np.ndarray, class_names: Sequence[str], path: str | os.PathLike) -> None:
    """Writes a CSV file with a row for each class and prediction that occurs: images, share of the class."""
    with atomic_write(path) as written, open(written, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["class", "prediction", "images", "share"])
        for label, prediction in np.argwhere(confusion):
            count = int(confusion[label, prediction])
            share = count / int(confusion[label].sum())
            writer.writerow([class_names[label], class_names[prediction], count, f"{share:.4f}"])


def write_classes(confusion: np.ndarray, class_names: Sequence[str], path: str | os.PathLike) -> None:
    """Writes a CSV file with a row for each class: its error, and the class it is most often mistaken for."""
    with atomic_write(path) as written, open(written, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(
            [
                "class",
                "images",
                "error",
                "error_low",
                "error_high",
                "precision",
                "most_often_mistaken_for",
                "times",
            ]
        )
        for label, name in enumerate(class_names):
            count, right = int(confusion[label].sum()), int(confusion[label, label])
            predicted = int(confusion[:, label].sum())
            error = (
                [
                    f"{value:.4f}"
                    for value in ((count - right) / count, *wilson_interval(count - right, count))
                ]
                if count
                else [""] * 3
            )
            others = confusion[label].copy()
            others[label] = 0
            times = int(others.max())
            writer.writerow(
                [
                    name,
                    count,
                    *error,
                    f"{right / predicted:.4f}" if predicted else "",
                    class_names[int(others.argmax())] if times else "",
                    times,
                ]
            )
