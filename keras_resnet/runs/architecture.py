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
        "Default: the depth of the weights; 18 for a folder or table of images larger than 64x64 or of "
        "several sizes; 20 otherwise.",
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

    def resolve(self, default_depth: int = DEFAULT_DEPTH) -> Architecture:
        """The architecture.

        Args:
            default_depth: of it where `depth` is None.

        Raises:
            UserError: there is none; the error names the field.
        """
        return get_architecture(
            default_depth if self.depth is None else self.depth,
            family=self.family,
            plain=bool(self.plain),
            shortcut=self.shortcut,
            variant=self.variant or "v1",
        )
