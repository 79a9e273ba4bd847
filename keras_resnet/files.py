"""Writing so that a reader never sees half a file, whatever happens to the writer."""

import contextlib
import os
import pathlib
import tempfile
from collections.abc import Iterator

from keras_resnet.errors import UserError


@contextlib.contextmanager
def atomic(path: str | os.PathLike) -> Iterator[pathlib.Path]:
    """Give a path beside `path` to write a file or a folder to; put it in the place of `path` at the end.

    On an error inside the block, `path` stays as it was and what was written is removed. After a crash of
    the machine there is the old content or the new one. The name given ends as `path` does, for writers
    that go by the suffix.
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
        # A folder cannot be replaced by a rename.
        os.replace(path, written.with_name(f"old-{written.name}"))
    os.replace(written, path)
    _to_disk(path.parent)


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


@contextlib.contextmanager
def told_if_not_written(path: str | os.PathLike) -> Iterator[None]:
    """For a file that a long run can go on without: an error of the disk becomes a warning."""
    try:
        yield
    except OSError as error:
        print(f"\nWARNING: {path} could not be written ({error.strerror or error}).", flush=True)


def _to_disk(path: pathlib.Path) -> None:
    """Wait until a file or the names in a folder are on the disk, where the file system can tell."""
    if os.name == "nt" and path.is_dir():
        return  # Windows opens no folders
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
