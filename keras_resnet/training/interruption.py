"""Ctrl-C and SIGTERM as a wish that training fulfils at the end of a step."""

import contextlib
import signal
import threading
from collections.abc import Iterator

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Interrupted(Exception):
    """Training was asked to stop, and did. The message says where, and what goes on from there.

    Args:
        status: exit status of the process by convention: 128 and the number of the signal.
    """

    def __init__(self, message: str, status: int):
        super().__init__(message)
        self.status = status


class Wish:
    """Whether this process was asked to stop, and by which signal."""

    signal: int | None = None

    def __bool__(self) -> bool:
        return self.signal is not None


@contextlib.contextmanager
def wish_to_stop() -> Iterator[Wish]:
    """Note a signal instead of dying of it; a second one ends the process at once.

    Outside the main thread, where Python lets nobody do that, signals do what they did before.
    """
    wish = Wish()
    if threading.current_thread() is not threading.main_thread():
        yield wish
        return

    def note(number, frame):
        wish.signal = number
        for other in _SIGNALS:
            signal.signal(other, before[other])

    before = {number: signal.signal(number, note) for number in _SIGNALS}
    try:
        yield wish
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
