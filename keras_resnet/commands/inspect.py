"""`keras-resnet inspect`: a net stage by stage, beside what the paper says of it."""

from typing import Any

from absl import flags

from keras_resnet.commands import net_flags
from keras_resnet.errors import UserError

FLAGS = flags.FlagValues()

net_flags.define(FLAGS)
_INPUT: dict[str, Any] = {"flag_values": FLAGS, "module_name": "The input"}
flags.DEFINE_integer("image_size", None, "Side of the images in pixels; by default the net's own.", **_INPUT)
flags.DEFINE_integer("channels", 3, "Channels of the images.", lower_bound=1, **_INPUT)
flags.DEFINE_integer(
    "classes", None, "Classes; by default 1000 for ImageNet nets, 10 for CIFAR nets.", **_INPUT
)


def run() -> None:
    """Print the table."""
    net = net_flags.architecture(FLAGS)
    size = net.default_size if FLAGS.image_size is None else FLAGS.image_size
    if size < net.total_stride:
        raise UserError(
            f"--image_size={size} is too small for this net, which takes {net.total_stride} or more."
        )
    classes = (1000 if net.stem == "imagenet" else 10) if FLAGS.classes is None else FLAGS.classes
    if classes < 1:
        raise UserError(f"--classes={classes} must be at least 1.")

    from keras_resnet.models.architectures import reported
    from keras_resnet.models.complexity import complexity
    from keras_resnet.models.resnet import ResNet

    model = ResNet(net, input_shape=(size, size, FLAGS.channels), classes=classes)
    counted = complexity(model)
    kind = "plain" if net.shortcut is None else f"shortcut {net.shortcut}"
    print(f"{net.name}, {kind}, {net.variant}, {size}x{size}x{FLAGS.channels}, {classes} classes\n")
    row = "{:8}{:>14}{:>8}{:>14}{:>18}".format
    print(row("stage", "output", "blocks", "parameters", "MACs"))
    for stage in counted.stages():
        blocks = len({layer.name for layer in model.layers if _is_block_of(layer.name, stage.name)})
        output = "x".join(map(str, stage.output_shape))
        print(row(stage.name, output, blocks or "", f"{stage.parameters:,}", f"{stage.macs:,}"))
    print(row("total", "", "", f"{counted.parameters:,}", f"{counted.macs:,}"))
    print(f"\nFLOPs, two a multiply-add (MAC): {counted.flops:,}. What the paper calls FLOPs are MACs.")
    paper = reported(net)
    if paper is None:
        print("The paper reports nothing of this net.")
        return
    if paper.macs is not None:
        print(f"MACs: {counted.macs / 1e9:.2f}e9 here, {paper.macs / 1e9:g}e9 in the paper.")
    if paper.parameters is not None:
        print(f"Parameters: {counted.parameters / 1e6:.2f}M here, {paper.parameters / 1e6:g}M in the paper.")
    print(f"Error in the paper: {paper.error}%, {paper.test} ({paper.source}).")


def _is_block_of(layer: str, stage: str) -> bool:
    return layer.startswith(f"{stage}_block") and layer.endswith("_out")
