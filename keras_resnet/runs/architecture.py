"""Which architecture a configuration names: the options that training, evaluation and inspection share."""

import dataclasses

from keras_resnet.errors import UserError
from keras_resnet.models.architectures import (
    FAMILIES,
    IMAGENET,
    LATER,
    VARIANTS,
    Architecture,
    cifar_architecture,
    get_architecture,
)
from keras_resnet.runs.options import check_options, option

ARCHITECTURE = "Architecture"
DEFAULT_DEPTH = 20


@dataclasses.dataclass(frozen=True)
class ArchitectureOptions:
    """An architecture: of the paper by its numbers, a later one by its name.

    Raises:
        UserError: a field does not take its value.
    """

    depth: int | None = option(
        None,
        "Number of weighted layers: 18, 34, 50, 101 or 152 (ImageNet), or 6n+2 (CIFAR: 20, 32, 44, 56, 110). "
        "Default: the depth of the weights; 18 for a folder or table of images larger than 64x64 or of "
        "several sizes; 20 otherwise.",
        "int",
        group=ARCHITECTURE,
    )
    architecture: Architecture | str | None = option(
        None,
        "A network that came after the paper, by its name, in place of depth: pre-activation (v2), ResNeXt, "
        "wide, or with a deeper stem and averaging shortcuts (d).",
        choices=tuple(LATER),
        objects=Architecture,
        group=ARCHITECTURE,
    )
    preactivation: bool | None = option(
        None,
        "Batch norm and ReLU before the convolutions of a CIFAR architecture; with 9n+2 layers from 164 on, "
        "of bottlenecks (He et al. 2016: 164, 1001). Default: no.",
        "bool",
        group=ARCHITECTURE,
    )
    shortcut: str = option(
        "auto",
        "Shortcut option of section 3.3. A: zero-padding; B: projection where dimensions change; C: "
        "projection everywhere; auto: A for CIFAR architectures, B for ImageNet architectures.",
        choices=("auto", "A", "B", "C"),
        group=ARCHITECTURE,
    )
    plain: bool | None = option(
        None, "Remove all shortcuts (a plain network). Default: no.", "bool", group=ARCHITECTURE
    )
    family: str = option(
        "auto",
        "Family of the architecture, for depths that both have, such as 50. auto: imagenet where it has the "
        "depth.",
        choices=("auto", *FAMILIES),
        group=ARCHITECTURE,
    )
    variant: str | None = option(
        None,
        "Where a bottleneck has its stride: v1 on the first 1x1 (the paper), v1.5 on the 3x3 (torchvision, "
        "timm), v2 on the 3x3 of a stage's last one (keras.applications' pre-activation networks). Default: "
        "the variant of the weights, or the architecture's own.",
        choices=tuple(VARIANTS),
        group=ARCHITECTURE,
    )

    def __post_init__(self):
        check_options(self)
        if self.architecture is not None:
            said = ["depth", "plain", "family", "preactivation"]
            if isinstance(self.architecture, Architecture):
                said += ["shortcut", "variant"]
            defaults = {field.name: field.default for field in dataclasses.fields(self)}
            for name in said:
                if getattr(self, name) != defaults[name]:
                    raise UserError(
                        "cannot be combined with architecture, which says it already; give one of them.",
                        parameter=name,
                        value=getattr(self, name),
                    )

    def resolve(self, default_depth: int = DEFAULT_DEPTH) -> Architecture:
        """The architecture.

        Args:
            default_depth: of it where `depth` is None.

        Raises:
            UserError: there is none; the error names the field.
        """
        if isinstance(self.architecture, Architecture):
            return self.architecture
        depth = default_depth if self.depth is None else self.depth
        if self.architecture is not None:
            later = LATER[self.architecture]
            shortcut = later.shortcut if self.shortcut == "auto" else self.shortcut
            return dataclasses.replace(later, shortcut=shortcut, variant=self.variant or later.variant)
        if self.preactivation:
            if self.family == "imagenet" or (self.family == "auto" and depth in IMAGENET):
                raise UserError(
                    "is for CIFAR architectures; use architecture=resnet50v2, resnet101v2 or resnet152v2, or "
                    "family=cifar.",
                    parameter="preactivation",
                    value=True,
                )
            shortcut = None if self.plain else self.shortcut
            found = cifar_architecture(depth, shortcut, preactivation=True)
            return dataclasses.replace(found, variant=self.variant or "v1")
        return get_architecture(
            depth,
            family=self.family,
            plain=bool(self.plain),
            shortcut=self.shortcut,
            variant=self.variant or "v1",
        )
