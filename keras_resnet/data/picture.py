"""One picture as tests see it, by Pillow: for whoever wants an answer before TensorFlow is imported."""

import io
import math
import os
import pathlib
import warnings

import numpy as np
import PIL.Image

from keras_resnet.data.source import LARGEST
from keras_resnet.data.view import PIXELS_LEFT, shorter_side
from keras_resnet.errors import UserError

_FORMATS = ("JPEG", "PNG", "GIF", "BMP", "WEBP")
_BILINEAR = PIL.Image.Resampling.BILINEAR
_ORIENTATION = 0x0112
# By the orientation that EXIF tells.
_TURNS = {
    2: PIL.Image.Transpose.FLIP_LEFT_RIGHT,
    3: PIL.Image.Transpose.ROTATE_180,
    4: PIL.Image.Transpose.FLIP_TOP_BOTTOM,
    5: PIL.Image.Transpose.TRANSPOSE,
    6: PIL.Image.Transpose.ROTATE_270,
    7: PIL.Image.Transpose.TRANSVERSE,
    8: PIL.Image.Transpose.ROTATE_90,
}


def seen_picture(
    picture: str | os.PathLike | bytes, size: int, channels: int, *, whole: bool, name: str = ""
) -> np.ndarray:
    """What `Pipeline.evaluation_batches` shows of the picture: (size, size, channels) uint8.

    A JPEG is seen upright, as its camera says it was held (EXIF): so training and tests see it.

    Args:
        picture: a file or its bytes.
        channels: 1 or 3.
        whole: all of the picture squeezed into the square, or its centre.
        name: of the picture in messages; by default the file's, if it is one.

    Raises:
        UserError: it cannot be read or is no picture.
    """
    name = name or ("The picture" if isinstance(picture, bytes) else os.fsdecode(picture))
    try:
        contents = picture if isinstance(picture, bytes) else pathlib.Path(picture).read_bytes()
    except OSError as error:
        raise UserError(f"{name} cannot be read ({error.strerror}); give a picture that can be.") from error
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of odd palettes and sizes that are still accepted
            with PIL.Image.open(io.BytesIO(contents), formats=_FORMATS) as image:
                return _seen(image, size, channels, whole)
    except PIL.Image.DecompressionBombError as error:
        raise UserError(f"{name} has more than {LARGEST:,} pixels; make it smaller.") from error
    except (OSError, SyntaxError, ValueError) as error:
        raise UserError(
            f"{name} is no picture that can be decoded; JPEG, PNG, GIF, BMP and WebP can."
        ) from error


def _seen(image: PIL.Image.Image, size: int, channels: int, whole: bool) -> np.ndarray:
    target = size if whole else shorter_side(size)
    sides = image.size
    turn = _TURNS.get(_orientation(image))
    # A JPEG decoder gives a smaller picture in less time, whose last row and column may lie half outside; of
    # one that is turned these would be the first.
    drafted = image.draft(None, (target * PIXELS_LEFT, target * PIXELS_LEFT)) if turn is None else None
    if turn is not None:
        image = image.transpose(turn)
        sides = image.size
    extent = drafted[1][2:] if drafted else sides
    image = _plain(image, channels)
    if whole:
        seen = image.resize((size, size), _BILINEAR, (0, 0, *extent))
    else:
        seen = _centre(image, sides, extent, size, target)
    return np.asarray(seen, "uint8").reshape(size, size, channels)


def _orientation(image: PIL.Image.Image) -> int:
    exif = PIL.Image.Exif()
    if image.format in ("JPEG", "MPO"):
        exif.load(image.info.get("exif", b""))
    return exif.get(_ORIENTATION, 1)


def _plain(image: PIL.Image.Image, channels: int) -> PIL.Image.Image:
    if image.mode.startswith("I;16"):
        # Pillow would cut off what is brighter than 255.
        image = PIL.Image.fromarray((np.asarray(image) >> 8).astype("uint8"))
    return image.convert("L" if channels == 1 else "RGB")


def _centre(
    image: PIL.Image.Image, sides: tuple[int, int], extent: tuple[float, float], size: int, target: int
) -> PIL.Image.Image:
    """The centre of the picture scaled to a shorter side of `target`, computing little more than that.

    Args:
        sides: width and height of the whole picture.
        extent: the same in pixels of `image`, which a decoder may have scaled.
    """
    scaled = [max(target, round(side * target / min(sides))) for side in sides]
    # How many scaled pixels to either side one depends on: a pixel of the picture, and room for rounding.
    margin = math.ceil(max(1, *(long / side for long, side in zip(scaled, sides, strict=True)))) + 1
    start = [(long - size) // 2 for long in scaled]
    first = [max(0, begin - margin) for begin in start]
    last = [min(long, begin + size + margin) for long, begin in zip(scaled, start, strict=True)]
    left, top, right, bottom = (
        place * reach / long
        for places in (first, last)
        for place, reach, long in zip(places, extent, scaled, strict=True)
    )
    part = image.resize((last[0] - first[0], last[1] - first[1]), _BILINEAR, (left, top, right, bottom))
    across, down = start[0] - first[0], start[1] - first[1]
    return part.crop((across, down, across + size, down + size))
