"""The paper's nets as data (Table 1, section 4.2), and what the paper reports of them. Imports no Keras."""

import dataclasses

BLOCKS = ("basic", "bottleneck")
STEMS = ("imagenet", "cifar")
SHORTCUTS = ("A", "B", "C", None)
VARIANTS = ("v1", "v1.5")
FAMILIES = ("imagenet", "cifar")


@dataclasses.dataclass(frozen=True)
class Architecture:
    """A plain or residual net, complete but for its head.

    Args:
        name: name of the model.
        blocks_per_stage: number of blocks of each stage; every stage after the first starts with stride 2.
        filters: filters of each stage; the output of a bottleneck has four times as many.
        block: "basic" (two 3x3) or "bottleneck" (1x1, 3x3, 1x1).
        stem: "imagenet" (7x7 of stride 2, 3x3 max pool of stride 2) or "cifar" (one 3x3 of stride 1).
        shortcut: option "A", "B" or "C" of section 3.3, or None for the plain net.
        variant: where a bottleneck has its stride: "v1" on the first 1x1, "v1.5" on the 3x3. Basic
            blocks are the same in both.

    Raises:
        ValueError: a field is not one of these.
    """

    name: str
    blocks_per_stage: tuple[int, ...]
    filters: tuple[int, ...] = (64, 128, 256, 512)
    block: str = "basic"
    stem: str = "imagenet"
    shortcut: str | None = "B"
    variant: str = "v1"

    def __post_init__(self):
        _one_of("block", self.block, BLOCKS)
        _one_of("stem", self.stem, STEMS)
        _one_of("shortcut", self.shortcut, SHORTCUTS)
        _one_of("variant", self.variant, VARIANTS)
        counts = (*self.blocks_per_stage, *self.filters)
        if (
            not counts
            or len(self.blocks_per_stage) != len(self.filters)
            or any(not isinstance(n, int) or n < 1 for n in counts)
        ):
            raise ValueError(
                "blocks_per_stage and filters must be equally many positive integers, one a stage; "
                f"got {self.blocks_per_stage} and {self.filters}."
            )

    @property
    def depth(self) -> int:
        """Number of layers with weights, as the paper counts: those of the shortcuts are left out."""
        return 2 + (2 if self.block == "basic" else 3) * sum(self.blocks_per_stage)

    @property
    def stages(self) -> tuple[str, ...]:
        """Names of the stages, as in Table 1 for ImageNet nets: the stem is conv1."""
        return tuple(f"conv{number}" for number in range(2, len(self.blocks_per_stage) + 2))

    @property
    def default_size(self) -> int:
        """Side of the images the net was made for, in pixels."""
        return 224 if self.stem == "imagenet" else 32

    @property
    def total_stride(self) -> int:
        """How many pixels wide one position of the last feature map is; also the smallest image."""
        return (4 if self.stem == "imagenet" else 1) * 2 ** (len(self.blocks_per_stage) - 1)


def _one_of(field: str, value: object, accepted: tuple) -> None:
    if value not in accepted:
        raise ValueError(f"{field} must be one of {', '.join(map(repr, accepted))}; got {value!r}.")


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


def cifar(depth: int, shortcut: str | None = "A") -> Architecture:
    """The CIFAR net of 6n+2 layers: n blocks of 16, 32 and 64 filters (section 4.2).

    Raises:
        ValueError: the depth is not 6n+2 for an n of at least 1.
    """
    if not is_cifar_depth(depth):
        raise ValueError(f"depth must be 6n+2 (8, 14, 20, 26, 32, ...) for a CIFAR net; got {depth!r}.")
    prefix = "cifar_plainnet" if shortcut is None else "cifar_resnet"
    n = (depth - 2) // 6
    return Architecture(f"{prefix}{depth}", (n, n, n), (16, 32, 64), stem="cifar", shortcut=shortcut)


def is_cifar_depth(depth: object) -> bool:
    """Whether the depth is 6n+2 with n >= 1."""
    return isinstance(depth, int) and depth >= 8 and depth % 6 == 2


def select(
    depth: int,
    *,
    family: str = "auto",
    plain: bool = False,
    shortcut: str = "auto",
    variant: str = "v1",
) -> Architecture:
    """The paper's net of this depth.

    Args:
        depth: number of weighted layers, as in the net's name.
        family: "imagenet", "cifar", or "auto": the ImageNet net of that depth where there is one
            (50 and 152 are 6n+2 as well), the CIFAR net otherwise.
        plain: the net without shortcuts.
        shortcut: option "A", "B" or "C", or "auto": the paper's, B for ImageNet and A for CIFAR.
        variant: see `Architecture`.

    Raises:
        ValueError: there is no such net; the message says which depths there are.
    """
    _one_of("family", family, ("auto", *FAMILIES))
    if plain and shortcut != "auto":
        raise ValueError(f"shortcut must be left out for a plain net; got {shortcut!r}.")
    if family == "auto":
        family = "imagenet" if depth in IMAGENET or not is_cifar_depth(depth) else "cifar"
    if family == "cifar":
        architecture = cifar(depth, None if plain else "A")
    else:
        table = IMAGENET_PLAIN if plain else IMAGENET
        if depth not in table:
            raise ValueError(
                f"depth must be one of {', '.join(map(str, table))} for {'a plain' if plain else 'an'} "
                f"ImageNet net, or 6n+2 (20, 32, 44, 56, 110, ...) for a CIFAR net; got {depth!r}."
            )
        architecture = table[depth]
    if shortcut != "auto":
        architecture = dataclasses.replace(architecture, shortcut=shortcut)
    return dataclasses.replace(architecture, variant=variant)


@dataclasses.dataclass(frozen=True)
class Reported:
    """What the paper says of a net: multiply-adds of one image ("FLOPs"), parameters, error in percent.

    The paper prints two digits of the first two.
    """

    source: str
    macs: float | None = None
    parameters: float | None = None
    error: float | None = None
    test: str = ""


_TEN_CROP = "top-1 error, ImageNet validation, 10-crop"
_CIFAR_10 = "error, CIFAR-10 test"

# By model name and shortcut option.
REPORTED = {
    ("plainnet18", None): Reported("Tables 1, 2", macs=1.8e9, error=27.94, test=_TEN_CROP),
    ("plainnet34", None): Reported("Tables 1, 2", macs=3.6e9, error=28.54, test=_TEN_CROP),
    ("resnet18", "A"): Reported("Tables 1, 2", macs=1.8e9, error=27.88, test=_TEN_CROP),
    ("resnet34", "A"): Reported("Tables 1, 2", macs=3.6e9, error=25.03, test=_TEN_CROP),
    ("resnet34", "B"): Reported("Table 3", error=24.52, test=_TEN_CROP),
    ("resnet34", "C"): Reported("Table 3", error=24.19, test=_TEN_CROP),
    ("resnet50", "B"): Reported("Tables 1, 3", macs=3.8e9, error=22.85, test=_TEN_CROP),
    ("resnet101", "B"): Reported("Tables 1, 3", macs=7.6e9, error=21.75, test=_TEN_CROP),
    ("resnet152", "B"): Reported("Tables 1, 3", macs=11.3e9, error=21.43, test=_TEN_CROP),
    ("cifar_resnet20", "A"): Reported("Table 6", parameters=0.27e6, error=8.75, test=_CIFAR_10),
    ("cifar_resnet32", "A"): Reported("Table 6", parameters=0.46e6, error=7.51, test=_CIFAR_10),
    ("cifar_resnet44", "A"): Reported("Table 6", parameters=0.66e6, error=7.17, test=_CIFAR_10),
    ("cifar_resnet56", "A"): Reported("Table 6", parameters=0.85e6, error=6.97, test=_CIFAR_10),
    ("cifar_resnet110", "A"): Reported("Table 6", parameters=1.7e6, error=6.43, test=_CIFAR_10),
    ("cifar_resnet1202", "A"): Reported("Table 6", parameters=19.4e6, error=7.93, test=_CIFAR_10),
}


def reported(architecture: Architecture) -> Reported | None:
    """What the paper reports of this net, or None; v1.5 is not the paper's."""
    is_v1 = architecture.variant == "v1" or architecture.block == "basic"
    return REPORTED.get((architecture.name, architecture.shortcut)) if is_v1 else None
