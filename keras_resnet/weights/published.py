"""What part of a picture those who publish weights show in their tests."""

import numpy as np
import PIL.Image

_FILTERS = {"bilinear": PIL.Image.Resampling.BILINEAR, "bicubic": PIL.Image.Resampling.BICUBIC}


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
