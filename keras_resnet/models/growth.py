"""The paper's argument made executable: a trained net, made deeper without changing what it computes."""

import collections
import re
from typing import NamedTuple

import keras

from keras_resnet.models import architectures
from keras_resnet.models.blocks import basic_block, bottleneck_block
from keras_resnet.models.deep import room_to_recurse
from keras_resnet.models.surgery import zero_gamma

WHERE = ("end", "middle")
_LAYER = re.compile(r"((conv\d+)_block(\d+))_(.+)")


def deepen(model: keras.Model, depth: int, *, where: str = "end") -> keras.Model:
    """A deeper residual net with the same outputs, to be trained on.

    A deeper net need not be worse than a shallower one, for its added layers could be the identity (section
    1). Here they are, at birth: gamma of the last BN of each added block is 0, and so is what the block adds.
    The result's layers are called as in the net of that depth; added ones have the dtype policy that holds.

    Args:
        model: a residual CIFAR or ImageNet net of this package with option A or B, and with anything in front
            of its first convolution. It stays as it is.
        depth: of the result: 6n+2 for CIFAR nets; for ImageNet nets that of one with the same blocks, no
            stage of which has fewer (18 -> 34, 50 -> 101 -> 152).
        where: whether a stage's new blocks come behind all others ("end") or in the "middle" of them.

    Raises:
        ValueError: it is no such net, depth or place.
    """
    if where not in WHERE:
        raise ValueError(f"where must be one of {', '.join(WHERE)}; got {where!r}.")
    stages = _stages(model)
    net = _net_of(model, stages, depth)
    renamed: dict[str, str] = {}
    added: dict[str, list[str]] = {}  # by the block behind which they come, called as it was
    for stage, blocks in zip(stages, net.blocks_per_stage, strict=True):
        kept = stage.blocks if where == "end" else -(-stage.blocks // 2)
        new = blocks - stage.blocks
        added[f"{stage.name}_block{kept}"] = [f"{stage.name}_block{kept + i}" for i in range(1, new + 1)]
        for number in range(1, stage.blocks + 1):
            moved = number if number <= kept else number + new
            renamed[f"{stage.name}_block{number}"] = f"{stage.name}_block{moved}"
    former: dict[str, str] = {}  # name of each copied layer in the model, by its name in the copy

    def clone(layer):
        config = layer.get_config()
        if found := _LAYER.fullmatch(layer.name):
            config["name"] = f"{renamed[found[1]]}_{found[4]}"
        former[config["name"]] = layer.name
        return type(layer).from_config(config)

    def call(layer, *args, **kwargs):
        x = layer(*args, **kwargs)
        block = former[layer.name].removesuffix("_out")
        if block != former[layer.name] and block in added:
            stage = next(stage for stage in stages if block.startswith(f"{stage.name}_"))
            make = bottleneck_block if stage.bottleneck else basic_block
            for name in added[block]:
                x = make(x, stage.filters, dilation=stage.dilation, name=name)
        return x

    with room_to_recurse():
        copy = keras.models.clone_model(model, clone_function=clone, call_function=call)
        deeper = keras.Model(copy.input, copy.output, name=net.name)
    for name, old in former.items():
        deeper.get_layer(name).set_weights(model.get_layer(old).get_weights())
    zero_gamma(deeper, [name for names in added.values() for name in names])
    return deeper


class _Stage(NamedTuple):
    name: str
    blocks: int
    filters: int
    dilation: int
    bottleneck: bool


def _stages(model: keras.Model) -> list[_Stage]:
    """The stages of a residual net, as the names of its layers tell.

    Raises:
        ValueError: it has none, or blocks that cannot be the identity.
    """
    layers = {layer.name: layer for layer in model.layers}
    found = [match for match in map(_LAYER.fullmatch, layers) if match]
    blocks = {match[1]: match[2] for match in found}
    if not blocks:
        raise ValueError(f"{model.name} has no blocks called as this package's; only such nets can grow.")
    for block in blocks:
        if f"{block}_add" not in layers:
            raise ValueError(
                f"{model.name} is a plain net: a block added to it would not be the identity; only nets with "
                "shortcuts can grow."
            )
        projection = layers.get(f"{block}_0_conv")
        if projection and projection.strides == (1, 1) and len(set(projection.kernel.shape[2:])) == 1:
            raise ValueError(
                f"{model.name} has shortcut option C, whose projections are not the identity; only nets of "
                "options A and B can grow."
            )
    counts = collections.Counter(blocks.values())
    return [
        _Stage(
            name,
            count,
            layers[f"{name}_block1_1_conv"].filters,
            # That of the last block: the first one may have the rate of the stage before.
            layers[f"{name}_block{count}_2_conv"].dilation_rate[0],
            f"{name}_block1_3_conv" in layers,
        )
        for name, count in counts.items()
    ]


def _net_of(model: keras.Model, stages: list[_Stage], depth: int) -> architectures.Architecture:
    """The paper's net of that depth, of which the model is a shallower one."""
    family = "imagenet" if model.get_layer("conv1_conv").kernel_size[0] == 7 else "cifar"
    net = architectures.select(depth, family=family)
    now = tuple(stage.blocks for stage in stages)
    alike = len(now) == len(net.blocks_per_stage) and (net.block == "bottleneck") == stages[0].bottleneck
    fewer = alike and any(new < old for new, old in zip(net.blocks_per_stage, now, strict=True))
    if not alike or fewer or now == net.blocks_per_stage:
        raise ValueError(
            f"depth must be that of a deeper net with the same blocks as {model.name}, which has "
            f"{'-'.join(map(str, now))} of them a stage; got {depth}: "
            f"{'-'.join(map(str, net.blocks_per_stage))} {net.block} blocks."
        )
    return net
