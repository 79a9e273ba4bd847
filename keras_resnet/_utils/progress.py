"""How long work will take, for people."""

import time
from collections.abc import Callable

_SECONDS_BETWEEN_LINES = 10.0


class ProgressLogger:
    """Logs a line about every ten seconds of long work, with the time left.

    Args:
        total: number of units of work: images, layers, ...
        log: takes a line, as `logging.Logger.info` does.
        unit: what the units are called in the line.
    """

    def __init__(self, total: int, *, log: Callable[[str], None], unit: str = "images"):
        self._total, self._log, self._unit, self._done = total, log, unit, 0
        self._start = self._last_line = time.monotonic()

    def add(self, count: int) -> None:
        """Counts finished units, and logs a line if it is time for one."""
        self._done += count
        now = time.monotonic()
        if now - self._last_line > _SECONDS_BETWEEN_LINES and self._done < self._total:
            self._last_line = now
            left = (now - self._start) / self._done * (self._total - self._done)
            self._log(f"{self._done:,} of {self._total:,} {self._unit}, about {format_seconds(left)} left")


def format_seconds(seconds: float) -> str:
    """Returns a duration for people: 12 s, 3 min 5 s, 2 h 10 min."""
    seconds = round(seconds)
    if seconds < 60:
        return f"{seconds} s"
    if seconds < 3600:
        return f"{seconds // 60} min {seconds % 60} s"
    return f"{seconds // 3600} h {seconds % 3600 // 60} min"
