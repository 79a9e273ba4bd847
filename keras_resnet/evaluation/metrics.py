"""Errors, loss and calibration of predictions, with confidence intervals."""

import dataclasses
import heapq
import math
from collections.abc import Mapping, Sequence

import numpy as np

from keras_resnet.errors import UserError
from keras_resnet.training.class_metrics import confusion_metrics
from keras_resnet.training.losses import floored_log

# Normal quantile of a 95% interval.
_Z = 1.959964
# Guo et al. 2017, "On calibration of modern neural networks".
_BINS = 15


def wilson_interval(hits: int, count: int) -> tuple[float, float]:
    """Returns the 95% confidence interval of a proportion, `hits` of `count` (Wilson 1927).

    Unlike the normal approximation it stays within 0..1, and it holds for small counts and for proportions
    near 0 and 1.

    Raises:
        UserError: the count is 0, or less than the hits.
    """
    if not 0 <= hits <= count or not count:
        raise UserError(
            f"must be from 0 to count={count}, which is at least 1.", parameter="hits", value=hits
        )
    share, spread = hits / count, _Z**2 / count
    center = (share + spread / 2) / (1 + spread)
    half = _Z / (1 + spread) * math.sqrt(share * (1 - share) / count + spread / (4 * count))
    return max(0.0, center - half), min(1.0, center + half)


def confusion_matrix(labels: np.ndarray, predictions: np.ndarray, classes: int) -> np.ndarray:
    """Counts the images of each class (rows) by predicted class (columns), (classes, classes) int."""
    return np.bincount(labels * classes + predictions, minlength=classes**2).reshape(classes, classes)


@dataclasses.dataclass(frozen=True)
class Mistake:
    """A misclassified image.

    Args:
        loss: cross-entropy of the image.
        index: of the image in its split.
        label: its class.
        prediction: the likeliest class.
        probability: of the prediction, 0..1.
        image: a picture of it, (H, W, C) uint8.
    """

    loss: float
    index: int
    label: int
    prediction: int
    probability: float
    image: np.ndarray


@dataclasses.dataclass(frozen=True)
class Scores:
    """Metrics of a model's predictions on labeled images.

    Args:
        images: number of them.
        top1_error: share of images whose likeliest class is wrong, 0..1.
        top1_interval: its 95% interval (Wilson).
        top5_error: share of images whose class is not among the five likeliest, 0..1; None for up to five
            classes.
        top5_interval: its 95% interval, or None.
        loss: mean cross-entropy.
        calibration_error: expected calibration error in 15 bins of equal width (Guo et al. 2017): the mean
            distance of the likeliest class's probability from the accuracy, 0..1.
        macro_f1: mean F1 of the classes, 0..1, each as important as any other.
        balanced_accuracy: mean accuracy of the classes, 0..1, likewise.
        confusion: images of each class (rows) by predicted class (columns).
        worst: the mistakes of the highest loss, the worst first.
    """

    images: int
    top1_error: float
    top1_interval: tuple[float, float]
    top5_error: float | None
    top5_interval: tuple[float, float] | None
    loss: float
    calibration_error: float
    macro_f1: float
    balanced_accuracy: float
    confusion: np.ndarray
    worst: tuple[Mistake, ...]


class MetricAccumulator:
    """Adds up metrics batch by batch, in memory that does not depend on the number of images.

    Args:
        classes: number of classes.
        worst: number of mistakes to keep.
    """

    def __init__(self, classes: int, worst: int = 20):
        self._confusion = np.zeros((classes, classes), np.int64)
        self._in_top5 = 0
        self._loss = 0.0
        # For each bin: images, sum of the likeliest classes' probabilities, correct predictions.
        self._bins = np.zeros((3, _BINS))
        self._keep = worst
        self._worst: list[Mistake] = []

    @property
    def images(self) -> int:
        """Number of images added so far."""
        return int(self._confusion.sum())

    def add(
        self,
        indices: np.ndarray,
        labels: np.ndarray,
        probabilities: np.ndarray,
        images: Sequence[np.ndarray],
        log_probabilities: np.ndarray | None = None,
    ) -> None:
        """Adds a batch.

        Args:
            indices: (n,) integers, of the images in their split.
            labels: (n,) integers.
            probabilities: (n, classes).
            images: n pictures, of which those of the worst mistakes are kept.
            log_probabilities: (n, classes), for the loss; by default those of the probabilities, of which 0
                counts as the smallest normal float32.

        Raises:
            UserError: a probability is NaN or infinite.
        """
        if not np.isfinite(probabilities).all():
            raise UserError("must not be NaN or infinite.", parameter="probabilities")
        rows = np.arange(len(labels))
        predictions = probabilities.argmax(axis=1)
        own, best = probabilities[rows, labels], probabilities[rows, predictions]
        losses = -floored_log(own) if log_probabilities is None else -log_probabilities[rows, labels]
        self._confusion += confusion_matrix(labels, predictions, len(self._confusion))
        # Of equal probabilities, which int8 files give, the earlier class comes first, as with argmax.
        places = np.arange(probabilities.shape[1])
        ahead = (probabilities > own[:, None]) | (
            (probabilities == own[:, None]) & (places < labels[:, None])
        )
        self._in_top5 += int((ahead.sum(axis=1) < 5).sum())
        self._loss += float(losses.sum(dtype="float64"))
        bins = np.clip(np.ceil(best * _BINS).astype(int) - 1, 0, _BINS - 1)
        for row, values in enumerate((np.ones(len(labels)), best, predictions == labels)):
            self._bins[row] += np.bincount(bins, values, minlength=_BINS)
        wrong = [
            Mistake(
                float(losses[i]),
                int(indices[i]),
                int(labels[i]),
                int(predictions[i]),
                float(best[i]),
                images[int(i)].copy(),
            )
            for i in np.flatnonzero(predictions != labels)
        ]
        self._worst = heapq.nlargest(self._keep, [*self._worst, *wrong], key=lambda mistake: mistake.loss)

    def arrays(self) -> dict[str, np.ndarray]:
        """Returns the counts so far, for `restore`."""
        numbers = [
            (mistake.loss, mistake.index, mistake.label, mistake.prediction, mistake.probability)
            for mistake in self._worst
        ]
        return {
            "confusion": self._confusion,
            "sums": np.array([self._in_top5, self._loss]),
            "bins": self._bins,
            "worst": np.array(numbers, "float64").reshape(-1, 5),
            **{f"image{place}": mistake.image for place, mistake in enumerate(self._worst)},
        }

    def restore(self, arrays: Mapping[str, np.ndarray]) -> None:
        """Replaces the counts by those that `arrays` returned."""
        self._confusion, self._bins = arrays["confusion"], arrays["bins"]
        self._in_top5, self._loss = int(arrays["sums"][0]), float(arrays["sums"][1])
        self._worst = [
            Mistake(loss, int(index), int(label), int(prediction), probability, arrays[f"image{place}"])
            for place, (loss, index, label, prediction, probability) in enumerate(arrays["worst"].tolist())
        ]

    def scores(self) -> Scores:
        """Returns the metrics of all images added so far.

        Raises:
            UserError: there are none.
        """
        count = self.images
        wrong = count - int(np.trace(self._confusion))
        missed = count - self._in_top5 if len(self._confusion) > 5 else None
        _, confidence, right = self._bins
        return Scores(
            images=count,
            top1_interval=wilson_interval(wrong, count),
            top1_error=wrong / count,
            top5_error=None if missed is None else missed / count,
            top5_interval=None if missed is None else wilson_interval(missed, count),
            loss=self._loss / count,
            calibration_error=float(np.abs(confidence - right).sum() / count),
            **confusion_metrics(self._confusion),
            confusion=self._confusion.copy(),
            worst=tuple(self._worst),
        )
