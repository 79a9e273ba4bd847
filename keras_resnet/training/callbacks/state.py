"""What Keras' own callbacks remember from epoch to epoch, kept in checkpoints: under `fit` it is lost."""

from collections.abc import Mapping, Sequence
from typing import Any

import keras
import numpy as np

# Attributes that these callbacks change during a training. Plain values, or lists of arrays for weights.
_ATTRIBUTES: dict[type[keras.callbacks.Callback], tuple[str, ...]] = {
    keras.callbacks.EarlyStopping: ("best", "wait", "stopped_epoch", "best_epoch", "best_weights"),
    keras.callbacks.ModelCheckpoint: ("best", "_batches_seen_since_last_saving", "_last_batch_seen"),
    keras.callbacks.ReduceLROnPlateau: ("best", "wait", "cooldown_counter"),
}
_PREFIX = "callbacks/"

# Plain values by the name of a callback, such as "ReduceLROnPlateau/0".
States = dict[str, dict[str, Any]]


def callback_states(
    callbacks: Sequence[keras.callbacks.Callback],
) -> tuple[States, dict[str, np.ndarray]]:
    """Returns the states of the callbacks: plain values by callback, and arrays by names of their own."""
    states: States = {}
    arrays: dict[str, np.ndarray] = {}
    for name, callback, attributes in _stateful(callbacks):
        states[name] = {}
        for attribute in attributes:
            value = getattr(callback, attribute)
            if isinstance(value, list):
                states[name][attribute] = len(value)
                arrays |= {f"{_PREFIX}{name}/{attribute}/{i}": array for i, array in enumerate(value)}
            else:
                states[name][attribute] = value if value is None else np.asarray(value).item()
    return states, arrays


def restore_callback_states(
    callbacks: Sequence[keras.callbacks.Callback], states: States, arrays: Mapping[str, np.ndarray]
) -> None:
    """Sets the callbacks to what `callback_states` returned; those that it does not name stay as they are."""
    for name, callback, attributes in _stateful(callbacks):
        for attribute in attributes:
            value = states.get(name, {}).get(attribute, getattr(callback, attribute))
            first = f"{_PREFIX}{name}/{attribute}/"
            if f"{first}0" in arrays:
                value = [arrays[f"{first}{i}"] for i in range(value)]
            setattr(callback, attribute, value)


def split_arrays(arrays: Mapping[str, np.ndarray]) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Returns the arrays of a checkpoint apart: those of the training, and those of callbacks."""
    own = {name: array for name, array in arrays.items() if not name.startswith(_PREFIX)}
    return own, {name: array for name, array in arrays.items() if name not in own}


def _stateful(callbacks):
    """Yields (name, callback, attributes) of each callback that has a state to keep."""
    counts: dict[str, int] = {}
    for callback in callbacks:
        for kind, attributes in _ATTRIBUTES.items():
            if isinstance(callback, kind):
                number = counts.setdefault(kind.__name__, 0)
                counts[kind.__name__] += 1
                yield f"{kind.__name__}/{number}", callback, attributes
