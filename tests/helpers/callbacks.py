"""Callbacks that several tests need."""

import keras


class AfterStep(keras.callbacks.Callback):
    """Calls a function with the model after so many steps."""

    def __init__(self, steps, action):
        super().__init__()
        self._left, self._action = steps, action

    def on_train_batch_end(self, batch, logs=None):
        self._left -= 1
        if not self._left:
            self._action(self.model)
