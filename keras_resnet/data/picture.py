"""One picture as tests see it, by Pillow: for whoever wants an answer before TensorFlow is imported."""

import io
import os
import pathlib

import numpy as np
import PIL.Image

from keras_resnet.data.source import LARGEST
from keras_resnet.data.view import shorter_side
from keras_resnet.errors import UserError

# As many pixels as the decoder leaves, down and across, for one of the square.
_PIXELS_LEFT = 2


def seen_picture(
    picture: str | os.PathLike | bytes, size: int, channels: int, *, whole: bool, name: str = ""
) -> np.ndarray:
    """What `Pipeline.evaluation_batches` shows of the picture: (size, size, channels) uint8.

    Args:
        picture: a file or its bytes.
        channels: 1 or 3.
        whole: all of the picture squeezed into the square, or its centre.
        name: of the picture in messages; by default the file's.

    Raises:
        UserError: it cannot be read or is no picture.
    """
    name = name or os.fspath(picture)
    try:
        contents = picture if isinstance(picture, bytes) else pathlib.Path(picture).read_bytes()
    except OSError as error:
        raise UserError(f"{name} cannot be read ({error.strerror}).") from error
    try:
        with PIL.Image.open(io.BytesIO(contents)) as image:
            if image.width * image.height > LARGEST:
                raise UserError(f"{name} has more than {LARGEST:,} pixels; make it smaller.")
            return _seen(image, size, channels, whole)
    except (OSError, SyntaxError, ValueError, PIL.Image.DecompressionBombError) as error:
        if isinstance(error, UserError):
            raise
        raise UserError(
            f"{name} is no picture that can be decoded; JPEG, PNG, GIF, BMP and WebP can."
        ) from error


def _seen(image: PIL.Image.Image, size: int, channels: int, whole: bool) -> np.ndarray:
    sides = image.size
    target = size if whole else shorter_side(size)
    # A JPEG decoder gives a smaller picture in less time, whose last row and column may lie half outside.
    drafted = image.draft(None, (target * _PIXELS_LEFT, target * _PIXELS_LEFT))
    box = drafted[1] if drafted else (0, 0, *sides)
    image = image.convert("L" if channels == 1 else "RGB")
    if whole:
        seen = image.resize((size, size), PIL.Image.Resampling.BILINEAR, box)
    else:
        scale = target / min(sides)
        width, height = (max(target, round(side * scale)) for side in sides)
        left, top = (width - size) // 2, (height - size) // 2
        resized = image.resize((width, height), PIL.Image.Resampling.BILINEAR, box)
        seen = resized.crop((left, top, left + size, top + size))
    return np.asarray(seen, "uint8").reshape(size, size, channels)
