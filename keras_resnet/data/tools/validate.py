"""Finds images of a folder or table that training cannot use, uses otherwise than expected, or has twice."""

import collections
import concurrent.futures
import contextlib
import dataclasses
import io
import logging
import os
import pathlib
import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import PIL.Image

from keras_resnet._utils.progress import ProgressLogger
from keras_resnet.data.images.pixels import DAMAGE, open_image, to_channels, turn_of
from keras_resnet.data.sources.folder_listing import list_folder
from keras_resnet.data.sources.image_files import FORMATS, find_images, no_images
from keras_resnet.data.sources.labeled_files import LabeledFile
from keras_resnet.data.sources.table import divide
from keras_resnet.data.sources.table_columns import TableColumns
from keras_resnet.data.sources.table_rows import read_table
from keras_resnet.data.tools.duplicates import Duplicate, DuplicateGroup, Sketch, find_groups, sketch
from keras_resnet.errors import UserError

_LOG = logging.getLogger(__name__)

# Suffixes each format goes by. MPO is a JPEG with more pictures behind it, as some cameras write.
_NAMES = {**FORMATS, "MPO": FORMATS["JPEG"]}
# That of a training by default; whether a folder can be divided does not depend on it.
_VALIDATION_FRACTION = 0.1


@dataclasses.dataclass(frozen=True)
class Issue:
    """What is unusual about a file, or about rows of a table.

    Args:
        path: of the file or of the table.
        kind: one or two words, the same for all issues of this kind.
        unusable: whether training cannot use it; otherwise it is used, converted or once.
        detail: the reason, as a sentence without its period.
    """

    path: pathlib.Path
    kind: str
    unusable: bool
    detail: str


@dataclasses.dataclass(frozen=True)
class ValidationReport:
    """What validating a folder or table found.

    Args:
        num_files: number of image files, or of rows that name one.
        num_unusable: how many of them training cannot use.
        issues: of all rows and files, in their order.
        other_files: number of files that training does not read, by suffix or by what they are.
        refusal: why it cannot be trained on, whatever its files are; None where it can be.
        duplicates: groups of images that are the same picture, in the order of the files.
    """

    num_files: int
    num_unusable: int
    issues: tuple[Issue, ...]
    other_files: dict[str, int]
    refusal: str | None = None
    duplicates: tuple[DuplicateGroup, ...] = ()

    @property
    def num_contradictory(self) -> int:
        """Number of groups in which identical pixels are in two classes."""
        return sum(group.is_contradictory for group in self.duplicates)


class _File(NamedTuple):
    """A file, and its split and class where the folder has clear ones."""

    path: pathlib.Path
    split: str | None = None
    class_name: str | None = None


def validate_folder(
    folder: str | os.PathLike,
    threads: int | None = None,
    on_issue: Callable[[Issue], None] = lambda issue: None,
) -> ValidationReport:
    """Reads and decodes every image of a folder: those that training uses, or all where it cannot use it.

    Images that are the same picture, encoded or scaled differently, are found among all of them.

    Args:
        threads: number of threads that read files in parallel; by default one for each core.
        on_issue: called with each issue as it is found.

    Raises:
        UserError: it is not a folder, or holds no images.
    """
    if not os.path.isdir(folder):
        raise UserError("is not a folder; use the one that holds the class folders.", value=folder)
    files, others, refusal = _files(folder)
    issues, unusable, duplicates = _check_files(files, threads, on_issue)
    return ValidationReport(
        len(files), unusable, tuple(issues), dict(others.most_common()), refusal, duplicates
    )


def validate_table(
    table: str | os.PathLike,
    threads: int | None = None,
    on_issue: Callable[[Issue], None] = lambda issue: None,
    *,
    columns: TableColumns | None = None,
    images_dir: str | os.PathLike | None = None,
) -> ValidationReport:
    """Reads a table as training does, and decodes every image that it names.

    Args:
        threads: number of threads that read files in parallel; by default one for each core.
        on_issue: called with each issue as it is found.
        columns: names of the table's columns, where they are not obvious.
        images_dir: folder that its paths start from; by default the table's own.

    Raises:
        UserError: it is not a table, its columns are not clear, or none of its files is there.
    """
    path = pathlib.Path(table)
    folder = None if images_dir is None else os.fspath(images_dir)
    rows = read_table(os.fspath(table), columns or TableColumns(), folder)
    files, refusal = [_File(pathlib.Path(entry.path)) for entry in rows.entries], None
    try:
        class_names, splits, _ = divide(rows, _VALIDATION_FRACTION)
    except UserError as error:
        refusal = error.reason
    else:
        files = _placed(splits, class_names)
    issues = [Issue(path, fault.kind, True, str(fault)) for fault in rows.faults]
    issues += [
        Issue(path, "repeated", False, f"row {row:,}: as row {first:,}") for row, first in rows.repeated
    ]
    for issue in issues:
        on_issue(issue)
    found, unusable, duplicates = _check_files(files, threads, on_issue)
    num_faults = len({row for fault in rows.faults for row in fault.rows})
    others = {"test images without a label": rows.unlabeled} if rows.unlabeled else {}
    return ValidationReport(
        len(files) + num_faults, unusable + num_faults, (*issues, *found), others, refusal, duplicates
    )


def _check_files(
    files: Sequence[_File], threads: int | None, on_issue: Callable[[Issue], None]
) -> tuple[list[Issue], int, tuple[DuplicateGroup, ...]]:
    """Returns the issues of files, how many of the files are unusable, and which are the same picture."""
    issues, unusable = [], 0
    sketched: list[_File] = []
    sketches: list[Sketch] = []
    progress = ProgressLogger(len(files), log=_LOG.info, unit="files")
    with (
        # Pillow's warnings, about sizes and palettes, would come between the lines of the report.
        warnings.catch_warnings(action="ignore"),
        # Threads, in which Pillow decodes in parallel: a notebook that runs TensorFlow must not fork.
        concurrent.futures.ThreadPoolExecutor(threads or os.cpu_count()) as pool,
    ):
        paths = [file.path for file in files]
        for file, (found, drawn) in zip(files, pool.map(_examine, paths), strict=True):
            for issue in found:
                issues.append(issue)
                on_issue(issue)
            unusable += any(issue.unusable for issue in found)
            if drawn is not None:
                sketched.append(file)
                sketches.append(drawn)
            progress.add(1)
    duplicates = tuple(
        DuplicateGroup(tuple(Duplicate(*sketched[index], version) for index, version in group))
        for group in find_groups(sketches)
    )
    return issues, unusable, duplicates


def _files(folder: str | os.PathLike) -> tuple[list[_File], collections.Counter[str], str | None]:
    """Returns the images, the number of other files by what they are, and why training refuses the folder."""
    try:
        listing = list_folder(os.fspath(folder), _VALIDATION_FRACTION, require_disjoint=True)
    except UserError as error:
        found = find_images(pathlib.Path(folder))
        if not found.images:
            raise UserError(no_images(found.unread), value=folder) from error
        return [_File(image.path) for image in found.images], found.unread, error.reason
    return sorted(_placed(listing.splits, listing.class_names)), listing.unread, None


def _placed(splits: Mapping[str, Sequence[LabeledFile]], class_names: Sequence[str]) -> list[_File]:
    return [
        _File(file.path, role, ", ".join(class_names[label] for label in file.labels))
        for role, split in splits.items()
        for file in split
    ]


def find_issues(path: pathlib.Path) -> list[Issue]:
    """Returns everything unusual about one file, which is read and decoded completely."""
    return _examine(path)[0]


def _examine(path: pathlib.Path) -> tuple[list[Issue], Sketch | None]:
    """Returns everything unusual about one file, and the sketch of its image where there is one."""

    def issue(kind, detail, unusable=False):
        return Issue(path, kind, unusable, detail)

    try:
        contents = path.read_bytes()
    except OSError as error:
        return [issue("unreadable", error.strerror or str(error), unusable=True)], None
    if not contents:
        return [issue("empty", "the file has no content", unusable=True)], None
    try:
        with open_image(contents) as picture:
            return _check_image(picture, turn_of(picture, contents), path.suffix.lower(), issue)
    except ValueError as error:
        kind, reason = _why_unusable(contents, error)
        return [issue(kind, reason, unusable=True)], None


def _why_unusable(contents, error):
    """Returns kind and detail of a file that cannot be decoded."""
    reason, cause = str(error), error.__cause__
    if isinstance(cause, PIL.Image.DecompressionBombError):
        return "bomb", reason
    if isinstance(cause, PIL.UnidentifiedImageError):
        with contextlib.suppress(*DAMAGE), PIL.Image.open(io.BytesIO(contents)) as picture:
            return "unsupported", f"it is a {picture.format} file"
        return "unreadable", "it is not an image"
    return "truncated" if "truncated" in reason or isinstance(cause, EOFError) else "unreadable", reason


def _check_image(picture, turn, suffix, issue):
    found = []
    if suffix not in _NAMES[picture.format]:
        found.append(issue("misnamed", f"it is a {picture.format} file"))
    picture.load()
    # Before the frames are counted, which moves to the last one.
    drawn = sketch(to_channels(picture if turn is None else picture.transpose(turn), 3))
    frames = _frames(picture)
    if frames != 1 and picture.format != "MPO":
        found.append(issue("animated", f"{frames or 'damaged'} frames, of which the first is used"))
    if picture.mode == "CMYK":
        found.append(issue("CMYK", "it becomes RGB"))
    if picture.mode.startswith("I"):
        found.append(issue("16-bit", "it becomes 8-bit"))
    return found, drawn


def _frames(picture):
    """How many pictures there are, 0 where those behind the first are damaged."""
    try:
        return getattr(picture, "n_frames", 1)
    except DAMAGE:
        return 0  # Pillow fails in many ways where an animation is cut off
