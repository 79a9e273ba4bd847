"""`keras-resnet data validate`: validate_folder or validate_table -> print."""

import collections
from typing import TYPE_CHECKING

from absl import flags

from keras_resnet.cli.flags import config_from_flags, define, define_flag
from keras_resnet.data.load import is_table, refuse_options
from keras_resnet.errors import format_value
from keras_resnet.runs.data_options import DataOptions
from keras_resnet.runs.options import Option, check_value

if TYPE_CHECKING:
    from keras_resnet.data.tools.validate import Issue, ValidationReport

ARGUMENT = "DATASET"
LOG_TO_STDERR = True
FLAGS = flags.FlagValues()
_THREADS = Option(
    "Number of threads that read files in parallel. Default: one per core.",
    "int",
    minimum=1,
    group="Computation",
)
define_flag(FLAGS, "threads", _THREADS)
_TABLE_OPTIONS = ("images_dir", "path_column", "label_column", "split_column", "group_column")
define(FLAGS, DataOptions, _TABLE_OPTIONS)


def run(name: str) -> int:
    """Prints every issue and a summary; returns the exit status."""
    threads = FLAGS.threads
    if threads is not None:
        threads = check_value("threads", threads, _THREADS)
    options = config_from_flags(FLAGS, DataOptions)
    report = (
        _validate_table(name, threads, options)
        if is_table(name)
        else _validate_folder(name, threads, options)
    )
    print(f"{report.num_files:,} images, {report.num_unusable:,} of them unusable.")
    kinds = collections.Counter((issue.kind, issue.unusable) for issue in report.issues)
    for (kind, unusable), count in kinds.most_common():
        print(f"  {count:6,}  {kind}{', cannot be used' if unusable else ', used'}")
    for suffix, count in report.other_files.items():
        print(f"  {count:6,}  {suffix}, not read")
    if report.refusal is not None:
        print(f"Training cannot use this {'table' if is_table(name) else 'folder'}: {report.refusal}")
    return 1 if report.num_unusable or report.refusal is not None else 0


def _validate_folder(folder: str, threads: int | None, options: DataOptions) -> "ValidationReport":
    from keras_resnet.data.tools.validate import validate_folder

    refuse_options(folder, {name: getattr(options, name) for name in _TABLE_OPTIONS}, "tables")
    return validate_folder(folder, threads, _print_issue)


def _validate_table(table: str, threads: int | None, options: DataOptions) -> "ValidationReport":
    from keras_resnet.data.tools.validate import validate_table

    columns, images_dir = options.columns(), options.images_dir
    return validate_table(table, threads, _print_issue, columns=columns, images_dir=images_dir)


def _print_issue(issue: "Issue") -> None:
    # The name of a file may not be UTF-8.
    print(f"{format_value(issue.path)}: {issue.kind}: {issue.detail}", flush=True)
