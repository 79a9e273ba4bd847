"""How the publishers of weights prepare images for evaluation, as data."""

import dataclasses

INTERPOLATIONS = ("bilinear", "bicubic")


@dataclasses.dataclass(frozen=True)
class EvalSettings:
    """The evaluation transform of published weights: resize, then center crop.

    Args:
        crop_size: side of the center crop in pixels, which is the side of the network's input.
        resize_size: shorter side of the resized image in pixels.
        interpolation: "bilinear" or "bicubic", both antialiased.
        top1, top5: accuracy in percent on ImageNet's validation images under this transform; None: not known.
    """

    crop_size: int
    resize_size: int
    interpolation: str = "bilinear"
    top1: float | None = None
    top5: float | None = None


# What torchvision's first weights and keras.applications' weights are evaluated with.
STANDARD = EvalSettings(crop_size=224, resize_size=256)
# The images of CIFAR as they are.
CIFAR = EvalSettings(crop_size=32, resize_size=32)
