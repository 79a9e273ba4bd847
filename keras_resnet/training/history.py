"""The file of numbers that follows a training."""

import csv
import os

import keras

from keras_resnet.files import atomic, told_if_not_written


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
