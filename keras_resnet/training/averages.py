"""Moving averages of a model's weights."""

from collections.abc import Callable, Sequence

import keras

# An update takes a few operations per weight, so it is not done at every step.
INTERVAL = 8


class ExponentialMovingAverage:
    """A moving average of weights, kept next to them.

    Args:
        variables: the averages, as of `average_variables`.
        decay: share of the average that remains after a step; less at the start, where there is little to
            average.
        interpolate: (share) -> sets each average to weight + (average - weight) * share.
        exchange: () -> exchanges the weights and their averages.
    """

    def __init__(
        self,
        variables: Sequence[keras.Variable],
        decay: float,
        interpolate: Callable[[float], None],
        exchange: Callable[[], None],
    ):
        self.variables = variables
        self._decay = decay
        self._interpolate, self._exchange = interpolate, exchange

    def update(self, step: int) -> None:
        """Includes the weights after a step, counted from 0: each of the first 8 steps, then every 8th."""
        if step != self.next_update(step):
            return
        updates = (step + 1) / INTERVAL
        self._interpolate(min(self._decay**INTERVAL, updates / (updates + 9)))

    def next_update(self, step: int) -> int:
        """Returns the first step, from this one on, whose weights are included."""
        return step if step < INTERVAL else step // INTERVAL * INTERVAL + INTERVAL - 1

    def swap(self) -> None:
        """Exchanges the weights and their averages."""
        self._exchange()


def average_variables(weights: Sequence[keras.Variable]) -> list[keras.Variable]:
    """Returns a variable for the average of each weight, which starts as the weight."""
    return [
        keras.Variable(weight.numpy(), trainable=False, dtype=weight.dtype, name=f"average_{number}")
        for number, weight in enumerate(weights)
    ]
