"""How long training waits for its images."""

import time

import keras
import tensorflow as tf

# Below this share nobody would notice.
_WORTH_SAYING = 0.1


class InputWait(keras.callbacks.Callback):
    """Says after an epoch which share of it was spent waiting for images, where that is 10% or more."""

    def __init__(self):
        super().__init__()
        self._waited = 0.0

    def timed(self, batches: tf.data.Dataset) -> tf.data.Dataset:
        """The same batches; how long each was waited for is noted."""
        # Zip asks one dataset after the other: the first tells when the batch was asked for.
        asked = tf.data.Dataset.counter().map(lambda _: tf.timestamp())

        def note(since, batch):
            noted = tf.numpy_function(self._note, [tf.timestamp() - since], tf.float64)
            with tf.control_dependencies([noted]):
                return tf.nest.map_structure(tf.identity, batch)

        options = tf.data.Options()
        options.experimental_optimization.inject_prefetch = False  # it would be asked ahead of time
        return tf.data.Dataset.zip(asked, batches).map(note).with_options(options)

    def on_epoch_begin(self, epoch, logs=None):
        self._waited, self._start = 0.0, time.perf_counter()

    def on_train_batch_end(self, batch, logs=None):
        self._end = time.perf_counter()

    def on_epoch_end(self, epoch, logs=None):
        share = self._waited / (self._end - self._start)
        if share >= _WORTH_SAYING:
            print(f"input-bound: {share:.0%} of the step is waiting for images", flush=True)

    def _note(self, seconds):
        self._waited += float(seconds)
        return seconds
