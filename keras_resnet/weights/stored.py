"""An array that lies in a file: known before it is read."""

import dataclasses
from collections.abc import Callable

import numpy as np


@dataclasses.dataclass(frozen=True)
class Stored:
    """An array in a file.

    Args:
        shape: of it, as the file says; whoever reads it has checked that it is the one he needs.
        read: gives the array; to be called while the file is open.
    """

    shape: tuple[int, ...]
    read: Callable[[], np.ndarray]

    def transposed(self, *axes: int) -> "Stored":
        """The same array with its axes in another order."""
        return Stored(tuple(self.shape[axis] for axis in axes), lambda: self.read().transpose(axes))
