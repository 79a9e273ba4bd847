"""`keras-resnet inspect`: an architecture stage by stage, compared with what the paper reports."""

from absl import flags

from keras_resnet.cli.flags import config_from_flags, define
from keras_resnet.runs.inspect import InspectConfig, inspect

FLAGS = flags.FlagValues()
define(FLAGS, InspectConfig)


def run() -> None:
    """Prints the table."""
    summary = inspect(config_from_flags(FLAGS, InspectConfig))
    architecture, counted, paper = summary.architecture, summary.complexity, summary.paper
    kind = "plain" if architecture.shortcut is None else f"shortcut {architecture.shortcut}"
    shape = "x".join(map(str, summary.input_shape))
    print(f"{architecture.name}, {kind}, {architecture.variant}, {shape}, {summary.classes} classes\n")
    row = "{:8}{:>14}{:>8}{:>14}{:>18}".format
    print(row("stage", "output", "blocks", "parameters", "MACs"))
    for stage in counted.stages():
        output = "x".join(map(str, stage.output_shape))
        blocks = summary.blocks.get(stage.name, "")
        print(row(stage.name, output, blocks, f"{stage.parameters:,}", f"{stage.macs:,}"))
    print(row("total", "", "", f"{counted.parameters:,}", f"{counted.macs:,}"))
    print(f"\nFLOPs, two per multiply-add (MAC): {counted.flops:,}. What the paper calls FLOPs are MACs.")
    if paper is None:
        print("The paper reports nothing about this architecture.")
        return
    if paper.macs is not None:
        print(f"MACs: {counted.macs / 1e9:.2f}e9 here, {paper.macs / 1e9:g}e9 in the paper.")
    if paper.parameters is not None:
        print(f"Parameters: {counted.parameters / 1e6:.2f}M here, {paper.parameters / 1e6:g}M in the paper.")
    print(f"Error in the paper: {paper.error}%, {paper.test} ({paper.source}).")
