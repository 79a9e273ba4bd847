"""The paper's architectures as data (Table 1, section 4.2), and the paper's results. Imports no Keras."""

import dataclasses

from keras_resnet.errors import UserError
from keras_resnet.weights.names import stage_name

BLOCKS = ("basic", "bottleneck")
STEMS = ("imagenet", "cifar")
SHORTCUTS = ("A", "B", "C", None)
VARIANTS = ("v1", "v1.5")
FAMILIES = ("imagenet", "cifar")


@dataclasses.dataclass(frozen=True)
class Architecture:
    """A plain or residual network, complete but for its head.

    Args:
        name: of the model.
        blocks_per_stage: number of blocks of each stage; every stage after the first begins with stride 2.
        filters: filters of each stage; the output of a bottleneck has four times as many channels.
        block: "basic" (two 3x3) or "bottleneck" (1x1, 3x3, 1x1).
        stem: "imagenet" (7x7 of stride 2, then 3x3 max pool of stride 2) or "cifar" (one 3x3 of stride 1).
        shortcut: option "A", "B" or "C" of section 3.3; None for the plain network.
        variant: where a bottleneck has its stride: "v1" on the first 1x1, "v1.5" on the 3x3. Basic blocks are
            the same in both.

    Raises:
        UserError: a field has none of these values.
    """

    name: str
    blocks_per_stage: tuple[int, ...]
    filters: tuple[int, ...] = (64, 128, 256, 512)
    block: str = "basic"
    stem: str = "imagenet"
    shortcut: str | None = "B"
    variant: str = "v1"

    def __post_init__(self):
        _check_one_of("block", self.block, BLOCKS)
        _check_one_of("stem", self.stem, STEMS)
        _check_one_of("shortcut", self.shortcut, SHORTCUTS)
        _check_one_of("variant", self.variant, VARIANTS)
        for parameter in ("blocks_per_stage", "filters"):
            counts = getattr(self, parameter)
            if not counts or any(not isinstance(n, int) or n < 1 for n in counts):
                raise UserError(
                    "must be positive integers, one per stage.", parameter=parameter, value=counts
                )
        if len(self.blocks_per_stage) != len(self.filters):
            raise UserError(
                f"must have as many numbers as filters={','.join(map(str, self.filters))}, one per stage.",
                parameter="blocks_per_stage",
                value=self.blocks_per_stage,
            )

    @property
    def depth(self) -> int:
        """Number of weighted layers, counted as the paper does: without those of the shortcuts."""
        return 2 + (2 if self.block == "basic" else 3) * sum(self.blocks_per_stage)

    @property
    def stages(self) -> tuple[str, ...]:
        """Names of the stages, as in Table 1 for ImageNet: the stem is conv1, the first stage conv2."""
        return tuple(stage_name(number) for number in range(2, len(self.blocks_per_stage) + 2))

    @property
    def default_size(self) -> int:
        """Side in pixels of the images that the architecture was designed for."""
        return 224 if self.stem == "imagenet" else 32

    @property
    def total_stride(self) -> int:
        """Side in pixels of the region per position of the last feature map; also the smallest image side."""
        return (4 if self.stem == "imagenet" else 1) * 2 ** (len(self.blocks_per_stage) - 1)


def _check_one_of(parameter: str, value: object, accepted: tuple) -> None:
    if value not in accepted:
        raise UserError(f"must be one of {', '.join(map(str, accepted))}.", parameter=parameter, value=value)


def _imagenet(name: str, block: str, *blocks: int, shortcut: str | None = "B") -> Architecture:
    return Architecture(name, blocks, block=block, shortcut=shortcut)


# Table 1; option B is the paper's own choice from section 4.1 on.
IMAGENET = {
    18: _imagenet("resnet18", "basic", 2, 2, 2, 2),
    34: _imagenet("resnet34", "basic", 3, 4, 6, 3),
    50: _imagenet("resnet50", "bottleneck", 3, 4, 6, 3),
    101: _imagenet("resnet101", "bottleneck", 3, 4, 23, 3),
    152: _imagenet("resnet152", "bottleneck", 3, 8, 36, 3),
}
IMAGENET_PLAIN = {
    18: _imagenet("plainnet18", "basic", 2, 2, 2, 2, shortcut=None),
    34: _imagenet("plainnet34", "basic", 3, 4, 6, 3, shortcut=None),
}


def cifar_architecture(depth: int, shortcut: str | None = "A") -> Architecture:
    """Returns the CIFAR architecture of 6n+2 layers: n blocks each of 16, 32 and 64 filters (section 4.2).

    Raises:
        UserError: the depth is not 6n+2 with n >= 1.
    """
    if not is_cifar_depth(depth):
        raise UserError(
            "must be 6n+2 (8, 14, 20, 26, 32, ...) for CIFAR architectures.", parameter="depth", value=depth
        )
    prefix = "cifar_plainnet" if shortcut is None else "cifar_resnet"
    n = (depth - 2) // 6
    return Architecture(f"{prefix}{depth}", (n, n, n), (16, 32, 64), stem="cifar", shortcut=shortcut)


def is_cifar_depth(depth: object) -> bool:
    """Whether the depth is 6n+2 with n >= 1."""
    return isinstance(depth, int) and depth >= 8 and depth % 6 == 2


def get_architecture(
    depth: int,
    *,
    family: str = "auto",
    plain: bool = False,
    shortcut: str = "auto",
    variant: str = "v1",
) -> Architecture:
    """Returns the paper's architecture of this depth.

    Args:
        depth: number of weighted layers, as in the architecture's name.
        family: "imagenet", "cifar", or "auto": ImageNet where there is such a depth (50 and 152 are 6n+2 as
            well), CIFAR otherwise.
        plain: without shortcuts.
        shortcut: option "A", "B" or "C", or "auto": the paper's choice, B for ImageNet and A for CIFAR.
        variant: as for `Architecture`.

    Raises:
        UserError: there is no such architecture; the message lists the depths there are.
    """
    _check_one_of("family", family, ("auto", *FAMILIES))
    if plain and shortcut != "auto":
        raise UserError(
            "is for residual networks; leave it out with plain=true.", parameter="shortcut", value=shortcut
        )
    if family == "auto":
        family = "imagenet" if depth in IMAGENET or not is_cifar_depth(depth) else "cifar"
    if family == "cifar":
        architecture = cifar_architecture(depth, None if plain else "A")
    else:
        table = IMAGENET_PLAIN if plain else IMAGENET
        if depth not in table:
            raise UserError(
                f"must be one of {', '.join(map(str, table))} for {'plain ' if plain else ''}ImageNet "
                "architectures, or 6n+2 (20, 32, 44, 56, 110, ...) for CIFAR architectures.",
                parameter="depth",
                value=depth,
            )
        architecture = table[depth]
    if shortcut != "auto":
        architecture = dataclasses.replace(architecture, shortcut=shortcut)
    return dataclasses.replace(architecture, variant=variant)


@dataclasses.dataclass(frozen=True)
class PaperResult:
    """What the paper reports for an architecture.

    Args:
        source: table of the paper.
        macs: multiply-adds for one image, which the paper calls FLOPs; it prints two digits.
        parameters: it prints two digits.
        error: in percent.
        test: what the error was measured on.
    """

    source: str
    macs: float | None = None
    parameters: float | None = None
    error: float | None = None
    test: str = ""


_TEN_CROP = "top-1 error, ImageNet validation, 10-crop"
_CIFAR_10 = "error, CIFAR-10 test"

# By the architecture's name and shortcut option.
PAPER_RESULTS = {
    ("plainnet18", None): PaperResult("Tables 1, 2", macs=1.8e9, error=27.94, test=_TEN_CROP),
    ("plainnet34", None): PaperResult("Tables 1, 2", macs=3.6e9, error=28.54, test=_TEN_CROP),
    ("resnet18", "A"): PaperResult("Tables 1, 2", macs=1.8e9, error=27.88, test=_TEN_CROP),
    ("resnet34", "A"): PaperResult("Tables 1, 2", macs=3.6e9, error=25.03, test=_TEN_CROP),
    ("resnet34", "B"): PaperResult("Table 3", error=24.52, test=_TEN_CROP),
    ("resnet34", "C"): PaperResult("Table 3", error=24.19, test=_TEN_CROP),
    ("resnet50", "B"): PaperResult("Tables 1, 3", macs=3.8e9, error=22.85, test=_TEN_CROP),
    ("resnet101", "B"): PaperResult("Tables 1, 3", macs=7.6e9, error=21.75, test=_TEN_CROP),
    ("resnet152", "B"): PaperResult("Tables 1, 3", macs=11.3e9, error=21.43, test=_TEN_CROP),
    ("cifar_resnet20", "A"): PaperResult("Table 6", parameters=0.27e6, error=8.75, test=_CIFAR_10),
    ("cifar_resnet32", "A"): PaperResult("Table 6", parameters=0.46e6, error=7.51, test=_CIFAR_10),
    ("cifar_resnet44", "A"): PaperResult("Table 6", parameters=0.66e6, error=7.17, test=_CIFAR_10),
    ("cifar_resnet56", "A"): PaperResult("Table 6", parameters=0.85e6, error=6.97, test=_CIFAR_10),
    ("cifar_resnet110", "A"): PaperResult("Table 6", parameters=1.7e6, error=6.43, test=_CIFAR_10),
    ("cifar_resnet1202", "A"): PaperResult("Table 6", parameters=19.4e6, error=7.93, test=_CIFAR_10),
}


def paper_result(architecture: Architecture) -> PaperResult | None:
    """Returns what the paper reports for an architecture; None if nothing, as for variant v1.5."""
    is_v1 = architecture.variant == "v1" or architecture.block == "basic"
    return PAPER_RESULTS.get((architecture.name, architecture.shortcut)) if is_v1 else None
