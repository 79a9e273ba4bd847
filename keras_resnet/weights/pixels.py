"""How pictures are prepared for public weights: what part of them is seen, as which numbers."""

import dataclasses
from collections.abc import Iterable

import numpy as np
import PIL.Image

_FILTERS = {"bilinear": PIL.Image.Resampling.BILINEAR, "bicubic": PIL.Image.Resampling.BICUBIC}


@dataclasses.dataclass(frozen=True)
class Pixels:
    """What a net with certain weights sees: (pixels - mean) / deviation, of pixels 0..255.

    Args:
        mean, deviation: of each colour, in the order of RGB.
        reverse: whether the net sees blue first (BGR).
    """

    mean: tuple[float, float, float]
    deviation: tuple[float, float, float] = (1.0, 1.0, 1.0)
    reverse: bool = False


def of_unit(values: Iterable[float]) -> tuple[float, float, float]:
    """The same for pixels 0..255, as PyTorch's numbers are for 0..1.

    Raises:
        ValueError: they are not three.
    """
    red, green, blue = (255 * float(value) for value in values)
    return red, green, blue


# By the word that keras.applications has for each, its `mode`.
PIXELS = {
    "caffe": Pixels((123.68, 116.779, 103.939), reverse=True),
    "torch": Pixels(of_unit((0.485, 0.456, 0.406)), of_unit((0.229, 0.224, 0.225))),
}


def published_view(picture: PIL.Image.Image, size: int, shorter: int, interpolation: str) -> np.ndarray:
    """What those who publish weights show of a picture in their tests: (size, size, 3) uint8.

    The picture is scaled to a shorter side, and its centre is cut out; to the same pixels as by
    torchvision's and timm's transforms of a Pillow picture.

    Args:
        picture: in any mode.
        size: side of the view.
        shorter: shorter side of the scaled picture, at least `size`.
        interpolation: "bilinear" or "bicubic".
    """
    width, height = picture.size
    # They cut off the fraction of the longer side, and round that of the corner to the even number.
    wide, high = (int(shorter * side / min(width, height)) for side in (width, height))
    picture = picture.convert("RGB").resize((wide, high), _FILTERS[interpolation])
    left, top = (round((side - size) / 2) for side in (wide, high))
    return np.asarray(picture.crop((left, top, left + size, top + size)))
