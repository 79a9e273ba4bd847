"""What training shows while it runs."""

import time

import keras

from keras_resnet.countdown import format_seconds

# Between two lines of a plain log within an epoch.
_SECONDS_A_LINE = 60.0


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


def _print_notes(params: dict) -> None:
    for note in params["notes"]:
        print(note, flush=True)
    params["notes"].clear()
