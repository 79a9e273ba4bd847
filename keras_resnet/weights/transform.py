"""The evaluation transform of published weights, to the same pixels as torchvision's and timm's."""

import numpy as np
import PIL.Image

from keras_resnet.weights.eval_settings import EvalSettings

_FILTERS = {"bilinear": PIL.Image.Resampling.BILINEAR, "bicubic": PIL.Image.Resampling.BICUBIC}


def eval_transform(picture: PIL.Image.Image, settings: EvalSettings) -> np.ndarray:
    """Resizes a picture to a shorter side and crops its center: (crop_size, crop_size, 3) uint8.

    The pixels equal those of torchvision's and timm's evaluation transforms of a Pillow image.

    Args:
        picture: in any mode.
        settings: of the weights, as `get_weights("torchvision-v2", 50).eval`.
    """
    width, height = picture.size
    # Both libraries truncate the longer side, and round the corner half to even.
    new_width, new_height = (
        int(settings.resize_size * side / min(width, height)) for side in (width, height)
    )
    picture = picture.convert("RGB").resize((new_width, new_height), _FILTERS[settings.interpolation])
    crop = settings.crop_size
    left, top = (round((side - crop) / 2) for side in (new_width, new_height))
    return np.asarray(picture.crop((left, top, left + crop, top + crop)))
