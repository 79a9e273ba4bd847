"""An array in a file whose shape is known before its values are read."""

import dataclasses
from collections.abc import Callable, Sequence

import numpy as np


@dataclasses.dataclass(frozen=True)
class LazyArray:
    """An array in a file, read when it is needed.

    Args:
        shape: as the file states it. Callers compare it with the shape they need before they call `read`.
        read: returns the array; works only while the file is open.
    """

    shape: tuple[int, ...]
    read: Callable[[], np.ndarray]

    def transposed(self, *axes: int) -> "LazyArray":
        """Returns the same array with its axes permuted."""
        return LazyArray(tuple(self.shape[axis] for axis in axes), lambda: self.read().transpose(axes))

    def reordered(self, places: Sequence[int], axis: int) -> "LazyArray":
        """Returns the same array with the slices along an axis in the order of their old places.

        As many places as the axis is long.
        """
        return LazyArray(self.shape, lambda: self.read().take(places, axis))
