"""Counts of right and wrong answers, and how sure they are."""

import math

import numpy as np

# Normal quantile of a 95% interval.
_Z = 1.959964


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
