"""Settings of the augmentation of whole batches. Imports no TensorFlow."""

import dataclasses


@dataclasses.dataclass(frozen=True)
class BatchAugment:
    """How a batch of training images and their labels is augmented after the crop. 0 turns a part off.

    Args:
        label_smoothing: fraction of a label, 0..1, that is spread evenly over all classes (Szegedy et al.
            2015).
        randaugment: magnitude, 0..1, of two operations drawn for each batch (Cubuk et al. 2019).
        random_erasing: fraction of the images, 0..1, in which a rectangle is erased (Zhong et al. 2017).
        mixup: alpha of the beta distribution of the weight with which another image is mixed in (Zhang et al.
            2017).
        cutmix: alpha, 0..1, of the same for the area of a rectangle that is pasted from another image (Yun et
            al. 2019). With both mixup and cutmix, each batch gets one of them, with equal probability.
    """

    label_smoothing: float = 0.0
    randaugment: float = 0.0
    random_erasing: float = 0.0
    mixup: float = 0.0
    cutmix: float = 0.0

    def __bool__(self) -> bool:
        return any(dataclasses.astuple(self))
