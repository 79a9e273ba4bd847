"""Which callbacks a training takes, and what they may monitor."""

from collections.abc import Collection, Sequence
from typing import Any

import keras

from keras_resnet.errors import UserError
from keras_resnet.training.callbacks.progress import LineLogger, ProgressBar
from keras_resnet.training.class_metrics import CLASS_METRICS

# Callbacks of Keras that need what only `fit` has, and what does their work here.
_REFUSED = {
    keras.callbacks.BackupAndRestore: "checkpoints keep the whole state, and `train` resumes from them",
    keras.callbacks.SwapEMAWeights: "the recipe's ema_decay averages the weights",
}
# What is better when it is less, or more: Keras knows this of the loss only.
_MODES = {
    **dict.fromkeys(("error", "val_error", "loss", "val_loss"), "min"),
    **{f"val_{name}": "max" for name in CLASS_METRICS},
}

# What shows the numbers of a step and nothing else.
_READ_LOGS = (ProgressBar, LineLogger)


def check_callbacks(callbacks: Any, metrics: Collection[str]) -> list[keras.callbacks.Callback]:
    """Returns the callbacks as a flat list.

    Args:
        callbacks: one, or nested lists of them.
        metrics: names of what a step measures.

    Raises:
        UserError: one is no callback, needs what only Keras' `fit` has, or monitors what is not measured.
    """
    flat = keras.tree.flatten(callbacks)
    logged = (*metrics, *(f"val_{name}" for name in (*metrics, *CLASS_METRICS)), "learning_rate")
    for callback in flat:
        if not isinstance(callback, keras.callbacks.Callback):
            raise UserError(
                f"must be objects of keras.callbacks.Callback; got a {type(callback).__name__}.",
                parameter="callbacks",
            )
        for kind, instead in _REFUSED.items():
            if isinstance(callback, kind):
                raise UserError(
                    f"{kind.__name__} works with Keras' fit only; leave it out: {instead}.",
                    parameter="callbacks",
                )
        if _monitors(callback):
            _check_monitor(callback, logged)
    return flat


def watches_steps(callback: keras.callbacks.Callback) -> bool:
    """Whether a callback may look at the weights, or change anything, before or after a step."""
    methods = ("on_train_batch_begin", "on_train_batch_end", "on_batch_begin", "on_batch_end")
    return not isinstance(callback, _READ_LOGS) and any(
        getattr(type(callback), name) is not getattr(keras.callbacks.Callback, name) for name in methods
    )


def _monitors(callback: keras.callbacks.Callback) -> bool:
    if isinstance(callback, keras.callbacks.ModelCheckpoint):
        return callback.save_best_only
    return isinstance(callback, keras.callbacks.EarlyStopping | keras.callbacks.ReduceLROnPlateau)


def _check_monitor(callback: Any, logged: Sequence[str]) -> None:
    kind, monitor = type(callback).__name__, callback.monitor
    if monitor not in logged:
        raise UserError(
            f"{kind} monitors {monitor!r}, and a training measures {', '.join(logged)}; use one of these as "
            "its monitor, or measure yours by metrics of training.train.",
            parameter="callbacks",
        )
    if callback.mode == "auto":
        callback.mode = _MODES.get(monitor, "auto")
    if callback.mode == "auto":
        raise UserError(
            f"{kind} monitors {monitor!r} without saying whether less or more of it is better; give it "
            "mode='min' or mode='max'.",
            parameter="callbacks",
        )
