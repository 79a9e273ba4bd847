"""What training shows while it runs, and the files that follow it."""

import csv
import os
import time
from collections.abc import Callable

import keras

from keras_resnet.files import atomic, told_if_not_written

# Between two lines of a plain log within an epoch.
_SECONDS_A_LINE = 60.0
_SECONDS_BETWEEN_LINES = 10.0


class _Clock(keras.callbacks.Callback):
    """Knows how long the rest of the training will take."""

    def on_train_begin(self, logs=None):
        self._ends = []

    def on_epoch_end(self, epoch, logs=None):
        self._ends.append((epoch, time.monotonic()))

    def time_left(self, epoch: int) -> str:
        """ ", about 3 min 5 s left" at the start of an epoch, or nothing where that is not yet known."""
        # The first epoch includes tracing, so it tells nothing of the others.
        if len(self._ends) < 2 or self._ends[0][0] == self._ends[-1][0]:
            return ""
        (first, start), (last, end) = self._ends[0], self._ends[-1]
        seconds = (end - start) / (last - first) * (self.params["epochs"] - epoch)
        return f", about {format_seconds(seconds)} left"


class ProgressBar(_Clock):
    """Keras' progress bar, with the time left to the end of the training above each epoch."""

    def on_epoch_begin(self, epoch, logs=None):
        print(f"Epoch {epoch + 1}/{self.params['epochs']}{self.time_left(epoch)}", flush=True)
        # Means already, all of them.
        self._bar = keras.utils.Progbar(self.params["steps"], stateless_metrics=())

    def on_train_batch_end(self, batch, logs=None):
        # The last one is shown with the test's results.
        if batch + 1 < self.params["steps"]:
            self._bar.update(batch + 1, list((logs or {}).items()), finalize=False)

    def on_epoch_end(self, epoch, logs=None):
        super().on_epoch_end(epoch, logs)
        self._bar.update(self.params["steps"], list((logs or {}).items()), finalize=True)
        _print_notes(self.params)


class PlainLog(_Clock):
    """A line after each epoch, and each minute within one: for batch systems that keep what is printed."""

    def on_epoch_begin(self, epoch, logs=None):
        self._epoch, self._said = epoch, time.monotonic()

    def on_train_batch_end(self, batch, logs=None):
        if time.monotonic() - self._said >= _SECONDS_A_LINE:
            self._said = time.monotonic()
            self._say(f"step {batch + 1}/{self.params['steps']}", logs)

    def on_epoch_end(self, epoch, logs=None):
        super().on_epoch_end(epoch, logs)
        self._say("done", logs, self.time_left(epoch + 1))
        _print_notes(self.params)

    def _say(self, where, logs, left=""):
        values = " ".join(f"{name}={value:.4g}" for name, value in (logs or {}).items())
        print(f"epoch {self._epoch + 1}/{self.params['epochs']} {where}: {values}{left}", flush=True)


class HistoryFile(keras.callbacks.Callback):
    """A CSV file with a line an epoch; written anew each time, so that it never holds half a line.

    Args:
        path: of the file.
    """

    def __init__(self, path: str | os.PathLike):
        super().__init__()
        self._path = path

    def on_epoch_end(self, epoch, logs=None):
        self._write(self.params["history"])

    def on_train_end(self, logs=None):
        self._write(self.params["history"])

    def _write(self, history):
        rows = enumerate(zip(*history.values(), strict=True), start=1)
        with (
            told_if_not_written(self._path),
            atomic(self._path) as written,
            open(written, "w", newline="") as file,
        ):
            writer = csv.writer(file)
            writer.writerow(["epoch", *history])
            writer.writerows((number, *row) for number, row in rows)


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


def _print_notes(params: dict) -> None:
    for note in params["notes"]:
        print(note, flush=True)
    params["notes"].clear()


def format_seconds(seconds: float) -> str:
    """12 s, 3 min 5 s, 2 h 10 min."""
    seconds = round(seconds)
    if seconds < 60:
        return f"{seconds} s"
    if seconds < 3600:
        return f"{seconds // 60} min {seconds % 60} s"
    return f"{seconds // 3600} h {seconds % 3600 // 60} min"
