"""Atomic writing: a reader never finds half a file, whatever happens to the writer."""

import contextlib
import hashlib
import logging
import os
import pathlib
import tempfile
from collections.abc import Iterator

from keras_resnet.errors import UserError

_LOG = logging.getLogger(__name__)


@contextlib.contextmanager
def atomic_write(path: str | os.PathLike) -> Iterator[pathlib.Path]:
    """Yields a temporary path for a file or a folder, and moves that to `path` at the end.

    On an error, `path` stays as it was and what was written is removed. After a crash of the machine, a file
    is the old one or the new one; an old folder, which a rename cannot replace, may be left in a folder next
    to `path` whose name starts with ".writing-". The temporary path has the name of `path`, for writers that
    go by the suffix.
    """
    path = pathlib.Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=".writing-") as folder:
        written = pathlib.Path(folder, path.name)
        yield written
        replace_atomically(written, path)


def replace_atomically(written: pathlib.Path, path: pathlib.Path) -> None:
    """Moves a finished file or folder to `path`, replacing what is there.

    Args:
        written: the file or folder, in a temporary folder next to `path` with which an old folder is removed.
    """
    for file in [*written.rglob("*"), written] if written.is_dir() else [written]:
        _to_disk(file)
    if path.is_dir():
        _replace_folder(written, path)
    else:
        os.replace(written, path)
    _to_disk(path.parent)


def _replace_folder(written: pathlib.Path, path: pathlib.Path) -> None:
    """Replaces a folder by two renames, as one cannot; restores the old folder if the second fails."""
    old = written.with_name(f"old-{written.name}")
    try:
        os.replace(path, old)
        os.replace(written, path)
    except BaseException:
        if old.exists() and not path.exists():
            os.replace(old, path)
        raise


def check_writable(path: str | os.PathLike, parameter: str | None = None) -> None:
    """Checks that files can be written to a folder, which need not exist yet.

    Args:
        parameter: name of the parameter that the path was passed as.

    Raises:
        UserError: the folder is not writable or cannot be created.
    """
    value = os.fspath(path)
    path = pathlib.Path(path).absolute()
    nearest = next(folder for folder in (path, *path.parents) if folder.exists())
    try:
        with tempfile.TemporaryFile(dir=nearest):
            pass  # permissions alone do not decide: the file system may be read-only or full
    except OSError as error:
        raise UserError(
            f"files cannot be written to this folder ({nearest}: {error.strerror}); use another.",
            parameter=parameter,
            value=value,
        ) from error


def files_in(path: pathlib.Path) -> list[pathlib.Path]:
    """Returns the files below a folder, sorted; for a file, the file itself."""
    return sorted(file for file in path.rglob("*") if file.is_file()) if path.is_dir() else [path]


def sha256(path: pathlib.Path) -> str:
    """Returns the SHA-256 hash of a file, 64 hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextlib.contextmanager
def warn_if_not_written(path: str | os.PathLike) -> Iterator[None]:
    """Turns errors of the disk into a logged warning, for a file without which a long run can continue."""
    try:
        yield
    except OSError as error:
        _LOG.warning("%s could not be written (%s).", path, error.strerror or error)


def _to_disk(path: pathlib.Path) -> None:
    """Waits until a file, or a folder's list of names, is on the disk."""
    if not path.is_dir():
        _wait_for(path)
        return
    # Windows cannot open a folder, and some network file systems cannot wait for one.
    with contextlib.suppress(OSError):
        _wait_for(path)


def _wait_for(path: pathlib.Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
