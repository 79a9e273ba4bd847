"""The small files that describe a model: the names of its classes, and `preprocessing.json`, its `InputSpec`.

A model of several labels an image has `thresholds.json` as well. They lie where `labels` says. Imports
neither NumPy nor TensorFlow.
"""

import json
import os
import pathlib
from collections.abc import Sequence

from keras_resnet._utils.atomic import atomic_write
from keras_resnet.data.dataset import MAX_PIXELS
from keras_resnet.data.input_spec import InputSpec
from keras_resnet.errors import UserError
from keras_resnet.inference.labels import LABELS, format_labels
from keras_resnet.inference.thresholds import THRESHOLDS, format_thresholds

PREPROCESSING = "preprocessing.json"


def format_preprocessing(spec: InputSpec) -> str:
    """Returns the content of a preprocessing file: the fields of `spec` as JSON."""
    return json.dumps(spec.as_dict()) + "\n"


def read_preprocessing(text: str | bytes) -> InputSpec:
    """Returns the `InputSpec` in the content of a preprocessing file.

    Raises:
        UserError: the content is damaged.
    """
    try:
        values = json.loads(text)
    except (ValueError, RecursionError) as error:  # UnicodeDecodeError and JSONDecodeError are ValueErrors
        raise UserError("is not valid JSON.", value=PREPROCESSING) from error
    spec = InputSpec.from_dict(values)
    # JSON of another program may hold 8.0 or true, which compare like the integers they are not.
    for side in (spec.size, spec.channels, *(() if spec.resize_size is None else (spec.resize_size,))):
        if type(side) is not int or side**2 > MAX_PIXELS:
            raise UserError(f"holds {side!r}, which is not a number of pixels.", value=PREPROCESSING)
    return spec


def sidecars(
    class_names: Sequence[str], spec: InputSpec, thresholds: Sequence[float] | None = None
) -> dict[str, str]:
    """Returns the contents of `labels.txt`, `preprocessing.json` and, with thresholds, `thresholds.json`."""
    files = {LABELS: format_labels(class_names), PREPROCESSING: format_preprocessing(spec)}
    if thresholds is not None:
        files[THRESHOLDS] = format_thresholds(thresholds)
    return files


def write_sidecars(
    folder: str | os.PathLike,
    class_names: Sequence[str],
    spec: InputSpec,
    thresholds: Sequence[float] | None = None,
) -> None:
    """Writes the files of `sidecars` into the folder of a model."""
    for name, text in sidecars(class_names, spec, thresholds).items():
        with atomic_write(pathlib.Path(folder, name)) as written:
            written.write_text(text, encoding="utf-8")
