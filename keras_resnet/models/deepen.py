"""Makes a trained model deeper without changing what it computes: the paper's argument, executed."""

import collections
from collections.abc import Mapping
from typing import Any, NamedTuple

import keras

from keras_resnet.errors import UserError
from keras_resnet.models.architectures import NAMED, Architecture, cifar_architecture
from keras_resnet.models.blocks import BOTTLENECK_EXPANSION, basic_block, bottleneck_block
from keras_resnet.models.copying import Copier
from keras_resnet.models.surgery import residual_blocks, zero_gamma
from keras_resnet.weights.names import STEM, block_name, layer_name, parse_layer_name, stem_name

WHERE = ("end", "middle")


def deepen(model: keras.Model, depth: int, *, where: str = "end") -> keras.Model:
    """Returns a deeper residual model with the same outputs, ready to be trained further.

    A deeper network need not be worse than a shallower one, since its added layers could be the identity
    (section 1). Here they are, to begin with: gamma of the last BN of each added block is 0, or the kernel of
    its last convolution where it is a pre-activation block, and so is what the block adds. Layers are named
    as in the architecture of that depth; added ones have Keras' global dtype policy.

    Args:
        model: a residual CIFAR or ImageNet model of this package with shortcut option A or B, with anything
            in front of its first convolution. It is not changed.
        depth: of the result. CIFAR: 6n+2. ImageNet: that of an architecture with the same kind of block and
            no stage with fewer of them (18 -> 34, 50 -> 101 -> 152).
        where: whether a stage's new blocks come after its others ("end") or in the "middle" of them. In
            networks whose stages end in a stride (variant v2) the last block stays the last.

    Raises:
        UserError: the model, depth or position is none of these, or a layer cannot be copied.
    """
    if where not in WHERE:
        raise UserError(f"must be one of {', '.join(WHERE)}.", parameter="where", value=where)
    stages = _stages(model)
    target = _target(model, stages, depth)
    renamed: dict[str, str] = {}
    added: dict[str, list[str]] = {}  # names of new blocks, by the original name of the block before them
    for stage, blocks in zip(stages, target.blocks_per_stage, strict=True):
        kept = stage.blocks - stage.ends_in_stride if where == "end" else -(-stage.blocks // 2)
        new = blocks - stage.blocks
        added[block_name(stage.name, kept)] = [block_name(stage.name, kept + i) for i in range(1, new + 1)]
        for number in range(1, stage.blocks + 1):
            moved = number if number <= kept else number + new
            renamed[block_name(stage.name, number)] = block_name(stage.name, moved)
    deeper = _Deepener(stages, renamed, added).copy(model, name=target.name)
    zero_gamma(deeper, [name for names in added.values() for name in names])
    return deeper


class _Stage(NamedTuple):
    """A stage of a model.

    Args:
        name: "conv2", ...
        blocks: number of them.
        bottleneck: whether they are bottlenecks.
        ends_in_stride: whether the last block halves the size, instead of the first.
        options: arguments of a block that keeps the dimensions.
    """

    name: str
    blocks: int
    bottleneck: bool
    ends_in_stride: bool
    options: Mapping[str, Any]


class _Deepener(Copier):
    """Copies a model with blocks renamed and added.

    Args:
        renamed: new names of blocks, by the old ones.
        added: names of new blocks, by the old name of the block before them.
    """

    def __init__(self, stages: list[_Stage], renamed: dict[str, str], added: dict[str, list[str]]):
        super().__init__()
        self._stages = {stage.name: stage for stage in stages}
        self._renamed, self._added = renamed, added

    def changes(self, layer: keras.layers.Layer) -> Mapping[str, Any]:
        parsed = parse_layer_name(layer.name)
        if parsed is None or parsed.block_name not in self._renamed:
            return {}
        return {"name": self._renamed[parsed.block_name] + layer.name.removeprefix(parsed.block_name)}

    def call(self, operation: keras.Operation, copied: Any, args: Any, kwargs: Any) -> Any:
        x = copied(*args, **kwargs)
        parsed = parse_layer_name(operation.name)
        if parsed and parsed.kind == "out" and parsed.block_name in self._added:
            stage = self._stages[parsed.stage]
            make = bottleneck_block if stage.bottleneck else basic_block
            for name in self._added[parsed.block_name]:
                x = make(x, **stage.options, name=name)
        return x


def _stages(model: keras.Model) -> list[_Stage]:
    """Finds the stages of a residual model by the names of its layers.

    Raises:
        UserError: there are none, or their blocks cannot be the identity.
    """
    layers = {layer.name: layer for layer in model.layers}
    parsed = filter(None, map(parse_layer_name, layers))
    blocks = {name.block_name: name.stage for name in parsed if name.block_name}
    if not blocks:
        raise _cannot_grow(model, "has no blocks named as this package names them")
    residual = residual_blocks(model)
    for block in blocks:
        if block not in residual:
            raise _cannot_grow(
                model,
                "is a plain model, and a block added to it would not be the identity; it needs shortcuts",
            )
        projection = layers.get(f"{block}_0_conv")
        strided = f"{block}_0_pool" in layers or (projection and projection.strides != (1, 1))
        if projection and not strided and len(set(projection.kernel.shape[2:])) == 1:
            raise _cannot_grow(
                model,
                "has shortcut option C, whose projections are not the identity; it needs option A or B",
            )
    counts = collections.Counter(blocks.values())
    return [_stage(layers, stage, count) for stage, count in counts.items()]


def _stage(layers: Mapping[str, Any], stage: str, count: int) -> _Stage:
    first, second = (layers[layer_name(stage, 1, number, "conv")] for number in (1, 2))
    third = layers.get(layer_name(stage, 1, 3, "conv"))
    # Of the last block: the first one may have the dilation of the stage before.
    last = layers[layer_name(stage, count, 2, "conv")]
    options: dict[str, Any] = {"filters": first.filters, "dilation": last.dilation_rate[0]}
    if f"{block_name(stage, 1)}_preact_bn" in layers:
        options["preactivation"] = "branch"
    if third is not None:
        options |= {
            "filters": third.filters // BOTTLENECK_EXPANSION,
            "width": first.filters,
            "groups": second.groups,
            "variant": "v2" if third.use_bias else "v1",
        }
    ends_in_stride = third is not None and count > 1 and last.strides != (1, 1)
    return _Stage(stage, count, third is not None, ends_in_stride, options)


def _cannot_grow(model: keras.Model, reason: str) -> UserError:
    return UserError(f"{reason}.", parameter="model", value=model.name)


def _target(model: keras.Model, stages: list[_Stage], depth: int) -> Architecture:
    """Returns the architecture of that depth, which must be a deeper version of the model's."""
    current, options = tuple(stage.blocks for stage in stages), stages[0].options
    layers = {layer.name for layer in model.layers}
    stem = model.get_layer(f"{STEM}_conv")
    deep, wide = f"{stem_name(3)}_conv" in layers, stem.kernel_size[0] == 7
    block = "bottleneck" if stages[0].bottleneck else "basic"
    preactivation = "preactivation" in options
    features = {
        "stem": "deep" if deep else "imagenet" if wide else "cifar",
        "block": block,
        "groups": options.get("groups", 1),
        "preactivation": preactivation,
    }
    if features["stem"] == "cifar":
        candidates = [cifar_architecture(depth, block=block, preactivation=preactivation)]
    else:
        candidates = [one for one in NAMED.values() if one.depth == depth]
    for target in candidates:
        wanted = target.blocks_per_stage
        if all(getattr(target, name) == value for name, value in features.items()) and (
            target.block == "basic"
            or target.width(target.filters[0]) * options["filters"] == options["width"] * target.filters[0]
        ):
            deeper = all(new >= old for new, old in zip(wanted, current, strict=True))
            if deeper and wanted != current:
                return target
    known = ", ".join(sorted({"-".join(map(str, one.blocks_per_stage)) for one in candidates}))
    raise UserError(
        f"must be that of a deeper architecture with the same kind of block as {model.name}, which has "
        f"{'-'.join(map(str, current))} blocks per stage; those of this depth have {known or 'no'} "
        f"{candidates[0].block if candidates else ''} blocks.",
        parameter="depth",
        value=depth,
    )
