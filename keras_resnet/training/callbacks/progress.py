"""Progress of a training: a bar for terminals and notebooks, or lines for log files."""

import logging
import sys
import time

import keras

from keras_resnet._utils.progress import format_seconds

# Between two lines of the log within an epoch.
_SECONDS_BETWEEN_LINES = 60.0
_LOG = logging.getLogger(__name__)


class _Clock(keras.callbacks.Callback):
    """Estimates how long the rest of the training will take."""

    def on_train_begin(self, logs=None):
        self._ends = []

    def on_epoch_end(self, epoch, logs=None):
        self._ends.append((epoch, time.monotonic()))

    def time_left(self, epoch: int) -> str:
        """Returns ", about 3 min 5 s left" at the start of an epoch, or "" where that is not yet known."""
        # The first epoch includes tracing, and is not like the others.
        if len(self._ends) < 2 or self._ends[0][0] == self._ends[-1][0]:
            return ""
        (first, start), (last, end) = self._ends[0], self._ends[-1]
        seconds = (end - start) / (last - first) * (self.params["epochs"] - epoch)
        return f", about {format_seconds(seconds)} left"


class ProgressBar(_Clock):
    """Shows Keras' progress bar on standard output, and above it the time left to the end of the training."""

    def on_epoch_begin(self, epoch, logs=None):
        sys.stdout.write(f"Epoch {epoch + 1}/{self.params['epochs']}{self.time_left(epoch)}\n")
        sys.stdout.flush()
        # All logs are means already.
        self._bar = keras.utils.Progbar(self.params["steps"], stateless_metrics=())

    def on_train_batch_end(self, batch, logs=None):
        # The last step is printed together with the validation results.
        if batch + 1 < self.params["steps"]:
            self._bar.update(batch + 1, list((logs or {}).items()), finalize=False)

    def on_epoch_end(self, epoch, logs=None):
        super().on_epoch_end(epoch, logs)
        self._bar.update(self.params["steps"], list((logs or {}).items()), finalize=True)


class LineLogger(_Clock):
    """Logs a line after each epoch, and every minute within one: for batch systems that keep the output."""

    def on_epoch_begin(self, epoch, logs=None):
        self._epoch, self._logged = epoch, time.monotonic()

    def on_train_batch_end(self, batch, logs=None):
        if time.monotonic() - self._logged >= _SECONDS_BETWEEN_LINES:
            self._logged = time.monotonic()
            self._log(f"step {batch + 1}/{self.params['steps']}", logs)

    def on_epoch_end(self, epoch, logs=None):
        super().on_epoch_end(epoch, logs)
        self._log("done", logs, self.time_left(epoch + 1))

    def _log(self, position, logs, left=""):
        values = " ".join(f"{name}={value:.4g}" for name, value in (logs or {}).items())
        _LOG.info("epoch %d/%d %s: %s%s", self._epoch + 1, self.params["epochs"], position, values, left)
