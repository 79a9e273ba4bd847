"""Which architecture a configuration names: the options that training, evaluation and inspection share."""

import dataclasses

from keras_resnet.models.architectures import FAMILIES, VARIANTS, Architecture, get_architecture
from keras_resnet.runs.options import check_options, option

ARCHITECTURE = "Architecture"
DEFAULT_DEPTH = 20


@dataclasses.dataclass(frozen=True)
class ArchitectureOptions:
    """An architecture of the paper by its numbers.

    Raises:
        UserError: a field does not take its value.
    """

    depth: int | None = option(
        None,
        "Number of weighted layers: 18, 34, 50, 101 or 152 (ImageNet), or 6n+2 (CIFAR: 20, 32, 44, 56, 110). "
        "Default: 20, or the depth of the weights.",
        "int",
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
        "timm). Default: v1, or the variant of the weights.",
        choices=tuple(VARIANTS),
        group=ARCHITECTURE,
    )

    def __post_init__(self):
        check_options(self)

    def resolve(self) -> Architecture:
        """The architecture.

        Raises:
            UserError: there is none; the error names the field.
        """
        return get_architecture(
            DEFAULT_DEPTH if self.depth is None else self.depth,
            family=self.family,
            plain=bool(self.plain),
            shortcut=self.shortcut,
            variant=self.variant or "v1",
        )
