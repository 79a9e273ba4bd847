"""How a net is trained, as data: each recipe with its source and what to expect of it."""

import dataclasses
import math
import re

from keras_resnet.data.mixing import Mixing
from keras_resnet.data.source import Source

_NO_MIXING = Mixing()

SCHEDULES = ("plateau", "drops", "cosine")
DECAYS = ("all", "kernels")
_STAGE = re.compile(r"head|conv([1-9]\d*)")


@dataclasses.dataclass(frozen=True)
class Recipe:
    """SGD with momentum, L2 weight decay and a schedule of the learning rate.

    Args:
        source: where the numbers come from.
        expected: the accuracy to expect, and where that was measured.
        epochs: passes over the training images.
        batch_size: images of one step, over all devices.
        iterations: steps to train for, instead of `epochs`.
        learning_rate: the highest.
        momentum: of SGD.
        weight_decay: L2, added to the gradient before the momentum.
        decay: which weights decay: "all", as in the authors' framework, or "kernels": not those of BN and
            the biases.
        schedule: "plateau": divided by 10 when the validation error stays; "drops": divided by 10 at given
            steps; "cosine": half a cosine down to 0 (with `warm_up_epochs`, one cycle).
        patience: for "plateau", epochs without a better validation error.
        drops: for "drops", numbers of steps; none, and the rate stays.
        warm_up_epochs: over which the learning rate grows from 0.
        warm_up_error: a tenth of the learning rate until the training error is below this share (0: never).
        ema: decay, a step, of an average of the weights that is tested and kept in their place (0: none).
        zero_gamma: start with the last BN of each residual block at gamma 0 (Goyal et al. 2017, section 5.1).
        unfreeze: what is trained, and for which share of the steps, one phase after another: from "head",
            the classifier alone, or from a stage on, as `models.freezing.freeze` has it. (("head", 0.2),
            ("conv4", 0.8)) trains the head, then conv4 and all behind it. Empty: everything all the time.
        mixing: modern augmentation; the paper has none.

    Raises:
        ValueError: a field is not one of these; the message begins with its name.
    """

    source: str
    batch_size: int
    epochs: int = 0
    iterations: int = 0
    expected: str = ""
    learning_rate: float = 0.1
    momentum: float = 0.9
    weight_decay: float = 1e-4
    decay: str = "all"
    schedule: str = "plateau"
    patience: int = 10
    drops: tuple[int, ...] = ()
    warm_up_epochs: float = 0.0
    warm_up_error: float = 0.0
    ema: float = 0.0
    zero_gamma: bool = False
    unfreeze: tuple[tuple[str, float], ...] = ()
    mixing: Mixing = _NO_MIXING

    def __post_init__(self):
        for field, value, accepted in (
            ("schedule", self.schedule, SCHEDULES),
            ("decay", self.decay, DECAYS),
        ):
            if value not in accepted:
                raise ValueError(f"{field}={value} must be one of {', '.join(accepted)}.")
        if bool(self.epochs) == bool(self.iterations):
            raise ValueError(f"epochs={self.epochs} must be given, or iterations instead, and not both.")
        if list(self.drops) != sorted(set(self.drops)):
            raise ValueError(f"drops={','.join(map(str, self.drops))} must be growing numbers of steps.")
        if self.drops and self.schedule != "drops":
            raise ValueError(f"drops={','.join(map(str, self.drops))} are for schedule=drops.")
        if not 0 <= self.ema < 1:
            raise ValueError(f"ema={self.ema:g} must be at least 0 and less than 1.")
        if self.unfreeze:
            self._check_unfreeze()

    def _check_unfreeze(self) -> None:
        told = f"unfreeze={','.join(f'{stage}:{share:g}' for stage, share in self.unfreeze)}"
        matches = [_STAGE.fullmatch(stage) for stage, _ in self.unfreeze]
        places = [math.inf if match[1] is None else int(match[1]) for match in matches if match]
        if None in matches or places != sorted(set(places), reverse=True):
            raise ValueError(
                f"{told} must go from head by way of ..., conv3, conv2 to conv1, each once at most."
            )
        shares = [share for _, share in self.unfreeze]
        if min(shares) <= 0 or not math.isclose(sum(shares), 1):
            raise ValueError(f"{told} must have shares of the steps that are greater than 0 and add up to 1.")

    def total_steps(self, steps_per_epoch: int) -> int:
        """Steps of the whole training."""
        return self.iterations or self.epochs * steps_per_epoch

    def total_epochs(self, steps_per_epoch: int) -> int:
        """Epochs of the whole training, the last of which `iterations` may cut short."""
        return -(-self.total_steps(steps_per_epoch) // steps_per_epoch)

    def phases(self, steps_per_epoch: int) -> dict[int, str]:
        """The stage from which on is trained, by the first step, counted from 0; none for `unfreeze` empty.

        Of phases that begin at the same step, as those of a very short training, there is the last.
        """
        total, done, phases = self.total_steps(steps_per_epoch), 0.0, {}
        for stage, share in self.unfreeze:
            phases[round(done * total)] = stage
            done += share
        return {first: stage for first, stage in phases.items() if first < total}


_CIFAR = Recipe(
    source="He et al. 2015, section 4.2: 64k iterations at batch 128, a tenth from 32k and 48k on",
    expected="CIFAR-10 with option A: ResNet-20 91.25%, 32 92.49%, 44 92.83%, 56 93.03% (Table 6)",
    iterations=64_000,
    batch_size=128,
    schedule="drops",
    drops=(32_000, 48_000),
)

RECIPES = {
    "plateau": Recipe(
        source="He et al. 2015, section 3.4: the learning rate falls when the error stays; epochs and batch "
        "as in section 4.2, where 64k iterations at batch 128 are 164 epochs of CIFAR-10",
        expected="CIFAR-10: about that of `cifar`",
        epochs=164,
        batch_size=128,
    ),
    "digits": Recipe(
        source="that of `plateau`, shortened and with smaller batches for 1,442 images of 8x8 pixels",
        expected="ResNet-20: 98% to 99.5%",
        epochs=80,
        batch_size=64,
    ),
    "cifar": _CIFAR,
    "cifar110": dataclasses.replace(
        _CIFAR,
        source=f"{_CIFAR.source}; 0.01 until the training error is below 80%, about 400 iterations",
        expected="CIFAR-10 with option A: ResNet-110 93.57%, 93.39% +- 0.16 over 5 runs (Table 6)",
        warm_up_error=0.8,
    ),
    "imagenet": Recipe(
        source="He et al. 2015, section 3.4: 60e4 iterations at batch 256, 120 epochs of ImageNet",
        expected="ImageNet, 10-crop: ResNet-18 A 72.12%, 34 B 75.48%, 50 77.15%, 101 78.25%, 152 78.57% "
        "(Tables 2 and 3)",
        epochs=120,
        batch_size=256,
        patience=5,
    ),
    "modern": Recipe(
        source="one cycle of the learning rate (Smith 2018), no decay of BN and biases and gamma 0 (Goyal et "
        "al. 2017; He et al. 2018, bag of tricks), label smoothing, averaged weights",
        expected="Fashion-MNIST, ResNet-20, 12 epochs, --batch_size=32 --shift=1 --nozero_gamma: 93.9%",
        epochs=30,
        batch_size=64,
        weight_decay=5e-4,
        decay="kernels",
        schedule="cosine",
        warm_up_epochs=1.0,
        ema=0.998,
        zero_gamma=True,
        mixing=Mixing(label_smoothing=0.05),
    ),
    "finetune": Recipe(
        source="for a net that begins with weights from elsewhere: gradual unfreezing (Howard and Ruder "
        "2018, section 3.3), with a smaller learning rate, a cosine and averaged weights",
        expected="Fashion-MNIST, ResNet-20 of five classes, 100 pictures of each of the other five: 94.4%",
        epochs=20,
        batch_size=32,
        learning_rate=0.03,
        decay="kernels",
        schedule="cosine",
        warm_up_epochs=1.0,
        ema=0.998,
        unfreeze=(("head", 0.2), ("conv4", 0.3), ("conv1", 0.5)),
        mixing=Mixing(label_smoothing=0.05),
    ),
}


def default_recipe(source: Source) -> str:
    """Name of the recipe for these images where the user chooses none."""
    return "digits" if source.name == "digits" else "plateau"
