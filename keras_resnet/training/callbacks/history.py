"""The history of a training as a CSV file."""

import csv
import os

import keras

from keras_resnet._utils.atomic import atomic_write, warn_if_not_written


class CSVHistory(keras.callbacks.Callback):
    """Writes a CSV file with a line per epoch; it is replaced each time, and never ends in half a line.

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
            warn_if_not_written(self._path),
            atomic_write(self._path) as written,
            open(written, "w", newline="") as file,
        ):
            writer = csv.writer(file)
            writer.writerow(["epoch", *history])
            writer.writerows((number, *row) for number, row in rows)
