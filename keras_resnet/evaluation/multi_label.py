"""Metrics of several labels an image: average precision, F1, and the thresholds that make it largest."""

import dataclasses

import numpy as np

from keras_resnet.inference.thresholds import DEFAULT_THRESHOLD
from keras_resnet.training.losses import MIN_PROBABILITY


@dataclasses.dataclass(frozen=True)
class LabelScores:
    """Metrics of one label.

    Args:
        positives: number of images that have it.
        average_precision: of the images in the order of its probability, 0..1, as of `average_precision`;
            None where no image has it.
        threshold: from which probability on it is predicted.
        precision: share of the images it is predicted for that have it, 0..1; 0 where it is never predicted.
        recall: share of the images that have it for which it is predicted, 0..1; 0 where none has it.
        f1: harmonic mean of both, 0..1; 0 where both are.
    """

    positives: int
    average_precision: float | None
    threshold: float
    precision: float
    recall: float
    f1: float


@dataclasses.dataclass(frozen=True)
class MultiLabelScores:
    """Metrics of a model of several labels an image.

    Args:
        images: number of them.
        mean_average_precision: mean of the labels' average precisions (mAP, macro), 0..1, without labels that
            no image has; NaN where no image has any.
        macro_f1: mean of the labels' F1 at their thresholds, 0..1, without labels that neither are there nor
            are predicted; NaN where all are such.
        label_error: share of wrong labels at the thresholds, over all images and labels, 0..1.
        loss: binary cross-entropy, summed over the labels, the mean over the images.
        labels: of each label, in the order of the model's outputs.
    """

    images: int
    mean_average_precision: float
    macro_f1: float
    label_error: float
    loss: float
    labels: tuple[LabelScores, ...]


def average_precision(truth: np.ndarray, probabilities: np.ndarray) -> float | None:
    """Returns the average precision of a label: the sum over n of (R_n - R_{n-1}) P_n, 0..1.

    P_n and R_n are precision and recall at the n-th threshold, not interpolated, as of scikit-learn's
    `average_precision_score`. Images of equal probability share a threshold.

    Shapes: (N,) 0 or 1, and (N,).

    Returns:
        None where no image has the label.
    """
    truth = np.asarray(truth) > 0.5
    if not truth.any():
        return None
    _, hits, predicted = _cumulative(truth, probabilities)
    gained = np.diff(hits, prepend=0) / truth.sum()
    return float((gained * hits / predicted).sum())


def best_threshold(truth: np.ndarray, probabilities: np.ndarray) -> float:
    """Returns the threshold of a label with the largest F1: halfway between two images' probabilities.

    The highest of several; 0.5 where no image has the label.

    Shapes: (N,) 0 or 1, and (N,).
    """
    truth = np.asarray(truth) > 0.5
    if not truth.any():
        return DEFAULT_THRESHOLD
    values, hits, predicted = _cumulative(truth, probabilities)
    best = int(np.argmax(2 * hits / (predicted + truth.sum())))
    below = values[best + 1] if best + 1 < len(values) else 0.0
    return float((values[best] + below) / 2)


def best_thresholds(truth: np.ndarray, probabilities: np.ndarray) -> tuple[float, ...]:
    """Returns the `best_threshold` of each label.

    Shapes: (N, classes) 0 or 1, and (N, classes).
    """
    return tuple(best_threshold(*columns) for columns in zip(truth.T, probabilities.T, strict=True))


def multi_label_scores(
    truth: np.ndarray, probabilities: np.ndarray, thresholds: tuple[float, ...]
) -> MultiLabelScores:
    """Returns all metrics of predictions.

    Shapes: (N, classes) 0 or 1, and (N, classes).

    Args:
        thresholds: of each label.
    """
    truth = np.asarray(truth) > 0.5
    predicted = predict_labels(probabilities, thresholds)
    labels = tuple(
        _label_scores(*columns)
        for columns in zip(truth.T, probabilities.T, predicted.T, thresholds, strict=True)
    )
    counted = [one.f1 for one, own in zip(labels, predicted.T, strict=True) if one.positives or own.any()]
    precisions = [one.average_precision for one in labels if one.average_precision is not None]
    own = np.where(truth, probabilities, 1 - probabilities).astype("float64")
    return MultiLabelScores(
        images=len(truth),
        mean_average_precision=float(np.mean(precisions)) if precisions else float("nan"),
        macro_f1=float(np.mean(counted)) if counted else float("nan"),
        label_error=float(np.mean(predicted != truth)),
        loss=float(-np.log(np.maximum(own, MIN_PROBABILITY)).sum(axis=1).mean()),
        labels=labels,
    )


def predict_labels(probabilities: np.ndarray, thresholds: tuple[float, ...]) -> np.ndarray:
    """Returns which labels are predicted: those whose probability reaches their threshold, bool.

    Shapes: (N, classes) -> (N, classes).
    """
    return probabilities >= np.asarray(thresholds, "float32")


def _cumulative(truth: np.ndarray, probabilities: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Returns the different probabilities, the highest first; hits and predictions with each as threshold."""
    order = np.argsort(-probabilities, kind="stable")
    ordered = probabilities[order]
    last = np.append(np.flatnonzero(np.diff(ordered)), len(ordered) - 1)
    return ordered[last], np.cumsum(truth[order])[last], last + 1


def _label_scores(
    truth: np.ndarray, probabilities: np.ndarray, predicted: np.ndarray, threshold: float
) -> LabelScores:
    hits, positives, count = int((truth & predicted).sum()), int(truth.sum()), int(predicted.sum())
    return LabelScores(
        positives,
        average_precision(truth, probabilities),
        threshold,
        precision=hits / count if count else 0.0,
        recall=hits / positives if positives else 0.0,
        f1=2 * hits / (count + positives) if count + positives else 0.0,
    )
