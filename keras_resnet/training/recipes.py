"""How a net is trained, as data."""

import dataclasses

from keras_resnet.data.mixing import Mixing
from keras_resnet.data.source import Source
from keras_resnet.data.view import View

_NO_MIXING = Mixing()


@dataclasses.dataclass(frozen=True)
class Recipe:
    """SGD with momentum and L2 weight decay; the learning rate falls when the validation error stays.

    Args:
        source: where the numbers come from.
        epochs: passes over the training images.
        batch_size: images of one step, over all devices.
        learning_rate: at the start.
        momentum: of SGD.
        weight_decay: L2, added to the gradient before the momentum.
        patience: epochs without a better validation error before the learning rate is divided by 10.
        mixing: modern augmentation; the paper has none.
    """

    source: str
    epochs: int
    batch_size: int
    learning_rate: float = 0.1
    momentum: float = 0.9
    weight_decay: float = 1e-4
    patience: int = 10
    mixing: Mixing = _NO_MIXING


IMAGENET = Recipe(
    source="He et al. 2015, section 3.4: 60e4 iterations at batch 256 are 120 epochs of ImageNet",
    epochs=120,
    batch_size=256,
    patience=5,
)
CIFAR = Recipe(
    source="He et al. 2015, section 4.2: 64k iterations at batch 128 are 164 epochs of CIFAR-10",
    epochs=164,
    batch_size=128,
)
DIGITS = Recipe(
    source="CIFAR's, shortened and with smaller batches for 1,442 images of 8x8 pixels",
    epochs=80,
    batch_size=64,
    patience=10,
)


def default_recipe(source: Source, view: View) -> Recipe:
    """The recipe for these images where the user chooses none."""
    if source.name == "digits":
        return DIGITS
    return CIFAR if view.whole else IMAGENET
