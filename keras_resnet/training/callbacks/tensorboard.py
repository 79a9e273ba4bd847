"""Event files for TensorBoard, which must be installed: TensorFlow writes summaries through its code."""

import os

import keras

# First and last profiled step of this process: after tracing and the first, slow ones.
_PROFILED = (10, 20)


class TensorBoard(keras.callbacks.Callback):
    """Writes the scalars of each epoch, training and validation separately, and the learning rate.

    Args:
        folder: for the event files.
    """

    def __init__(self, folder: str | os.PathLike):
        super().__init__()
        self._folder = os.fspath(folder)

    def on_train_begin(self, logs=None):
        import tensorflow as tf

        self._writers = {
            name: tf.summary.create_file_writer(os.path.join(self._folder, name))
            for name in ("train", "validation")
        }

    def on_epoch_end(self, epoch, logs=None):
        import tensorflow as tf

        for name, value in (logs or {}).items():
            writer = self._writers["validation" if name.startswith("val_") else "train"]
            with writer.as_default():
                tf.summary.scalar(name.removeprefix("val_"), value, step=epoch + 1)
            writer.flush()


class Profile(keras.callbacks.Callback):
    """Writes a profile of ten steps for TensorBoard.

    Args:
        folder: to write it to.
    """

    def __init__(self, folder: str | os.PathLike):
        super().__init__()
        self._folder, self._steps = os.fspath(folder), 0

    def on_train_batch_end(self, batch, logs=None):
        import tensorflow as tf

        self._steps += 1
        if self._steps == _PROFILED[0]:
            tf.profiler.experimental.start(self._folder)
        elif self._steps == _PROFILED[1]:
            tf.profiler.experimental.stop()

    def on_train_end(self, logs=None):
        import tensorflow as tf

        if _PROFILED[0] <= self._steps < _PROFILED[1]:
            tf.profiler.experimental.stop()
