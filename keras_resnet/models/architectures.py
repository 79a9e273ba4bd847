"""The residual family as data, from Table 1 and section 4.2 on, and the paper's results. Imports no Keras."""

import dataclasses
from typing import Any

from keras_resnet.errors import UserError
from keras_resnet.weights.names import stage_name

BLOCKS = ("basic", "bottleneck")
STEMS = ("imagenet", "deep", "cifar")
SHORTCUTS = ("A", "B", "C", None)
VARIANTS = ("v1", "v1.5", "v2")
PROJECTIONS = ("strided", "average")
# Fields of `Architecture` that records of older trainings lack, and what those trainings had.
LATER_FIELDS = {"groups": 1, "width_per_group": 64, "projection": "strided", "preactivation": False}
FAMILIES = ("imagenet", "cifar")


@dataclasses.dataclass(frozen=True)
class Architecture:
    """A plain or residual network, complete but for its head.

    Args:
        name: of the model.
        blocks_per_stage: number of blocks of each stage; every stage after the first begins with stride 2.
        filters: filters of each stage; the output of a bottleneck has four times as many channels.
        block: "basic" (two 3x3) or "bottleneck" (1x1, 3x3, 1x1).
        stem: "imagenet" (7x7 of stride 2, then 3x3 max pool of stride 2), "deep" (three 3x3 in place of the
            7x7, the first of stride 2, the first two with half of the filters; He T. et al. 2019) or "cifar"
            (one 3x3 of stride 1).
        shortcut: option "A", "B" or "C" of section 3.3; None for the plain network.
        variant: where the stride of a stage is: "v1" on the first 1x1 of its first bottleneck, "v1.5" on its
            3x3. Basic blocks are the same in both. "v2" are the pre-activation networks of
            keras.applications: the stride is on the 3x3 of a stage's last bottleneck, for the stage that
            follows, and convolutions that no batch norm follows have a bias.
        groups: of the 3x3 of a bottleneck (ResNeXt, Xie et al. 2017).
        width_per_group: filters of each of these groups where a stage has 64 filters, and in proportion
            elsewhere. 128 without groups are the networks of twice the width, 640 with basic blocks of 16, 32
            and 64 filters those of ten times (Zagoruyko and Komodakis 2016).
        projection: how a projection changes the size: "strided" by the stride of its 1x1 convolution,
            "average" by a 2x2 average pool in front of it (He T. et al. 2019).
        preactivation: batch norm and ReLU come before the convolutions instead of behind them, and the sums
            are not activated (He et al. 2016).

    Raises:
        UserError: a field has none of these values, or cannot be combined with another.
    """

    name: str
    blocks_per_stage: tuple[int, ...]
    filters: tuple[int, ...] = (64, 128, 256, 512)
    block: str = "basic"
    stem: str = "imagenet"
    shortcut: str | None = "B"
    variant: str = "v1"
    groups: int = 1
    width_per_group: int = 64
    projection: str = "strided"
    preactivation: bool = False

    def __post_init__(self):
        check_one_of("block", self.block, BLOCKS)
        check_one_of("projection", self.projection, PROJECTIONS)
        self._check_combinations()
        check_one_of("stem", self.stem, STEMS)
        check_one_of("shortcut", self.shortcut, SHORTCUTS)
        check_one_of("variant", self.variant, VARIANTS)
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

    def _check_combinations(self):
        for parameter in ("groups", "width_per_group"):
            count = getattr(self, parameter)
            if not isinstance(count, int) or count < 1:
                raise UserError("must be a positive integer.", parameter=parameter, value=count)
        for parameter, allowed, needed in (
            ("groups", self.groups == 1 or self.block == "bottleneck", "block=bottleneck"),
            ("projection", self.projection == "strided" or self.shortcut in ("B", "C"), "shortcut=B or C"),
            (
                "variant",
                self.variant != "v2" or (self.preactivation and self.block == "bottleneck"),
                "preactivation=true and block=bottleneck",
            ),
        ):
            if not allowed:
                raise UserError(f"needs {needed}.", parameter=parameter, value=getattr(self, parameter))

    def settings(self) -> dict[str, Any]:
        """Returns the fields that identify a training: without those of later networks in one that is none.

        Records of trainings from before these fields are thus still those of the same training.
        """
        fields = dataclasses.asdict(self)
        return {name: value for name, value in fields.items() if (name, value) not in LATER_FIELDS.items()}

    def width(self, filters: int) -> int:
        """Number of filters of the 3x3 convolutions in a stage of so many filters.

        The output of a bottleneck has four times the stage's filters, that of a basic block has the width.
        """
        return filters * self.width_per_group // 64 * self.groups

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
        return 32 if self.stem == "cifar" else 224

    @property
    def total_stride(self) -> int:
        """Side in pixels of the region per position of the last feature map; also the smallest image side."""
        return (1 if self.stem == "cifar" else 4) * 2 ** (len(self.blocks_per_stage) - 1)


def check_one_of(parameter: str, value: object, accepted: tuple) -> None:
    """Raises a `UserError` for a value that is none of those accepted."""
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


def _relative(name: str, depth: int, **fields: Any) -> Architecture:
    return dataclasses.replace(IMAGENET[depth], name=name, **fields)


# Those that came after the paper, by name: of keras.applications, torchvision and timm.
LATER = {
    architecture.name: architecture
    for architecture in (
        *(_relative(f"resnet{depth}v2", depth, preactivation=True, variant="v2") for depth in (50, 101, 152)),
        *(
            _relative(name, depth, groups=groups, width_per_group=width, variant="v1.5")
            for name, depth, groups, width in (
                ("resnext50_32x4d", 50, 32, 4),
                ("resnext101_32x8d", 101, 32, 8),
                ("resnext101_64x4d", 101, 64, 4),
                ("wide_resnet50_2", 50, 1, 128),
                ("wide_resnet101_2", 101, 1, 128),
            )
        ),
        *(
            _relative(f"resnet{depth}d", depth, stem="deep", projection="average", variant="v1.5")
            for depth in IMAGENET
        ),
    )
}

# All but those of CIFAR, with the shortcuts they were published with.
NAMED = {architecture.name: architecture for architecture in IMAGENET.values()} | LATER


def cifar_architecture(
    depth: int, shortcut: str | None = "auto", *, block: str | None = None, preactivation: bool = False
) -> Architecture:
    """Returns the CIFAR architecture of this depth, of three stages of 16, 32 and 64 filters.

    6n+2 layers are n basic blocks a stage (section 4.2), 9n+2 layers n bottlenecks (He et al. 2016).

    Args:
        shortcut: an option, None for the plain network, or "auto": A, and B for bottlenecks, as in the
            papers.
        block: by default that of the papers: "basic", and "bottleneck" for pre-activation networks of 164
            layers or more.
        preactivation: as for `Architecture`.

    Raises:
        UserError: there is no such network of this depth.
    """
    if block is None:
        deep = preactivation and isinstance(depth, int) and depth >= 164 and depth % 9 == 2
        block = "bottleneck" if deep else "basic"
    check_one_of("block", block, BLOCKS)
    layers = 6 if block == "basic" else 9
    if not isinstance(depth, int) or depth < layers + 2 or depth % layers != 2:
        examples = "8, 14, 20, 26, 32, ..." if block == "basic" else "11, 20, 29, ..., 164, ..., 1001, ..."
        blocks = "" if block == "basic" else " of bottlenecks"
        raise UserError(
            f"must be {layers}n+2 ({examples}) for CIFAR architectures{blocks}.",
            parameter="depth",
            value=depth,
        )
    if shortcut == "auto":
        shortcut = "A" if block == "basic" else "B"
    n = (depth - 2) // layers
    kind = "plainnet" if shortcut is None else "resnet"
    name = f"cifar_{'preact_' if preactivation else ''}{kind}{depth}"
    return Architecture(name, (n, n, n), (16, 32, 64), block, "cifar", shortcut, preactivation=preactivation)


def name_of(architecture: Architecture) -> str:
    """Returns the name under which an architecture is published, whatever its shortcuts and variant are.

    Its own name where it is none of those with a name.
    """

    def features(one: Architecture) -> Architecture:
        return dataclasses.replace(one, name="", shortcut="B", variant="v1", projection="strided")

    candidates = list(NAMED.values())
    if architecture.stem == "cifar" and len(set(architecture.blocks_per_stage)) == 1:
        block, preactivation = architecture.block, architecture.preactivation
        candidates = [cifar_architecture(architecture.depth, block=block, preactivation=preactivation)]
    for candidate in candidates:
        if features(candidate) == features(architecture):
            same = candidate.projection == architecture.projection or architecture.shortcut in (None, "A")
            return candidate.name if same else architecture.name
    return architecture.name


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
    check_one_of("family", family, ("auto", *FAMILIES))
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
