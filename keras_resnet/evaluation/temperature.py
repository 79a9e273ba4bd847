"""Finds the temperature that makes probabilities as sure as they are right (Guo et al. 2017)."""

import numpy as np

# Outside of these the validation images do not tell it: all their predictions are right, or hardly any.
_LOWEST, _HIGHEST = 1 / 16, 16.0
# Bisections of the interval between them: to a relative difference of 1e-9.
_STEPS = 34


def fit_temperature(log_probabilities: np.ndarray, labels: np.ndarray) -> float | None:
    """Returns the temperature by which logits are divided for the least mean cross-entropy.

    The cross-entropy is convex in the inverse temperature, so that its derivative has one zero at most.

    Args:
        log_probabilities: logits, or logarithms of the probabilities, which differ from them by a number for
            each image, (N, classes).
        labels: integers, (N,).

    Returns:
        The temperature, or None if there is no minimum between 1/16 and 16.
    """
    logits = np.asarray(log_probabilities, "float64")
    logits = logits - logits.max(axis=1, keepdims=True)
    own = logits[np.arange(len(labels)), labels].mean()

    def slope(log_temperature: float) -> float:
        """The derivative by the inverse temperature."""
        weights = np.exp(logits / np.exp(log_temperature))
        means = (weights * logits).sum(axis=1) / weights.sum(axis=1)
        return float(means.mean() - own)

    low, high = np.log(_LOWEST), np.log(_HIGHEST)
    # Falls with the temperature. Written so that NaN, which compares false, has no minimum as well.
    if not slope(low) > 0 > slope(high):
        return None
    for _ in range(_STEPS):
        middle = (low + high) / 2
        if slope(middle) > 0:
            low = middle
        else:
            high = middle
    return float(np.exp((low + high) / 2))


def at_temperature(log_probabilities: np.ndarray, temperature: float) -> np.ndarray:
    """Returns the logarithms of the probabilities with logits divided by a temperature, (N, classes)."""
    logits = np.asarray(log_probabilities, "float64") / temperature
    logits -= logits.max(axis=1, keepdims=True)
    return logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))
