"""What training shows while it runs."""

import time

import keras


class ProgressBar(keras.callbacks.ProgbarLogger):
    """Keras' progress bar, with the time left to the end of the training above each epoch."""

    def on_train_begin(self, logs=None):
        super().on_train_begin(logs)
        self._epoch_ends = []

    def on_epoch_begin(self, epoch, logs=None):
        self._reset_progbar()
        self._maybe_init_progbar()
        if self.verbose:
            print(f"Epoch {epoch + 1}/{self.epochs}{self._time_left(epoch)}", flush=True)

    def on_epoch_end(self, epoch, logs=None):
        super().on_epoch_end(epoch, logs)
        self._epoch_ends.append(time.monotonic())

    def _time_left(self, epoch: int) -> str:
        # The first epoch includes tracing, so it tells nothing of the others.
        if len(self._epoch_ends) < 2:
            return ""
        span = self._epoch_ends[-1] - self._epoch_ends[0]
        seconds = span / (len(self._epoch_ends) - 1) * (self.epochs - epoch)
        return f", about {format_seconds(seconds)} left"


def format_seconds(seconds: float) -> str:
    """12 s, 3 min 5 s, 2 h 10 min."""
    seconds = round(seconds)
    if seconds < 60:
        return f"{seconds} s"
    if seconds < 3600:
        return f"{seconds // 60} min {seconds % 60} s"
    return f"{seconds // 3600} h {seconds % 3600 // 60} min"
