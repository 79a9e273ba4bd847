"""Images that find the ranges of an int8 file's integers, in whatever form they come."""

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np

from keras_resnet.data.input_spec import InputSpec
from keras_resnet.errors import UserError


def calibration_batches(calibration: Any, spec: InputSpec) -> Iterator[np.ndarray]:
    """Yields batches (n, size, size, channels) of one array, of batches, or of single images.

    Args:
        calibration: as of `export_tflite`; arrays of other libraries as NumPy takes them.
        spec: what the model takes.

    Raises:
        UserError: they are not images of plain pixels as the model takes them.
    """
    if hasattr(calibration, "shape"):
        yield _checked(calibration, spec)
        return
    if not isinstance(calibration, Iterable) or isinstance(calibration, str | bytes):
        raise UserError(
            f"must be images, or batches of them; got a {type(calibration).__name__}.",
            parameter="calibration",
        )
    for batch in calibration:
        if isinstance(batch, tuple | dict):
            raise UserError(
                "must hold images without labels, as dataset.map(lambda images, labels: images) yields them.",
                parameter="calibration",
            )
        yield _checked(batch, spec)


def _checked(images: Any, spec: InputSpec) -> np.ndarray:
    images = np.asarray(images)
    shape = (spec.size, spec.size, spec.channels)
    if images.shape == shape:
        images = images[np.newaxis]
    if images.ndim != 4 or not len(images) or images.shape[1:] != shape or images.dtype.kind not in "iuf":
        raise UserError(
            f"must be images of shape (N, {', '.join(map(str, shape))}), of numbers; got "
            f"{images.dtype.name}.",
            parameter="calibration",
            value=str(images.shape),
        )
    if not (images.min() >= 0 and images.max() <= 255):  # NaN is neither
        raise UserError("must hold pixels from 0 to 255.", parameter="calibration", value=images.dtype.name)
    if images.dtype.kind == "f" and 0 < images.max() <= 1:
        raise UserError(
            "must hold pixels from 0 to 255, and these are scaled to 0..1; the model scales pixels itself.",
            parameter="calibration",
            value=images.dtype.name,
        )
    return images
