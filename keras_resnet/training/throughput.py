"""Images per second, and the share of the time that is spent waiting for them."""

import contextlib
import time
from collections.abc import Iterator


class Throughput:
    """Measures the steps of an epoch from the second call of the engine on.

    The first may have to be traced, and no images have been read ahead for it.
    """

    def __init__(self):
        self._calls, self._images, self._waited = 0, 0.0, 0.0
        self._start = time.perf_counter()

    @contextlib.contextmanager
    def waiting(self) -> Iterator[None]:
        """Counts the time inside as waiting for images."""
        start = time.perf_counter()
        yield
        self._waited += time.perf_counter() - start

    def after_steps(self, images: float) -> float:
        """Records the steps of one call, of this many images; returns the images per second so far."""
        now = time.perf_counter()
        self._calls += 1
        self._images += images
        speed = self._images / (now - self._start)
        if self._calls == 1:
            self._start, self._images, self._waited = now, 0.0, 0.0
        return speed

    @property
    def calls(self) -> int:
        """Number of calls of the engine that have been measured."""
        return max(0, self._calls - 1)

    @property
    def wait_fraction(self) -> float:
        """Share of the time spent waiting, 0..1; 0 until one has been measured."""
        return self._waited / (time.perf_counter() - self._start) if self._calls > 1 else 0.0
