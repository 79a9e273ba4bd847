"""Counts of right and wrong answers, and how sure they are."""

import dataclasses
import heapq
import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

# Normal quantile of a 95% interval.
_Z = 1.959964
# A probability of 0, which a file of integers may give, has an infinite loss; Keras' losses are cut off here
# too.
_LEAST = 1e-7
# Guo et al. 2017, "On calibration of modern neural networks".
_BINS = 15


def wilson(hits: int, count: int) -> tuple[float, float]:
    """95% interval of a share, of which `hits` of `count` were seen (Wilson 1927).

    Unlike the usual normal one it stays within 0..1 and holds for few images and shares near the ends.

    Raises:
        ValueError: there is nothing to count, or more hits than that.
    """
    if not 0 <= hits <= count or not count:
        raise ValueError(f"hits must be from 0 to a count of at least 1; got {hits} of {count}.")
    share, spread = hits / count, _Z**2 / count
    centre = (share + spread / 2) / (1 + spread)
    half = _Z / (1 + spread) * math.sqrt(share * (1 - share) / count + spread / (4 * count))
    return max(0.0, centre - half), min(1.0, centre + half)


def confusion_matrix(labels: np.ndarray, predictions: np.ndarray, classes: int) -> np.ndarray:
    """How many images of each class (rows) were taken for each class (columns), (classes, classes) int."""
    return np.bincount(labels * classes + predictions, minlength=classes**2).reshape(classes, classes)


class Mistake(NamedTuple):
    """An image taken for another class.

    Args:
        loss: cross-entropy of the image.
        number: of the image in its split.
        label: its class.
        answer: what it was taken for.
        probability: given to that, 0..1.
        image: what is shown of it, (H, W, C) uint8.
    """

    loss: float
    number: int
    label: int
    answer: int
    probability: float
    image: np.ndarray


@dataclasses.dataclass(frozen=True)
class Scores:
    """What a net's answers to labelled images are worth.

    Args:
        images: how many.
        top1_error: share of images whose likeliest class is not theirs, 0..1.
        top1_interval: 95% interval of it (Wilson).
        top5_error: share of images whose class is not among the five likeliest; None for up to five classes.
        top5_interval: 95% interval of it, or None.
        loss: mean cross-entropy.
        calibration_error: expected calibration error in 15 bins of equal width (Guo et al. 2017): how far the
            probability of the likeliest class is from the share of right answers, 0..1.
        confusion: images of each class (rows) taken for each class (columns).
        worst: the mistakes of the highest loss, the worst first.
    """

    images: int
    top1_error: float
    top1_interval: tuple[float, float]
    top5_error: float | None
    top5_interval: tuple[float, float] | None
    loss: float
    calibration_error: float
    confusion: np.ndarray
    worst: tuple[Mistake, ...]


class Tally:
    """Scores that are added up batch by batch, in memory that does not depend on the number of images.

    Args:
        classes: number of them.
        worst: how many mistakes to remember.
    """

    def __init__(self, classes: int, worst: int = 20):
        self._confusion = np.zeros((classes, classes), np.int64)
        self._in_top5 = 0
        self._loss = 0.0
        # Of each bin: images, sum of the likeliest classes' probabilities, right answers.
        self._bins = np.zeros((3, _BINS))
        self._keep = worst
        self._worst: list[Mistake] = []

    @property
    def images(self) -> int:
        """How many were counted."""
        return int(self._confusion.sum())

    def add(
        self,
        indices: np.ndarray,
        labels: np.ndarray,
        probabilities: np.ndarray,
        images: Sequence[np.ndarray],
    ) -> None:
        """Count a batch.

        Args:
            indices: (n,) integers, of the images in their split.
            labels: (n,) integers.
            probabilities: (n, classes).
            images: n pictures to show of mistakes.

        Raises:
            ValueError: a probability is no number.
        """
        if not np.isfinite(probabilities).all():
            raise ValueError("a probability is NaN or infinite")
        rows = np.arange(len(labels))
        answers = probabilities.argmax(axis=1)
        own, best = probabilities[rows, labels], probabilities[rows, answers]
        losses = -np.log(np.maximum(own, _LEAST))
        self._confusion += confusion_matrix(labels, answers, len(self._confusion))
        # Equal probabilities, which files of integers give, count for the earlier class, as argmax counts.
        places = np.arange(probabilities.shape[1])
        ahead = (probabilities > own[:, None]) | (
            (probabilities == own[:, None]) & (places < labels[:, None])
        )
        self._in_top5 += int((ahead.sum(axis=1) < 5).sum())
        self._loss += float(losses.sum(dtype="float64"))
        bins = np.clip(np.ceil(best * _BINS).astype(int) - 1, 0, _BINS - 1)
        for row, values in enumerate((np.ones(len(labels)), best, answers == labels)):
            self._bins[row] += np.bincount(bins, values, minlength=_BINS)
        wrong = [
            Mistake(
                float(losses[i]),
                int(indices[i]),
                int(labels[i]),
                int(answers[i]),
                float(best[i]),
                images[int(i)].copy(),
            )
            for i in np.flatnonzero(answers != labels)
        ]
        self._worst = heapq.nlargest(self._keep, [*self._worst, *wrong], key=lambda mistake: mistake.loss)

    def arrays(self) -> dict[str, np.ndarray]:
        """What has been counted so far, for `restore`."""
        numbers = [mistake[:-1] for mistake in self._worst]
        return {
            "confusion": self._confusion,
            "sums": np.array([self._in_top5, self._loss]),
            "bins": self._bins,
            "worst": np.array(numbers, "float64").reshape(-1, len(Mistake._fields) - 1),
            **{f"image{place}": mistake.image for place, mistake in enumerate(self._worst)},
        }

    def restore(self, arrays: Mapping[str, np.ndarray]) -> None:
        """Go on from what another tally had counted."""
        self._confusion, self._bins = arrays["confusion"], arrays["bins"]
        self._in_top5, self._loss = int(arrays["sums"][0]), float(arrays["sums"][1])
        self._worst = [
            Mistake(loss, int(number), int(label), int(answer), probability, arrays[f"image{place}"])
            for place, (loss, number, label, answer, probability) in enumerate(arrays["worst"].tolist())
        ]

    def scores(self) -> Scores:
        """What has been counted so far.

        Raises:
            ValueError: nothing has.
        """
        count = self.images
        wrong = count - int(np.trace(self._confusion))
        missed = count - self._in_top5 if len(self._confusion) > 5 else None
        _, confidence, right = self._bins
        return Scores(
            images=count,
            top1_interval=wilson(wrong, count),
            top1_error=wrong / count,
            top5_error=None if missed is None else missed / count,
            top5_interval=None if missed is None else wilson(missed, count),
            loss=self._loss / count,
            calibration_error=float(np.abs(confidence - right).sum() / count),
            confusion=self._confusion.copy(),
            worst=tuple(self._worst),
        )
