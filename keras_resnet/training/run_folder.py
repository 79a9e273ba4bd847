"""The folder a run's files land in, and the record of what the run is. Imports no TensorFlow."""

import dataclasses
import json
import os
import pathlib
from collections.abc import Mapping
from typing import Any, TypeVar, cast

from keras_resnet.data.mixing import Mixing
from keras_resnet.errors import UserError
from keras_resnet.files import atomic, check_writable
from keras_resnet.models.architectures import Architecture
from keras_resnet.training.recipes import Recipe

MODEL = "model.keras"
_RECORD = "run.json"
# What commands that go on with a finished run need to know of it.
_SETTINGS = {
    "dataset": str,
    "train_split": str,
    "validation_split": str,
    "train_images": int,
    "validation_images": int,
    "classes": list,
    "mirror": bool,
    "mixed_precision": str,
    "seed": int,
}
_ABOUT = {"command": str, "versions": dict, "data": dict, "preprocessing": dict, "mean": str}
_DATA = {"dataset": str}
_PREPROCESSING = {"channels": int, "size": int, "whole": bool}
_RESULTS = {"accuracy": float, "test_error": float, "seconds": float}

# What is told of another run: settings, and letters of each; these are whole sentences.
_TOLD, _LETTERS = 6, 40
_SENTENCES = ("source", "expected")

_Kind = TypeVar("_Kind")


@dataclasses.dataclass(frozen=True)
class Record:
    """What `run.json` says of a run.

    Args:
        settings: what makes this run another one than its neighbours: the fields of net and recipe, and what
            else the flags chose.
        about: what is good to know of it besides.
        results: of the finished run, plain values by name; or None.
        where: it was read, for messages.
    """

    settings: Mapping[str, Any]
    about: Mapping[str, Any]
    results: Any = None
    where: str = dataclasses.field(default=_RECORD, compare=False)

    @property
    def architecture(self) -> Architecture:
        """The net that was trained.

        Raises:
            UserError: the record is damaged or of another version.
        """
        return _made(Architecture, self.settings, self.where)

    @property
    def recipe(self) -> Recipe:
        """How it was trained.

        Raises:
            UserError: the record is damaged or of another version.
        """
        _check_has(self.settings, {"mixing": dict}, self.where)
        mixing = _made(Mixing, self.settings["mixing"], self.where)
        return _made(Recipe, {**self.settings, "mixing": mixing}, self.where)


def _made(kind: type[_Kind], settings: Mapping[str, Any], where: str) -> _Kind:
    """Of the values of its fields, as they were before JSON made lists of tuples."""
    names = [field.name for field in dataclasses.fields(cast(Any, kind))]
    _check_has(settings, dict.fromkeys(names, object), where)
    try:
        return kind(**{name: _with_tuples(settings[name]) for name in names})
    except (TypeError, ValueError) as error:
        raise UserError(f"{where} is damaged ({error}); train anew.") from error


def _check_has(part: Mapping[str, Any], needed: Mapping[str, type], where: str) -> None:
    """See that a part of a record has these values, of these types.

    Raises:
        UserError: it has not; the first is named.
    """
    for name, kind in needed.items():
        if name not in part or not isinstance(part[name], kind):
            raise UserError(
                f"{where} lacks {name}: the run is of another version of this package; use that one, or "
                "train anew."
            )


def _with_tuples(value: Any) -> Any:
    return tuple(map(_with_tuples, value)) if isinstance(value, list) else value


def _cut(value: Any) -> str:
    text = " ".join(str(value).split())
    return text if len(text) <= _LETTERS else f"{text[:_LETTERS]}..."


def read_record(folder: str | os.PathLike) -> Record | None:
    """What is recorded of the run in this folder, or None where there is none."""
    try:
        path = pathlib.Path(folder, _RECORD)
        read = json.loads(path.read_text())
        results = None if read["results"] is None else dict(read["results"])
        return Record(dict(read["settings"]), dict(read["about"]), results, str(path))
    except (OSError, ValueError, KeyError, TypeError):
        return None


def finished_record(folder: str | os.PathLike, told: str) -> Record:
    """The record of a finished run.

    Args:
        told: what the user gave.

    Raises:
        UserError: the folder is not that of one, or the record is of another version.
    """
    record = read_record(folder)
    if record is None or record.results is None or not pathlib.Path(folder, MODEL).is_file():
        raise UserError(
            f"{told} is not the folder of a finished run, with {_RECORD} and {MODEL}; give one that "
            "`keras-resnet train` has finished."
        )
    for part, needed in ((record.settings, _SETTINGS), (record.about, _ABOUT), (record.results, _RESULTS)):
        _check_has(part, needed, record.where)
    _check_has(record.about["data"], _DATA, record.where)
    _check_has(record.about["preprocessing"], _PREPROCESSING, record.where)
    return record


class RunFolder:
    """`output_dir`/`run_name`, which belongs to one run: one set of settings.

    Args:
        output_dir: the folder of all runs.
        run_name: a plain name.
        settings, about: as of `Record`; plain values.
    """

    def __init__(
        self,
        output_dir: str | os.PathLike,
        run_name: str,
        settings: Mapping[str, Any],
        about: Mapping[str, Any] | None = None,
    ):
        self.path = pathlib.Path(output_dir, run_name)
        self._run_name = run_name
        self.settings = json.loads(json.dumps(settings))  # as they will be read again: no tuples
        self._about = dict(about or {})

    def __truediv__(self, name: str) -> pathlib.Path:
        return self.path / name

    def check(self) -> None:
        """Refuse a folder that cannot be written or holds anything else than this run.

        Raises:
            UserError: one sentence that names the flag to change.
        """
        if self._run_name == ".." or pathlib.PurePath(self._run_name).name != self._run_name:
            raise UserError(
                f"--run_name={self._run_name} must be a plain folder name; --output_dir takes what is "
                "above it."
            )
        check_writable(self.path, f"--output_dir={self.path.parent}")
        if not self.path.exists() or not any(self.path.iterdir()):
            return
        record = read_record(self.path)
        if record is None:
            raise UserError(
                f"--run_name={self.path.name}: {self.path} holds files that are no run's; "
                "give another --run_name or empty the folder."
            )
        theirs = record.settings
        differing = [key for key in {**theirs, **self.settings} if theirs.get(key) != self.settings.get(key)]
        if differing:
            # The recipe's name stands for what it says of itself.
            telling = [key for key in differing if key not in _SENTENCES] or differing
            what = ", ".join(f"{key}={_cut(theirs.get(key))}" for key in telling[:_TOLD])
            more = f" and {len(telling) - _TOLD} more" if len(telling) > _TOLD else ""
            raise UserError(
                f"--run_name={self.path.name}: {self.path} holds another run, with {what}{more}; "
                "give another --run_name or remove the folder."
            )

    def results(self) -> Mapping[str, Any] | None:
        """What the finished run recorded, or None."""
        record = read_record(self.path)
        return record.results if record else None

    def start(self) -> None:
        """Make the folder and claim it for this run."""
        self._write(self.record(None))

    def finish(self, results: Mapping[str, Any]) -> None:
        """Record what came out."""
        self._write(self.record(results))

    def record(self, results: Mapping[str, Any] | None) -> Record:
        """What is or will be recorded with these results."""
        return Record(self.settings, self._about, results)

    def _write(self, record: Record) -> None:
        with atomic(self / _RECORD) as written:
            kept = {"settings": record.settings, "about": record.about, "results": record.results}
            written.write_text(json.dumps(kept, indent=2) + "\n")
