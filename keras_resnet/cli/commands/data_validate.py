"""`keras-resnet data validate`: validate_folder or validate_table -> print."""

import collections
from collections.abc import Sequence
from typing import TYPE_CHECKING

from absl import flags

from keras_resnet.cli.flags import config_from_flags, define, define_flag
from keras_resnet.data.load import is_table, refuse_options
from keras_resnet.errors import format_value
from keras_resnet.runs.data_options import DataOptions
from keras_resnet.runs.options import Option, check_value

if TYPE_CHECKING:
    from keras_resnet.data.tools.duplicates import DuplicateGroup
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
    _print_duplicates(report.duplicates)
    if report.refusal is not None:
        print(f"Training cannot use this {'table' if is_table(name) else 'folder'}: {report.refusal}")
    return 1 if report.num_unusable or report.num_contradictory or report.refusal is not None else 0


def _print_duplicates(groups: "Sequence[DuplicateGroup]") -> None:
    """Prints each group with its files, and how many groups there are of what kind."""
    for group in groups:
        kind = "identical" if group.is_identical else "nearly identical"
        crossed = {"splits": group.splits, "classes": group.classes}
        where = "".join(f", in {len(names)} {what}" for what, names in crossed.items() if len(names) > 1)
        print(f"{kind}{where}:")
        for image in group.images:
            place = ", ".join(filter(None, (image.split, image.class_name)))
            print(f"  {format_value(image.path)}{f' ({place})' if place else ''}")
    for count, what in (
        (sum(group.is_identical for group in groups), "groups of identical images"),
        (sum(not group.is_identical for group in groups), "groups of nearly identical images"),
        (
            sum(len(group.splits) > 1 for group in groups),
            "groups in two splits or more: the figure of one is too good; keep one image of each",
        ),
        (
            sum(group.is_contradictory for group in groups),
            "groups of identical images in two classes, of which one is wrong",
        ),
    ):
        if count:
            print(f"  {count:6,}  {what}")


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
