"""From whatever holds images to batches of the pixels that a model takes."""

import dataclasses
import os
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from keras_resnet.data.images.pillow import preprocess_image
from keras_resnet.data.input_spec import InputSpec
from keras_resnet.errors import UserError

ImageFile = str | os.PathLike | bytes
Images = np.ndarray | ImageFile | Sequence[np.ndarray | ImageFile]

# Images of one batch: so many pixels, but no more images than that.
_MAX_BATCH_PIXELS, _MAX_BATCH = 4 * 2**20, 256


def image_batches(images: Images, spec: InputSpec) -> Iterator[np.ndarray]:
    """Yields batches of images as the model takes them, (n, size, size, channels) uint8 or float32.

    Args:
        images: pixels, (N, H, W, C) or (H, W, C); a file or its bytes; or a sequence of images, each one a
            file, its bytes or pixels. Files, and pixels of another size than the model's, are prepared by
            `preprocess_image`; pixels of the model's size are taken as they are.

    Raises:
        UserError: an image cannot be read, or an array does not hold images.
    """
    batch_size = max(1, min(_MAX_BATCH, _MAX_BATCH_PIXELS // spec.size**2))
    if not isinstance(images, ImageFile) and hasattr(images, "__array__"):
        images = _check_pixels(np.asarray(images))
        images = images[np.newaxis] if images.ndim == 3 else images
        if _fits(images, spec):
            for start in range(0, len(images), batch_size):
                yield to_channels(images[start : start + batch_size], spec.channels)
            return
    several = [images] if isinstance(images, ImageFile) else images
    for start in range(0, len(several), batch_size):
        yield np.stack([_prepare(image, spec) for image in several[start : start + batch_size]])


def to_channels(images: np.ndarray, channels: int) -> np.ndarray:
    """Returns images (..., C) with the channels of a model: gray ones are repeated for an RGB model."""
    return np.broadcast_to(images, (*images.shape[:-1], channels))


def _prepare(image: Any, spec: InputSpec) -> np.ndarray:
    if isinstance(image, ImageFile):
        return preprocess_image(image, spec)
    pixels = _check_pixels(np.asarray(image))
    if pixels.ndim != 3:
        raise UserError(
            "each image of a sequence is one file, its bytes, or an array (H, W, C).",
            parameter="images",
            value=str(pixels.shape),
        )
    if _fits(pixels, spec):
        return to_channels(pixels, spec.channels)
    if pixels.dtype != np.uint8:
        raise UserError(
            f"images of floats must be of the model's size, {spec.size}x{spec.size}x{spec.channels}; only "
            "uint8 images are resized.",
            parameter="images",
            value=str(pixels.shape),
        )
    if pixels.shape[:2] == (spec.size, spec.size):
        # Of the model's size: its colors become gray, and nothing is cropped.
        spec = dataclasses.replace(spec, crop_mode="squash", resize_size=None, interpolation="bilinear")
    return preprocess_image(np.ascontiguousarray(pixels), spec)


def _fits(pixels: np.ndarray, spec: InputSpec) -> bool:
    return pixels.shape[-3:-1] == (spec.size, spec.size) and pixels.shape[-1] in (1, spec.channels)


def _check_pixels(pixels: np.ndarray) -> np.ndarray:
    """Returns the array as uint8 or float32.

    Raises:
        UserError: it does not hold images.
    """
    if pixels.ndim not in (3, 4) or pixels.shape[-1] not in (1, 3):
        raise UserError(
            "an array of images has the shape (N, H, W, C) or (H, W, C), with 1 or 3 channels.",
            parameter="images",
            value=str(pixels.shape),
        )
    if pixels.dtype == np.uint8:
        return pixels
    if "float" in pixels.dtype.name:  # bfloat16, too, which is none of NumPy's own
        return pixels.astype("float32", copy=False)
    if not np.issubdtype(pixels.dtype, np.integer) or (
        pixels.size and not 0 <= pixels.min() <= pixels.max() <= 255
    ):
        raise UserError("pixels are numbers from 0 to 255.", parameter="images", value=pixels.dtype.name)
    return pixels.astype("uint8")
