"""What the readers of all file formats have in common."""

import os
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from keras_resnet.data.input_spec import InputSpec
from keras_resnet.errors import UserError, first_line

if TYPE_CHECKING:
    import keras

PredictFn = Callable[[np.ndarray], np.ndarray]


class ModelFile(NamedTuple):
    """The content of a model's file; the fields are those of `Predictor`."""

    spec: InputSpec
    class_names: tuple[str, ...]
    predict_fn: PredictFn
    model: "keras.Model | None" = None
    thresholds: tuple[float, ...] | None = None


def check_class_names(path: str | os.PathLike, names: Sequence[str], classes: int) -> None:
    """Checks that there is one name for each output.

    Raises:
        UserError: there are more or fewer.
    """
    if len(names) != classes:
        raise UserError(
            f"its labels name {len(names)} classes and the model has {classes}; a labels file holds one name "
            "per line, one line per class.",
            value=path,
        )


def foreign_file(path: str | os.PathLike) -> UserError:
    """Returns the error for a file that this package did not write, or that lost what it wrote into it."""
    return UserError(
        "was not exported by this package: its class names or preprocessing are missing or damaged; use a "
        "file that `keras-resnet export` wrote.",
        value=path,
    )


def unreadable_file(path: str | os.PathLike, kind: str, error: Exception, advice: str) -> UserError:
    """Returns the error for a file that its library cannot open."""
    return UserError(f"is not a {kind} that can be opened ({first_line(error)}); {advice}.", value=path)
