"""Turns SIGINT and SIGTERM into a stop request, checked after each step."""

import contextlib
import signal
import threading
from collections.abc import Iterator

_SIGNALS = (signal.SIGINT, signal.SIGTERM)
# EX_TEMPFAIL of sysexits.h: try again.
_TEMPORARY_FAILURE = 75


class Interrupted(Exception):
    """Training stopped early on request. The message says after which step, and how to resume.

    Args:
        status: conventional exit status of the process: 128 plus the number of the signal.
    """

    def __init__(self, message: str, status: int):
        super().__init__(message)
        self.status = status


def lost_worker(reason: str | None) -> Interrupted:
    """Returns what to raise when another worker has stopped responding, with what the engine says of it."""
    reason = next(iter((reason or "unknown reason").splitlines()))[:120]
    return Interrupted(
        f"Another worker stopped responding ({reason}). Rerun the same command or call on all workers to "
        "resume from the last checkpoint.",
        _TEMPORARY_FAILURE,
    )


class StopRequest:
    """Whether a signal requested that this process stop, and which one."""

    signal: int | None = None

    def __bool__(self) -> bool:
        return self.signal is not None


@contextlib.contextmanager
def catch_stop_signals() -> Iterator[StopRequest]:
    """Records the first SIGINT or SIGTERM; a second one does what it did before, and ends the process.

    Outside the main thread, where Python allows no signal handlers, both do what they did before.
    """
    request = StopRequest()
    if threading.current_thread() is not threading.main_thread():
        yield request
        return

    def record(number, frame):
        request.signal = number
        restore()

    def restore():
        for number, handler in before.items():
            # None stands for a handler that was not installed from Python, and cannot be installed again.
            signal.signal(number, signal.SIG_DFL if handler is None else handler)

    before = {number: signal.signal(number, record) for number in _SIGNALS}
    try:
        yield request
    finally:
        restore()
