"""How long work will take, for people."""

import time
from collections.abc import Callable

_SECONDS_BETWEEN_LINES = 10.0


class Countdown:
    """A line about every ten seconds of work on many images, or layers, with the time left.

    Args:
        count: of them.
        tell: takes the line.
        what: they are called.
    """

    def __init__(self, count: int, tell: Callable[[str], None], what: str = "images"):
        self._count, self._tell, self._what, self._done = count, tell, what, 0
        self._start = self._said = time.monotonic()

    def add(self, count: int) -> None:
        """So many more are done."""
        self._done += count
        now = time.monotonic()
        if now - self._said > _SECONDS_BETWEEN_LINES and self._done < self._count:
            self._said = now
            left = (now - self._start) / self._done * (self._count - self._done)
            self._tell(f"{self._done:,} of {self._count:,} {self._what}, about {format_seconds(left)} left")


def format_seconds(seconds: float) -> str:
    """12 s, 3 min 5 s, 2 h 10 min."""
    seconds = round(seconds)
    if seconds < 60:
        return f"{seconds} s"
    if seconds < 3600:
        return f"{seconds // 60} min {seconds % 60} s"
    return f"{seconds // 3600} h {seconds % 3600 // 60} min"
