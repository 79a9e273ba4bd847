"""Deep recursion: Keras visits the layers of a model by nested calls, one or more for each layer."""

import contextlib
import sys
from collections.abc import Iterator

# Enough for ten times the paper's deepest network, which has 1202 weighted layers and 4,200 layers in all.
_FRAMES = 100_000


@contextlib.contextmanager
def raised_recursion_limit() -> Iterator[None]:
    """Raises Python's recursion limit inside a `with` block that builds, copies or loads a model.

    This is safe since Python 3.11, where a call from Python to Python takes no space on the C stack.
    """
    before = sys.getrecursionlimit()
    sys.setrecursionlimit(max(before, _FRAMES))
    try:
        yield
    finally:
        sys.setrecursionlimit(before)
