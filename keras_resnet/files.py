"""Writing so that a reader never sees half a file, whatever happens to the writer."""

import contextlib
import hashlib
import os
import pathlib
import tempfile
from collections.abc import Iterator

from keras_resnet.errors import UserError


@contextlib.contextmanager
def atomic(path: str | os.PathLike) -> Iterator[pathlib.Path]:
    """Give a path beside `path` to write a file or a folder to; put it in the place of `path` at the end.

    On an error, `path` stays as it was and what was written is removed. After a crash of the machine a file
    is the old one or the new one; an old folder, which no rename replaces, may be found in the one beside
    `path` whose name begins with ".writing-". The name given ends as `path` does, for writers that go by the
    suffix.
    """
    path = pathlib.Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=".writing-") as folder:
        written = pathlib.Path(folder, path.name)
        yield written
        put_in_place(written, path)


def put_in_place(written: pathlib.Path, path: pathlib.Path) -> None:
    """Put a finished file or folder in the place of another, of which there may be an old one.

    Args:
        written: in a temporary folder beside `path`, which takes an old folder away with it.
    """
    for file in [*written.rglob("*"), written] if written.is_dir() else [written]:
        _to_disk(file)
    if path.is_dir():
        _replace_folder(written, path)
    else:
        os.replace(written, path)
    _to_disk(path.parent)


def _replace_folder(written: pathlib.Path, path: pathlib.Path) -> None:
    """In two renames, for one does not replace a folder; back to the old one if the second fails."""
    old = written.with_name(f"old-{written.name}")
    try:
        os.replace(path, old)
        os.replace(written, path)
    except BaseException:
        if old.exists() and not path.exists():
            os.replace(old, path)
        raise


def check_writable(path: str | os.PathLike, told: str) -> None:
    """Refuse a folder that nothing can be written to, or that cannot be made.

    Args:
        told: what the user gave, as `--output_dir=...`.

    Raises:
        UserError: with the reason.
    """
    path = pathlib.Path(path).absolute()
    nearest = next(folder for folder in (path, *path.parents) if folder.exists())
    try:
        with tempfile.TemporaryFile(dir=nearest):
            pass  # permissions alone do not tell: the file system may refuse as well
    except OSError as error:
        raise UserError(
            f"{told} cannot be written to ({nearest}: {error.strerror}); give a folder that can."
        ) from error


def files_in(path: pathlib.Path) -> list[pathlib.Path]:
    """The files below a folder, in order; of a file, itself."""
    return sorted(file for file in path.rglob("*") if file.is_file()) if path.is_dir() else [path]


def sha256(path: pathlib.Path) -> str:
    """The hash of a file, 64 hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextlib.contextmanager
def told_if_not_written(path: str | os.PathLike) -> Iterator[None]:
    """For a file that a long run can go on without: an error of the disk becomes a warning."""
    try:
        yield
    except OSError as error:
        print(f"\nWARNING: {path} could not be written ({error.strerror or error}).", flush=True)


def _to_disk(path: pathlib.Path) -> None:
    """Wait until a file is on the disk, or the names in a folder where the file system can tell."""
    if not path.is_dir():
        _wait_for(path)
        return
    # Windows opens no folders, and some network file systems do not wait for one.
    with contextlib.suppress(OSError):
        _wait_for(path)


def _wait_for(path: pathlib.Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
