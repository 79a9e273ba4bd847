"""The names of this package's layers: the one place that writes and parses them.

They are those of keras.applications, and stand in saved files:

    conv1_pad, conv1_conv, conv1_bn, conv1_relu      the stem
    pool1_pad, pool1_pool                            its max pool, which Table 1 counts as part of conv2
    conv2_block1_0_conv, conv2_block1_0_bn           stage 2, block 1, the shortcut (index 0)
    conv2_block1_1_conv, ..._bn, ..._relu            the residual branch's first convolution (index 1)
    conv2_block1_add, conv2_block1_out               the sum, and the block's output
    avg_pool, predictions                            the head

Deeper stems go on with conv1_2_conv, conv1_2_bn and so on. A pre-activation network has

    conv2_block1_preact_bn, ..._preact_relu          in front of a block
    conv2_block1_out                                 the sum itself
    post_bn, post_relu                               behind the last block

Blocks of fully connected layers are called `dense2_block1` and so on, with `_1_dense` for `_1_conv`.
"""

import dataclasses
import re

STEM = "conv1"
# Behind the last block of a pre-activation network: post_bn, post_relu.
POST = "post"
HEAD = "predictions"
# In front of the stem, in the models that this package trains and exports.
MEAN_LAYER = "mean_subtraction"
PREPROCESSING_LAYER = "preprocessing"

_LAYER = re.compile(
    r"(?P<stage>(?:conv|dense)[1-9][0-9]?)"
    r"(?:_block(?P<block>[1-9][0-9]{0,3}))?(?:_(?P<index>[0-9]))?"
    r"_(?P<kind>[a-z][a-z_]*)"
)


@dataclasses.dataclass(frozen=True)
class LayerName:
    """The parts of a layer's name.

    Args:
        stage: "conv1" for the stem, "conv2", "conv3", ...
        block: number of the block in its stage, from 1; None in the stem.
        index: number of the layer in its block's residual branch, from 1; 0 in the shortcut; None for layers
            of the whole block. In a deeper stem the number of the convolution, None for the first.
        kind: "conv", "dense", "bn", "relu", "pad", "pool", "add", "drop" or "out"; of a pre-activation block
            also "preact_bn" and "preact_relu".
    """

    stage: str
    block: int | None
    index: int | None
    kind: str

    @property
    def stage_number(self) -> int:
        """The number of the stage, 2 for conv2."""
        return int(self.stage.lstrip("abcdefghijklmnopqrstuvwxyz"))

    @property
    def block_name(self) -> str | None:
        """The name of the block, which all of its layers begin with; None in the stem."""
        return None if self.block is None else block_name(self.stage, self.block)

    def __str__(self) -> str:
        parts = (self.block_name or self.stage, self.index, self.kind)
        return "_".join(str(part) for part in parts if part is not None)


def parse_layer_name(name: str) -> LayerName | None:
    """Splits the name of a layer of the stem or of a block; None for any other name."""
    found = _LAYER.fullmatch(name)
    if found is None:
        return None
    block, index = (None if found[part] is None else int(found[part]) for part in ("block", "index"))
    return LayerName(found["stage"], block, index, found["kind"])


def belongs_to_network(name: str) -> bool:
    """Whether a layer with weights is of the network's stem, blocks or head, and not in front of it."""
    return name in (HEAD, f"{POST}_bn") or parse_layer_name(name) is not None


def stage_name(number: int) -> str:
    """Returns the name of a stage of convolutions: "conv2" for 2."""
    return f"conv{number}"


def stem_name(number: int) -> str:
    """Returns what the names of a convolution of the stem and of the layers behind it begin with."""
    return STEM if number == 1 else f"{STEM}_{number}"


def block_name(stage: str, block: int) -> str:
    """Returns the name of a block: "conv2_block1"."""
    return f"{stage}_block{block}"


def layer_name(stage: str, block: int, index: int, kind: str) -> str:
    """Returns the name of a layer of a block: "conv2_block1_0_bn"."""
    return str(LayerName(stage, block, index, kind))


def stage_of(name: str) -> str | None:
    """Returns the stage that a layer belongs to, as Table 1 counts; None outside of all stages.

    The stem's max pool belongs to conv2.
    """
    if name.startswith("pool1_"):
        return stage_name(2)
    parsed = parse_layer_name(name)
    return parsed.stage if parsed else None
