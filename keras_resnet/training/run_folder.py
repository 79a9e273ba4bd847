"""The folder a run's files land in, and the record of what the run is. Imports no TensorFlow."""

import json
import os
import pathlib
import tempfile
from collections.abc import Mapping
from typing import Any

from keras_resnet.errors import UserError
from keras_resnet.files import atomic

_RECORD = "run.json"


class RunFolder:
    """`output_dir`/`run_name`, which belongs to one run: one set of settings.

    Args:
        output_dir: the folder of all runs.
        run_name: a plain name.
        settings: what makes this run another one than its neighbours; plain values.
    """

    def __init__(self, output_dir: str | os.PathLike, run_name: str, settings: Mapping[str, Any]):
        self.path = pathlib.Path(output_dir, run_name)
        self._run_name = run_name
        self.settings = json.loads(json.dumps(settings))  # as they will be read again: no tuples

    def __truediv__(self, name: str) -> pathlib.Path:
        return self.path / name

    def check(self) -> None:
        """Refuse a folder that cannot be written or holds anything else than this run.

        Raises:
            UserError: one sentence that names the flag to change.
        """
        if self._run_name == ".." or pathlib.PurePath(self._run_name).name != self._run_name:
            raise UserError(f"--run_name={self._run_name} must be a plain folder name.")
        path = self.path.absolute()
        nearest = next(folder for folder in (path, *path.parents) if folder.exists())
        try:
            with tempfile.TemporaryFile(dir=nearest):
                pass  # permissions alone do not tell: the file system may refuse as well
        except OSError as error:
            raise UserError(
                f"--output_dir={self.path.parent} cannot be written to ({nearest}: {error.strerror}); "
                "give a folder that can."
            ) from error
        if not self.path.exists() or not any(self.path.iterdir()):
            return
        record = self._record()
        if record is None:
            raise UserError(
                f"--run_name={self.path.name}: {self.path} holds files that are no run's; "
                "give another --run_name or empty the folder."
            )
        theirs = record["settings"]
        differing = [key for key in {**theirs, **self.settings} if theirs.get(key) != self.settings.get(key)]
        if differing:
            what = ", ".join(f"{key}={theirs.get(key)}" for key in differing)
            raise UserError(
                f"--run_name={self.path.name}: {self.path} holds another run, with {what}; "
                "give another --run_name or remove the folder."
            )

    def results(self) -> dict[str, Any] | None:
        """What the finished run recorded, or None."""
        record = self._record()
        return record["results"] if record else None

    def start(self) -> None:
        """Make the folder and claim it for this run."""
        self._write(results=None)

    def finish(self, results: Mapping[str, Any]) -> None:
        """Record what came out."""
        self._write(dict(results))

    def _record(self) -> dict[str, Any] | None:
        try:
            record = json.loads((self / _RECORD).read_text())
        except (OSError, ValueError):
            return None
        return record if isinstance(record, dict) and {"settings", "results"} <= record.keys() else None

    def _write(self, results: dict[str, Any] | None) -> None:
        with atomic(self / _RECORD) as written:
            written.write_text(json.dumps({"settings": self.settings, "results": results}, indent=2) + "\n")
