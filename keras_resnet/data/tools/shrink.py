"""A copy of a folder of large images at the size that training needs, made once. Imports no TensorFlow."""

import collections
import concurrent.futures
import dataclasses
import io
import json
import logging
import os
import pathlib
import shutil
import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import PIL.Image

from keras_resnet._utils.atomic import atomic_write, check_writable
from keras_resnet._utils.lock import LOCK, lock_folder
from keras_resnet._utils.progress import ProgressLogger
from keras_resnet.data.images.pixels import GRAY_MODES, open_image, to_channels, turn_of
from keras_resnet.data.input_spec import MIN_DECODED_PIXELS
from keras_resnet.data.sources.image_files import describe_unread, find_images, no_images
from keras_resnet.errors import UserError, format_value

_LOG = logging.getLogger(__name__)

DEFAULT_SHORTER_SIDE = 512
# In the copy: what it is a copy of. Hidden, so that no command takes it for a file of the dataset.
MANIFEST = ".shrink.json"
# How each format is written; a file of any other is copied.
_WRITTEN: dict[str, dict[str, Any]] = {
    # Without subsampling of the colors, which a second encoding would add to that of the first.
    "JPEG": {"quality": 95, "subsampling": 0},
    "MPO": {"quality": 95, "subsampling": 0},
    "PNG": {},
    "BMP": {},
    "WEBP": {"quality": 95},
}


@dataclasses.dataclass(frozen=True)
class ShrinkReport:
    """What shrinking a folder did.

    Args:
        path: of the copy.
        num_shrunk: number of images that were made smaller.
        num_copied: number of files that were copied as they are: small ones, GIFs, undecodable ones.
        num_present: number of files that an earlier call had written.
        unreadable: files among the copied ones that cannot be decoded.
        missing: files that cannot be read, and that the copy lacks.
        other_files: number of files that are no images and were not copied, by suffix or by what they are.
        bytes_before, bytes_after: size of all images in the folder and in the copy.
    """

    path: pathlib.Path
    num_shrunk: int
    num_copied: int
    num_present: int
    unreadable: tuple[pathlib.Path, ...]
    missing: tuple[pathlib.Path, ...]
    other_files: dict[str, int]
    bytes_before: int
    bytes_after: int


def shrink(
    folder: str | os.PathLike,
    out: str | os.PathLike,
    *,
    shorter_side: int = DEFAULT_SHORTER_SIDE,
    threads: int | None = None,
) -> ShrinkReport:
    """Copies the images of a folder, the large ones with a shorter side of `shorter_side` pixels.

    The copy has the folder's tree and file names, so that the same images are held out. A JPEG stays a JPEG
    (quality 95, colors not subsampled), upright as its EXIF orientation says; PNG, BMP and WebP files keep
    their format, too. Files that are already small, GIF files, whose palette has no room for new colors, and
    files that cannot be decoded are copied as they are. The same call continues after an interruption, and
    adds what is new or was changed.

    Args:
        folder: of images, in any order of subfolders.
        out: folder of the copy.
        shorter_side: in pixels; 512 suits a training at 224x224, whose crops have 256 to 480.
        threads: number of images at a time; by default one for each core.

    Raises:
        UserError: `folder` holds no images, or `out` lies in it, holds it, or holds anything but this copy.
    """
    source, target = pathlib.Path(folder), pathlib.Path(out)
    if not source.is_dir():
        raise UserError(
            "is not a folder; use the one that holds the images.", parameter="folder", value=folder
        )
    if shorter_side < 1:
        raise UserError("must be at least 1 pixel.", parameter="shorter_side", value=shorter_side)
    _check_apart(source, target)
    found = find_images(source)
    if not found.images:
        raise UserError(no_images(found.unread), parameter="folder", value=folder)
    check_writable(target, "out")
    with lock_folder(target, "out"):
        _claim(target, {"source": os.fsdecode(source.resolve()), "shorter_side": shorter_side})
        for left in target.rglob(".writing-*"):  # by a call that was killed
            shutil.rmtree(left, ignore_errors=True)
        files = [(image.path, target / image.path.relative_to(source)) for image in found.images]
        outcomes = _write_all(files, shorter_side, threads or os.cpu_count() or 1)
    counts = collections.Counter(outcomes)
    sources = [path for path, _ in files]
    unreadable, missing = (
        tuple(path for path, outcome in zip(sources, outcomes, strict=True) if outcome == kind)
        for kind in ("unreadable", "missing")
    )
    for paths, what in (
        (unreadable, "decoded and were copied as they are"),
        (missing, "read and are left out"),
    ):
        if paths:
            _LOG.warning("%s files cannot be %s, as %s.", f"{len(paths):,}", what, format_value(paths[0]))
    if found.unread:
        _LOG.warning("%s: not copied: %s.", format_value(source), describe_unread(found.unread))
    return ShrinkReport(
        path=target,
        num_shrunk=counts["shrunk"],
        num_copied=counts["copied"] + counts["unreadable"],
        num_present=counts["present"],
        unreadable=unreadable,
        missing=missing,
        other_files=dict(found.unread.most_common()),
        bytes_before=sum(_size(path) for path, _ in files),
        bytes_after=sum(_size(path) for _, path in files),
    )


def _check_apart(source: pathlib.Path, target: pathlib.Path) -> None:
    ours, theirs = source.resolve(), target.resolve()
    if ours == theirs or ours in theirs.parents or theirs in ours.parents:
        raise UserError(
            f"must be neither {format_value(source)} nor inside or above it; use a folder next to it.",
            parameter="out",
            value=target,
        )


def _claim(target: pathlib.Path, manifest: Mapping[str, object]) -> None:
    """Writes down what the folder is a copy of.

    Raises:
        UserError: it is a copy of something else, or no copy.
    """
    try:
        found = json.loads((target / MANIFEST).read_text(encoding="utf-8"))
    except FileNotFoundError:
        if any(path.name != LOCK for path in target.iterdir()):
            raise UserError(
                "holds other files; use a folder that is empty or not there.", parameter="out", value=target
            ) from None
        with atomic_write(target / MANIFEST) as written:
            written.write_text(json.dumps(manifest, indent=2) + "\n", encoding="utf-8")
        return
    except (OSError, ValueError):
        found = None
    if found != manifest:
        of = (
            f"{found['source']} with shorter_side={found['shorter_side']}"
            if _is_manifest(found)
            else "something"
        )
        raise UserError(
            f"holds a copy of {of}; use another folder, or remove it.", parameter="out", value=target
        )


def _is_manifest(found: object) -> bool:
    return isinstance(found, dict) and {"source", "shorter_side"} <= set(found)


def _write_all(
    files: Sequence[tuple[pathlib.Path, pathlib.Path]], shorter_side: int, threads: int
) -> list[str]:
    """Writes all files; returns what became of each, in their order."""
    progress = ProgressLogger(len(files), log=_LOG.info, unit="files")
    outcomes = []
    # Threads: Pillow decodes, resizes and encodes in parallel, and a notebook must not start processes.
    pool = concurrent.futures.ThreadPoolExecutor(threads)
    try:
        # Pillow warns of large images and odd palettes.
        with warnings.catch_warnings(action="ignore"):
            for outcome in pool.map(lambda pair: _write(pair[0], pair[1], shorter_side), files):
                outcomes.append(outcome)
                progress.add(1)
    finally:
        # After Ctrl-C or an error, without the files that are still waiting.
        pool.shutdown(cancel_futures=True)
    return outcomes


def _write(source: pathlib.Path, target: pathlib.Path, shorter_side: int) -> str:
    try:
        found = source.stat()
        if target.is_file() and target.stat().st_mtime_ns == found.st_mtime_ns:
            return "present"
        contents = source.read_bytes()
    except OSError:
        return "missing"
    outcome, smaller = "copied", None
    try:
        smaller = _shrunk(contents, shorter_side)
    except ValueError:
        outcome = "unreadable"
    with atomic_write(target) as written:
        written.write_bytes(contents if smaller is None else smaller)
        # By which a later call knows that this file is of that one.
        os.utime(written, ns=(found.st_atime_ns, found.st_mtime_ns))
    return outcome if smaller is None else "shrunk"


def _shrunk(contents: bytes, shorter_side: int) -> bytes | None:
    """Returns the file of a smaller image, or None where it stays as it is.

    Raises:
        ValueError: it cannot be decoded.
    """
    with open_image(contents) as image:
        full_size, kind = image.size, image.format
        if min(full_size) <= shorter_side or kind not in _WRITTEN:
            return None
        turn = turn_of(image, contents)
        size = [max(shorter_side, round(side * shorter_side / min(full_size))) for side in full_size]
        # The decoder itself makes a smaller image in less time, whose last row and column may lie half
        # outside the original.
        drafted = image.draft(None, (size[0] * MIN_DECODED_PIXELS, size[1] * MIN_DECODED_PIXELS))
        extent = drafted[1][2:] if drafted else full_size
        mode, profile = image.mode, image.info.get("icc_profile")
        pixels = to_channels(image, 1 if mode in GRAY_MODES else 3)
        smaller = pixels.resize((size[0], size[1]), PIL.Image.Resampling.BILINEAR, (0, 0, *extent))
        if turn is not None:
            smaller = smaller.transpose(turn)
    smaller.info.clear()
    file = io.BytesIO()
    # The numbers of the pixels stay what they were, so their profile stays what it is.
    profile = profile if smaller.mode == mode else None
    smaller.save(file, "JPEG" if kind == "MPO" else kind, icc_profile=profile, **_WRITTEN[kind])
    return file.getvalue()


def _size(path: pathlib.Path) -> int:
    return path.stat().st_size if path.exists() else 0
