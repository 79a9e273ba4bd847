"""Prepares one image for a model with Pillow, without TensorFlow: to the pixels of the input pipeline."""

import math
import os
import pathlib
import warnings

import numpy as np
import PIL.Image

from keras_resnet.data.images.pixels import open_image, to_channels, turn_of
from keras_resnet.data.input_spec import MIN_DECODED_PIXELS, InputSpec
from keras_resnet.errors import UserError
from keras_resnet.weights.eval_settings import EvalSettings
from keras_resnet.weights.transform import eval_transform

_FILTERS = {"bilinear": PIL.Image.Resampling.BILINEAR, "bicubic": PIL.Image.Resampling.BICUBIC}


def preprocess_image(
    image: str | os.PathLike | bytes | np.ndarray, spec: InputSpec, *, name: str = ""
) -> np.ndarray:
    """Prepares one image for a model, as validation does.

    A JPEG is turned upright, as its EXIF orientation says. Where `spec.is_published`, the pixels are exactly
    those of the evaluation transform of the publishers of the model's weights.

    Shapes: an encoded file, or (H, W, 1 or 3) uint8 -> (size, size, channels) uint8.

    Args:
        image: path of a file, the contents of one, or pixels.
        name: of the image in messages; by default its path, if it has one.

    Raises:
        UserError: the image cannot be read or decoded.
    """
    if isinstance(image, np.ndarray):
        return _from_array(image, spec, name or "The image")
    name = name or ("The image" if isinstance(image, bytes) else os.fsdecode(image))
    try:
        contents = image if isinstance(image, bytes) else pathlib.Path(image).read_bytes()
    except OSError as error:
        raise UserError(f"cannot be read ({error.strerror}).", value=name) from error
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about odd palettes, and sizes that are still accepted
            with open_image(contents) as picture:
                return _transform(picture, spec, turn_of(picture, contents))
    except ValueError as error:
        raise UserError(f"cannot be decoded ({error}).", value=name) from error


def _from_array(pixels: np.ndarray, spec: InputSpec, name: str) -> np.ndarray:
    if pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape[2] not in (1, 3) or 0 in pixels.shape:
        raise UserError(
            f"must be pixels (height, width, 1 or 3), uint8; got {pixels.shape} of {pixels.dtype}.",
            value=name,
        )
    picture = PIL.Image.fromarray(pixels[..., 0] if pixels.shape[2] == 1 else pixels)
    return _transform(picture, spec, None)


def _transform(image: PIL.Image.Image, spec: InputSpec, turn: PIL.Image.Transpose | None) -> np.ndarray:
    size, squash = spec.size, spec.crop_mode == "squash"
    if spec.is_published and not squash:
        upright = image if turn is None else image.transpose(turn)
        settings = EvalSettings(size, spec.shorter_side, spec.interpolation)
        pixels = eval_transform(to_channels(upright, 3), settings)
        return (
            pixels
            if spec.channels == 3
            else np.asarray(PIL.Image.fromarray(pixels).convert("L"))[..., np.newaxis]
        )
    target = size if squash else spec.shorter_side
    full_size = image.size
    # A JPEG decoder produces a smaller image in less time, whose last row and column may lie half outside the
    # original; in an image that is turned these would be the first.
    drafted = None
    if turn is None and not spec.is_published:
        drafted = image.draft(None, (target * MIN_DECODED_PIXELS, target * MIN_DECODED_PIXELS))
    if turn is not None:
        image = image.transpose(turn)
        full_size = image.size
    extent = drafted[1][2:] if drafted else full_size
    image = to_channels(image, spec.channels)
    if squash:
        resized = image.resize((size, size), _FILTERS[spec.interpolation], (0, 0, *extent))
    else:
        resized = _center_crop(image, full_size, extent, size, target)
    return np.asarray(resized, "uint8").reshape(size, size, spec.channels)


def _center_crop(
    image: PIL.Image.Image, full_size: tuple[int, int], extent: tuple[float, float], size: int, target: int
) -> PIL.Image.Image:
    """Returns the center of the image resized to a shorter side of `target`, computing little more than that.

    Args:
        full_size: width and height of the original image.
        extent: the same in pixels of `image`, which the decoder may have scaled down.
    """
    resized = [max(target, round(side * target / min(full_size))) for side in full_size]
    # Reach of the filter in resized pixels: one pixel of the image, and some slack for rounding.
    margin = math.ceil(max(1, *(long / side for long, side in zip(resized, full_size, strict=True)))) + 1
    start = [(long - size) // 2 for long in resized]
    first = [max(0, begin - margin) for begin in start]
    last = [min(long, begin + size + margin) for long, begin in zip(resized, start, strict=True)]
    left, top, right, bottom = (
        position * reach / long
        for positions in (first, last)
        for position, reach, long in zip(positions, extent, resized, strict=True)
    )
    bilinear = _FILTERS["bilinear"]
    part = image.resize((last[0] - first[0], last[1] - first[1]), bilinear, (left, top, right, bottom))
    across, down = start[0] - first[0], start[1] - first[1]
    return part.crop((across, down, across + size, down + size))
