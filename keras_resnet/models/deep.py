"""Nets of thousands of layers, which Keras walks with a call inside a call for each layer."""

import contextlib
import sys
from collections.abc import Iterator

# Enough for ten times the paper's deepest net, 1202 layers with weights and 4,200 in all.
_FRAMES = 100_000


@contextlib.contextmanager
def room_to_recurse() -> Iterator[None]:
    """Raise Python's recursion limit while a model is built or loaded.

    Safe since Python 3.11, where calls between Python functions take no C stack.
    """
    before = sys.getrecursionlimit()
    sys.setrecursionlimit(max(before, _FRAMES))
    try:
        yield
    finally:
        sys.setrecursionlimit(before)
