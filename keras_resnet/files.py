"""Writing so that a reader never sees half a file, whatever happens to the writer."""

import contextlib
import os
import pathlib
import tempfile
from collections.abc import Iterator


@contextlib.contextmanager
def atomic(path: str | os.PathLike) -> Iterator[pathlib.Path]:
    """Give a path beside `path` to write a file or a folder to; put it in the place of `path` at the end.

    On an error inside the block, `path` stays as it was and what was written is removed. The name given
    ends as `path` does, for writers that go by the suffix.
    """
    path = pathlib.Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=".writing-") as folder:
        written = pathlib.Path(folder, path.name)
        yield written
        if path.is_dir():
            # A folder cannot be replaced by a rename; its old content goes away with the temporary folder.
            os.replace(path, pathlib.Path(folder, "old"))
        os.replace(written, path)
