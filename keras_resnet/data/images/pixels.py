"""Which pixels an image file has: as Pillow reads them, upright, without transparency.

This is the definition. `decode.py` reads JPEG and PNG files by TensorFlow's operations instead, to the same
pixels.
"""

import contextlib
import io
import os
import struct
import warnings
from collections.abc import Iterator, Sequence

import numpy as np
import PIL.Image

from keras_resnet.data.dataset import MAX_PIXELS
from keras_resnet.data.images.exif import jpeg_orientation

FORMATS = ("JPEG", "PNG", "GIF", "BMP", "WEBP")
# Modes of images that count as gray: a dataset of these alone has one channel.
GRAY_MODES = ("1", "L", "I;16")
# Errors of reading a header, and of images that Pillow refuses for their size.
_HEADER_ERRORS = (OSError, SyntaxError, ValueError, PIL.Image.DecompressionBombError)
# What Pillow raises where a file is damaged.
DAMAGE = (OSError, SyntaxError, ValueError, EOFError, IndexError, struct.error)
# What turns an image upright, by its EXIF orientation.
_TURNS = {
    2: PIL.Image.Transpose.FLIP_LEFT_RIGHT,
    3: PIL.Image.Transpose.ROTATE_180,
    4: PIL.Image.Transpose.FLIP_TOP_BOTTOM,
    5: PIL.Image.Transpose.TRANSPOSE,
    6: PIL.Image.Transpose.ROTATE_270,
    7: PIL.Image.Transpose.TRANSVERSE,
    8: PIL.Image.Transpose.ROTATE_90,
}


def sample_headers(
    paths: Sequence[str | bytes | os.PathLike], most: int
) -> Iterator[tuple[tuple[int, int], str]]:
    """Yields (width, height) and mode of some files, evenly spread, without those that cannot be read."""
    for path in paths[:: -(-len(paths) // most)]:
        try:
            with warnings.catch_warnings():
                # Pillow warns at half the number of pixels that it refuses.
                warnings.simplefilter("ignore", PIL.Image.DecompressionBombWarning)
                with PIL.Image.open(path) as image:
                    header = image.size, image.mode
        except _HEADER_ERRORS:
            continue  # undecodable files are left to `DecodeErrors`
        yield header


@contextlib.contextmanager
def open_image(contents: bytes) -> Iterator[PIL.Image.Image]:
    """Opens the contents of a file as its first frame, and closes it.

    Raises:
        ValueError: it cannot be decoded, also while it is open; the message is the reason.
    """
    try:
        with PIL.Image.open(io.BytesIO(contents), formats=FORMATS) as image:
            yield image
    except PIL.Image.DecompressionBombError as error:
        raise ValueError(f"it has more than {MAX_PIXELS:,} pixels") from error
    except PIL.UnidentifiedImageError as error:
        raise ValueError("it is not a JPEG, PNG, GIF, BMP or WebP file") from error
    except DAMAGE as error:
        raise ValueError(f"it is damaged: {error}" if str(error) else "it is damaged") from error


def turn_of(image: PIL.Image.Image, contents: bytes) -> PIL.Image.Transpose | None:
    """Returns what turns an image upright. Only a JPEG is turned, as its EXIF orientation says."""
    return _TURNS.get(jpeg_orientation(contents)) if image.format in ("JPEG", "MPO") else None


def upright_size(image: PIL.Image.Image, contents: bytes) -> tuple[int, int]:
    """Returns the height and width that an image has upright."""
    turn = turn_of(image, contents)
    lies = turn is not None and turn in (_TURNS[orientation] for orientation in (5, 6, 7, 8))
    return image.size if lies else image.size[::-1]


def to_channels(image: PIL.Image.Image, channels: int) -> PIL.Image.Image:
    """Returns an image as gray or RGB: 16 bits become the higher 8, and transparency is dropped."""
    if image.mode.startswith("I;16"):
        # Pillow's own conversion clips values above 255.
        image = PIL.Image.fromarray((np.asarray(image) >> 8).astype("uint8"))
    return image.convert("L" if channels == 1 else "RGB")


def read_pixels(contents: bytes) -> np.ndarray:
    """Returns all pixels of a file, upright, (H, W, 3) uint8.

    Raises:
        ValueError: as of `open_image`.
    """
    with open_image(contents) as image:
        turn = turn_of(image, contents)
        pixels = to_channels(image if turn is None else image.transpose(turn), 3)
    return np.asarray(pixels)
