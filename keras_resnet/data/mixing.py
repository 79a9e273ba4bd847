"""Modern augmentation of whole batches, as data. Imports no TensorFlow."""

import dataclasses


@dataclasses.dataclass(frozen=True)
class Mixing:
    """What is done to a batch of training images and their labels after the crop. 0 is none of it.

    Args:
        label_smoothing: share of a label, 0..1, that is given to all classes alike (Szegedy et al. 2015).
        randaugment: strength, 0..1, of two operations drawn for each batch (Cubuk et al. 2019).
        random_erasing: share of the images, 0..1, that lose a rectangle (Zhong et al. 2017).
        mixup: alpha of the beta distribution by which each image is mixed with another (Zhang et al. 2017).
        cutmix: alpha, 0..1, of the same for a rectangle of another image (Yun et al. 2019). Where there is
            mixup too, each batch gets one of them, by the toss of a coin.
    """

    label_smoothing: float = 0.0
    randaugment: float = 0.0
    random_erasing: float = 0.0
    mixup: float = 0.0
    cutmix: float = 0.0

    def __bool__(self) -> bool:
        return any(dataclasses.astuple(self))
