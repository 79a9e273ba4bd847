"""Images per second, and the share of the time that is spent waiting for them."""

import contextlib
import time
from collections.abc import Callable, Iterator

# Below this share of the step time, waiting for images is not worth a message.
_MIN_WAIT = 0.1
# From this share on, what would help is said, within an epoch after so many calls of the engine.
_MIN_ADVICE, _CALLS_BEFORE_ADVICE = 0.25, 100


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


class Waiting:
    """Says how long a training waits for its images and, once, what would help.

    Args:
        advice: returns what would make the images come faster; None: nobody knows.
    """

    def __init__(self, advice: Callable[[], str] | None):
        self._advice = advice

    def advice_within(self, throughput: Throughput) -> str:
        """Returns a line for the middle of an epoch, or "" where it is too early or nothing is to be said."""
        early = throughput.calls < _CALLS_BEFORE_ADVICE or throughput.wait_fraction < _MIN_ADVICE
        return "" if early or self._advice is None else self._describe(throughput.wait_fraction)

    def notes_after(self, throughput: Throughput) -> list[str]:
        """Returns the lines for the end of an epoch: one or none."""
        fraction = throughput.wait_fraction
        return [self._describe(fraction)] if fraction >= _MIN_WAIT else []

    def _describe(self, fraction: float) -> str:
        text = f"input-bound: {fraction:.0%} of the step time is spent waiting for images"
        if self._advice is None or fraction < _MIN_ADVICE:
            return text
        advice, self._advice = self._advice, None
        return f"{text}. {advice()}"
