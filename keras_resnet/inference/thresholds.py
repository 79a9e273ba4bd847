"""The thresholds file of a multi-label model: from which probability on an image is said to have a label.

`thresholds.json` holds one number for each line of the labels file, in the same order, and lies next to it. A
model without it gives each image one class. Imports neither NumPy nor TensorFlow.
"""

import json
import os
import pathlib
from collections.abc import Sequence

from keras_resnet.errors import UserError

THRESHOLDS = "thresholds.json"
# Where none was chosen.
DEFAULT_THRESHOLD = 0.5


def format_thresholds(thresholds: Sequence[float]) -> str:
    """Returns the content of a thresholds file."""
    return json.dumps([float(threshold) for threshold in thresholds]) + "\n"


def read_thresholds(text: str | bytes, classes: int) -> tuple[float, ...]:
    """Returns the thresholds in the content of a thresholds file, 0..1.

    Args:
        classes: number of labels of the model.

    Raises:
        UserError: the content is damaged.
    """
    try:
        values = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise UserError("is not valid JSON.", value=THRESHOLDS) from error
    is_list = isinstance(values, list) and len(values) == classes
    if not is_list or not all(type(value) in (int, float) and 0 <= value <= 1 for value in values):
        raise UserError(f"must hold a number from 0 to 1 for each of {classes} labels.", value=THRESHOLDS)
    return tuple(map(float, values))


def has_thresholds(folder: str | os.PathLike) -> bool:
    """Whether the model in a folder is one of several labels an image."""
    return pathlib.Path(folder, THRESHOLDS).is_file()
