"""`keras-resnet data shrink`: shrink -> print."""

from typing import Any

from absl import flags

from keras_resnet.cli.flags import define_flag
from keras_resnet.runs.options import Option, check_value

ARGUMENT = "FOLDER OUT"
LOG_TO_STDERR = True
FLAGS = flags.FlagValues()
_OPTIONS = {
    "shorter_side": Option(
        "Shorter side of the images of the copy, in pixels. Default: 512, which suits a training at 224x224; "
        "for another image_size in proportion.",
        "int",
        minimum=1,
        group="Images",
    ),
    "threads": Option(
        "Number of images that are read at a time. Default: one per core.",
        "int",
        minimum=1,
        group="Computation",
    ),
}
for _name, _option in _OPTIONS.items():
    define_flag(FLAGS, _name, _option)


def run(folder: str, out: str) -> None:
    """Makes the copy and prints what was done."""
    values: dict[str, Any] = {
        name: check_value(name, FLAGS[name].value, option)
        for name, option in _OPTIONS.items()
        if FLAGS[name].present
    }
    from keras_resnet.data.tools.shrink import shrink

    report = shrink(folder, out, **values)
    present = f", {report.num_present:,} were there" if report.num_present else ""
    print(
        f"{report.path}: {report.num_shrunk:,} images made smaller, {report.num_copied:,} copied{present}; "
        f"{report.bytes_before / 1e6:,.1f} MB became {report.bytes_after / 1e6:,.1f} MB."
    )
    print(f"Next: keras-resnet train --dataset={report.path}")
