"""How a model is trained, as data: each recipe with its reference and the accuracy to expect."""

import dataclasses
import math
import re
from typing import Any

from keras_resnet.data.batch_augment import BatchAugment
from keras_resnet.errors import UserError

_NO_AUGMENT = BatchAugment()

SCHEDULES = ("plateau", "multistep", "cosine")
DECAYS = ("all", "kernels")
_STAGE = re.compile(r"head|conv([1-9]\d*)")
# Fields for people: they may be reworded without making a run another one.
_PROSE = ("reference", "expected_accuracy")


@dataclasses.dataclass(frozen=True)
class Recipe:
    """SGD with momentum, L2 weight decay and a learning rate schedule.

    Args:
        reference: where the numbers come from.
        batch_size: images per step, over all devices.
        epochs: passes over the training images.
        iterations: number of steps, instead of `epochs`.
        expected_accuracy: the accuracy to expect, and on which data it was measured.
        learning_rate: the peak learning rate.
        momentum: of SGD, 0..1.
        weight_decay: L2 factor, added to the gradient before the momentum.
        weight_decay_on: "all" decays every weight, as the authors' framework does; "kernels" leaves out batch
            norm and biases.
        schedule: "plateau" divides the learning rate by 10 when the validation error stops improving;
            "multistep" divides it by 10 at each of `milestones`; "cosine" is half a cosine down to 0, which
            with `warmup_epochs` makes one cycle.
        patience: for "plateau", epochs without improvement before the learning rate drops.
        milestones: for "multistep", increasing step numbers; empty keeps the learning rate constant.
        warmup_epochs: epochs of linear warmup from 0.
        warmup_error: trains with a tenth of the learning rate until the training error is below this
            fraction; 0 disables it.
        ema_decay: decay per step of a moving average of the weights, which is validated and kept in place of
            the last weights; 0 disables it.
        zero_gamma: starts a training with gamma 0 in the last batch norm of each residual block (Goyal et al.
            2017, section 5.1). It overwrites these gammas, those of a pretrained model too.
        unfreeze: (stage, fraction of the steps) of each phase, in order: "head" trains the classifier alone,
            any other stage trains from that stage on, as `models.freezing.freeze` does. (("head", 0.2),
            ("conv4", 0.8)) trains the head, then conv4 and everything behind it. Empty trains all layers all
            the time.
        batch_augment: modern augmentation of batches; the paper uses none.

    Raises:
        UserError: a field has a value that cannot be used; `parameter` names the field.
    """

    reference: str
    batch_size: int
    epochs: int = 0
    iterations: int = 0
    expected_accuracy: str = ""
    learning_rate: float = 0.1
    momentum: float = 0.9
    weight_decay: float = 1e-4
    weight_decay_on: str = "all"
    schedule: str = "plateau"
    patience: int = 10
    milestones: tuple[int, ...] = ()
    warmup_epochs: float = 0.0
    warmup_error: float = 0.0
    ema_decay: float = 0.0
    zero_gamma: bool = False
    unfreeze: tuple[tuple[str, float], ...] = ()
    batch_augment: BatchAugment = _NO_AUGMENT

    def __post_init__(self):
        self._check_choices()
        self._check_numbers()
        if self.unfreeze:
            self._check_unfreeze()

    def settings(self) -> dict[str, Any]:
        """Returns what identifies a training with this recipe: nested plain values, without the prose."""
        fields = dataclasses.asdict(self)
        return {name: value for name, value in fields.items() if name not in _PROSE}

    def total_steps(self, steps_per_epoch: int) -> int:
        """Returns the number of steps of the training."""
        return self.iterations or self.epochs * steps_per_epoch

    def total_epochs(self, steps_per_epoch: int) -> int:
        """Returns the number of epochs; `iterations` may cut the last one short."""
        return -(-self.total_steps(steps_per_epoch) // steps_per_epoch)

    def phases(self, steps_per_epoch: int) -> dict[int, str]:
        """Returns the first trained stage of each phase, by the phase's first step, counted from 0.

        Empty where `unfreeze` is. If several phases of a very short training start at the same step, only the
        last of them is included.
        """
        total, done, phases = self.total_steps(steps_per_epoch), 0.0, {}
        for stage, fraction in self.unfreeze:
            phases[round(done * total)] = stage
            done += fraction
        return {first: stage for first, stage in phases.items() if first < total}

    def _check_choices(self) -> None:
        for field, choices in (("schedule", SCHEDULES), ("weight_decay_on", DECAYS)):
            if getattr(self, field) not in choices:
                raise _invalid(self, field, f"must be one of {', '.join(choices)}.")
        if bool(self.epochs) == bool(self.iterations):
            problem = f"cannot be combined with iterations={self.iterations}" if self.epochs else "is missing"
            raise _invalid(self, "epochs", f"{problem}; set either epochs or iterations.")
        if self.milestones and self.schedule != "multistep":
            raise _invalid(self, "milestones", f"needs schedule=multistep, not {self.schedule}.")
        if list(self.milestones) != sorted(set(self.milestones)):
            raise _invalid(self, "milestones", "must be increasing step numbers, such as 32000,48000.")

    def _check_numbers(self) -> None:
        for field, valid, condition in (
            ("batch_size", self.batch_size >= 1, "at least 1"),
            ("epochs", self.epochs >= 0, "at least 1"),
            ("iterations", self.iterations >= 0, "at least 1"),
            ("learning_rate", 0 < self.learning_rate < math.inf, "a finite number greater than 0"),
            ("momentum", 0 <= self.momentum <= 1, "between 0 and 1"),
            ("weight_decay", 0 <= self.weight_decay < math.inf, "a finite number, at least 0"),
            ("patience", self.patience >= 1, "at least 1"),
            ("warmup_epochs", 0 <= self.warmup_epochs < math.inf, "a finite number, at least 0"),
            ("warmup_error", 0 <= self.warmup_error <= 1, "between 0 and 1"),
            ("ema_decay", 0 <= self.ema_decay < 1, "at least 0 and less than 1"),
        ):
            if not valid:
                raise _invalid(self, field, f"must be {condition}.")

    def _check_unfreeze(self) -> None:
        matches = [_STAGE.fullmatch(stage) for stage, _ in self.unfreeze]
        positions = [math.inf if match[1] is None else int(match[1]) for match in matches if match]
        if None in matches or positions != sorted(set(positions), reverse=True):
            raise _invalid(
                self,
                "unfreeze",
                "must go backwards, from head over ..., conv3, conv2 to conv1, each at most once.",
            )
        fractions = [fraction for _, fraction in self.unfreeze]
        if min(fractions) <= 0 or not math.isclose(sum(fractions), 1):
            raise _invalid(
                self, "unfreeze", "must have fractions of the steps greater than 0 that add up to 1."
            )


def _invalid(recipe: Recipe, field: str, reason: str) -> UserError:
    return UserError(reason, parameter=field, value=getattr(recipe, field))


_CIFAR = Recipe(
    reference="He et al. 2015, section 4.2: 64k iterations at batch size 128, learning rate divided by 10 "
    "at 32k and 48k",
    expected_accuracy="CIFAR-10 with option A: ResNet-20 91.25%, 32 92.49%, 44 92.83%, 56 93.03% (Table 6)",
    iterations=64_000,
    batch_size=128,
    schedule="multistep",
    milestones=(32_000, 48_000),
)

RECIPES = {
    "plateau": Recipe(
        reference="He et al. 2015, section 3.4: the learning rate drops when the error plateaus; epochs "
        "and batch size as in section 4.2, where 64k iterations at batch size 128 are 164 epochs of "
        "CIFAR-10",
        expected_accuracy="CIFAR-10: about that of `cifar`",
        epochs=164,
        batch_size=128,
    ),
    "digits": Recipe(
        reference="`plateau`, shortened and with smaller batches for 1,442 images of 8x8 pixels",
        expected_accuracy="ResNet-20: 98% to 99.5%",
        epochs=80,
        batch_size=64,
    ),
    "cifar": _CIFAR,
    "cifar110": dataclasses.replace(
        _CIFAR,
        reference=f"{_CIFAR.reference}; 0.01 until the training error is below 80%, about 400 iterations",
        expected_accuracy="CIFAR-10 with option A: ResNet-110 93.57%, 93.39% +- 0.16 over 5 runs (Table 6)",
        warmup_error=0.8,
    ),
    "imagenet": Recipe(
        reference="He et al. 2015, section 3.4: 60e4 iterations at batch size 256, 120 epochs of ImageNet",
        expected_accuracy="ImageNet, 10-crop: ResNet-18 A 72.12%, 34 B 75.48%, 50 77.15%, 101 78.25%, 152 "
        "78.57% (Tables 2 and 3)",
        epochs=120,
        batch_size=256,
        patience=5,
    ),
    "modern": Recipe(
        reference="one cycle of the learning rate (Smith 2018), no weight decay on batch norm and biases, "
        "zero gamma (Goyal et al. 2017; He et al. 2018, bag of tricks), label smoothing, averaged weights",
        expected_accuracy="Fashion-MNIST, ResNet-20, 12 epochs, batch_size=32, crop_padding=1, "
        "zero_gamma=false: 93.9%",
        epochs=30,
        batch_size=64,
        weight_decay=5e-4,
        weight_decay_on="kernels",
        schedule="cosine",
        warmup_epochs=1.0,
        ema_decay=0.998,
        zero_gamma=True,
        batch_augment=BatchAugment(label_smoothing=0.05),
    ),
    "finetune": Recipe(
        reference="for pretrained models: gradual unfreezing (Howard and Ruder 2018, section 3.3), with a "
        "smaller learning rate, a cosine and averaged weights",
        expected_accuracy="Fashion-MNIST, ResNet-20 pretrained on five classes, 100 images of each of the "
        "other five: 94.4%",
        epochs=20,
        batch_size=32,
        learning_rate=0.03,
        weight_decay_on="kernels",
        schedule="cosine",
        warmup_epochs=1.0,
        ema_decay=0.998,
        unfreeze=(("head", 0.2), ("conv4", 0.3), ("conv1", 0.5)),
        batch_augment=BatchAugment(label_smoothing=0.05),
    ),
}


def get_recipe(name: str) -> Recipe:
    """Returns the recipe of this name.

    Raises:
        UserError: there is none.
    """
    if name not in RECIPES:
        raise UserError(f"must be one of {', '.join(RECIPES)}.", parameter="recipe", value=name)
    return RECIPES[name]


def default_recipe(dataset: str) -> str:
    """Returns the name of the recipe for the dataset of this name where the user chooses none."""
    return "digits" if dataset == "digits" else "plateau"
