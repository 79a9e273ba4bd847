"""`keras-resnet data validate`: validate_folder -> print."""

import collections
from typing import TYPE_CHECKING

from absl import flags

from keras_resnet.cli.flags import define_flag
from keras_resnet.errors import format_value
from keras_resnet.runs.options import Option, check_value

if TYPE_CHECKING:
    from keras_resnet.data.tools.validate import Issue

ARGUMENT = "FOLDER"
LOG_TO_STDERR = True
FLAGS = flags.FlagValues()
_THREADS = Option(
    "Number of threads that read files in parallel. Default: one per core.",
    "int",
    minimum=1,
    group="Computation",
)
define_flag(FLAGS, "threads", _THREADS)


def run(folder: str) -> int:
    """Prints every issue and a summary; returns the exit status."""
    threads = FLAGS.threads
    if threads is not None:
        threads = check_value("threads", threads, _THREADS)
    from keras_resnet.data.tools.validate import validate_folder

    report = validate_folder(folder, threads, _print_issue)
    print(f"{report.num_files:,} images, {report.num_unusable:,} of them unusable.")
    kinds = collections.Counter((issue.kind, issue.unusable) for issue in report.issues)
    for (kind, unusable), count in kinds.most_common():
        print(f"  {count:6,}  {kind}{', cannot be used' if unusable else ', converted'}")
    for suffix, count in report.other_files.items():
        print(f"  {count:6,}  {suffix}, not read")
    if report.refusal is not None:
        print(f"Training cannot use this folder: {report.refusal}")
    return 1 if report.num_unusable or report.refusal is not None else 0


def _print_issue(issue: "Issue") -> None:
    # The name of a file may not be UTF-8.
    print(f"{format_value(issue.path)}: {issue.kind}: {issue.detail}", flush=True)
