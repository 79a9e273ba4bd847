"""The folder of a run, and `run.json`, which says what the run is. Imports no TensorFlow."""

import dataclasses
import json
import os
import pathlib
from collections.abc import Mapping
from typing import Any

from keras_resnet._utils.atomic import atomic_write, check_writable
from keras_resnet._utils.fingerprint import canonical, describe_differences, fingerprint
from keras_resnet._utils.lock import LOCK
from keras_resnet.data.batch_augment import BatchAugment
from keras_resnet.data.input_spec import InputSpec
from keras_resnet.errors import UserError
from keras_resnet.models.architectures import LATER_FIELDS, Architecture
from keras_resnet.runs.config import TrainConfig
from keras_resnet.training.recipes import Recipe

MODEL = "model.keras"
RECORD = "run.json"
HISTORY = "history.csv"
CURVES = "curves.png"
REPORT = "report.json"
CARD = "README.md"
CHECKPOINTS = "checkpoints"
TENSORBOARD = "tensorboard"

# What a finished run's record must hold, by part.
_PARTS: dict[str, dict[str, type | tuple[type, ...]]] = {
    "settings": {
        "architecture": dict,
        "dataset": dict,
        "input": dict,
        "recipe": dict,
        "training": dict,
        "version": str,
    },
    "settings.dataset": {
        "name": str,
        "train_split": str,
        "validation_split": str,
        "train_images": int,
        "validation_images": int,
        "class_names": list,
    },
    "settings.input": {"size": int, "channels": int, "crop_mode": str, "normalization": str, "hflip": bool},
    "settings.training": {"mixed_precision": str, "seed": int},
    "metadata": {"command": str, "versions": dict, "recipe": dict},
    "config": {"dataset": (str, type(None))},
    "results": {"accuracy": float, "validation_error": float, "seconds": float},
}


@dataclasses.dataclass(frozen=True)
class RunRecord:
    """What `run.json` says of a run.

    Args:
        config: the `TrainConfig` it was started with, as plain values.
        settings: what identifies the run, nested by subject: architecture, dataset, input, recipe, training,
            and where its weights began.
        metadata: what is good to know of it besides: command, versions, prose of the recipe.
        results: of the finished run, plain values by name; None before.
        path: of the file, for messages.
    """

    config: Mapping[str, Any]
    settings: Mapping[str, Any]
    metadata: Mapping[str, Any]
    results: Mapping[str, Any] | None = None
    path: str = dataclasses.field(default=RECORD, compare=False)

    @property
    def architecture(self) -> Architecture:
        """The architecture that was trained.

        Raises:
            UserError: the record is damaged or of another version.
        """
        return _rebuilt(Architecture, {**LATER_FIELDS, **self.settings["architecture"]}, self.path)

    @property
    def recipe(self) -> Recipe:
        """How it was trained.

        Raises:
            UserError: the record is damaged or of another version.
        """
        settings = {key: value for key, value in self.settings["recipe"].items() if key != "name"}
        _check_fields(settings, {"batch_augment": dict}, self.path)
        augment = _rebuilt(BatchAugment, settings["batch_augment"], self.path)
        prose = self.metadata["recipe"]
        return _rebuilt(Recipe, {**settings, **prose, "batch_augment": augment}, self.path)

    @property
    def reported_split(self) -> str:
        """Which split the accuracy of a finished run is measured on: "test" or "validation"."""
        results = self.results or {}
        return results.get("reported_split") or ("test" if "test_error" in results else "validation")

    @property
    def headline(self) -> str:
        """The figure that a finished run is known by: its accuracy, or its mAP for several labels."""
        results = self.results or {}
        if self.multi_label:
            return f"{100 * results['mean_average_precision']:.2f}% mAP"
        return f"{100 * results['accuracy']:.2f}% accuracy"

    @property
    def multi_label(self) -> bool:
        """Whether an image of its dataset has any number of labels, instead of one class."""
        return bool(self.settings["dataset"].get("multi_label", False))

    @property
    def spec(self) -> InputSpec:
        """What its model takes.

        Raises:
            UserError: the record is damaged or of another version.
        """
        names = {field.name for field in dataclasses.fields(InputSpec)}
        values = {key: value for key, value in self.settings["input"].items() if key in names}
        try:
            return InputSpec.from_dict(values)
        except UserError as error:
            raise _damaged(self.path, error) from error

    @property
    def train_config(self) -> TrainConfig:
        """The configuration it was started with.

        Raises:
            UserError: the record is damaged or of another version.
        """
        try:
            return TrainConfig.from_dict(self.config)
        except UserError as error:
            raise _damaged(self.path, error) from error


def read_record(folder: str | os.PathLike) -> RunRecord | None:
    """The record of the run in this folder, or None where there is none that can be read."""
    try:
        path = pathlib.Path(folder, RECORD)
        parts = json.loads(path.read_text(encoding="utf-8"))
        results = None if parts["results"] is None else dict(parts["results"])
        return RunRecord(
            dict(parts["config"]), dict(parts["settings"]), dict(parts["metadata"]), results, str(path)
        )
    except (OSError, ValueError, KeyError, TypeError):
        return None


def load_finished_run(folder: str | os.PathLike, parameter: str | None = None) -> RunRecord:
    """The record of a finished run.

    Args:
        parameter: that the folder was given by, for messages.

    Raises:
        UserError: the folder is not that of a finished run, or the record is damaged or of another version.
    """
    record = read_record(folder)
    if record is None or record.results is None or not pathlib.Path(folder, MODEL).is_file():
        raise UserError(
            f"is not the folder of a finished run, with {RECORD} and {MODEL}; use one that `keras-resnet "
            "train` has finished.",
            parameter=parameter,
            value=folder,
        )
    for part, fields in _PARTS.items():
        values: Any = {
            "config": record.config,
            "settings": record.settings,
            "metadata": record.metadata,
            "results": record.results,
        }
        for key in part.split("."):
            values = values[key]
        _check_fields(values, fields, record.path)
    return record


class RunFolder:
    """`output_dir`/`run_name`, which belongs to one run: one set of settings.

    Args:
        output_dir: folder of all runs.
        run_name: a plain folder name.
        config, settings, metadata: as of `RunRecord`; plain values.
    """

    def __init__(
        self,
        output_dir: str | os.PathLike,
        run_name: str,
        config: Mapping[str, Any],
        settings: Mapping[str, Any],
        metadata: Mapping[str, Any],
    ):
        self.path = pathlib.Path(output_dir, run_name)
        self._run_name = run_name
        self._config = canonical(config)
        self.settings = canonical(settings)
        self._metadata = canonical(metadata)

    def __truediv__(self, name: str) -> pathlib.Path:
        return self.path / name

    def check(self) -> None:
        """Refuses a folder that cannot be written, or that holds anything but this run.

        Raises:
            UserError: with the parameter to change.
        """
        if self._run_name == ".." or pathlib.PurePath(self._run_name).name != self._run_name:
            raise UserError(
                "must be a plain folder name; output_dir takes the folders above it.",
                parameter="run_name",
                value=self._run_name,
            )
        for folder in (self.path.parent, self.path):
            check_writable(folder, "output_dir")
        if not self.path.exists() or all(path.name == LOCK for path in self.path.iterdir()):
            return
        record = read_record(self.path)
        if record is None:
            raise UserError(
                f"{self.path} holds files that do not belong to a run of this version; use another run_name "
                "or remove the folder.",
                parameter="run_name",
                value=self._run_name,
            )
        if fingerprint(record.settings) != fingerprint(self.settings):
            difference = describe_differences(record.settings, self.settings)
            raise UserError(
                f"{self.path} holds another run ({difference}); use another run_name or remove the folder.",
                parameter="run_name",
                value=self._run_name,
            )

    def results(self) -> Mapping[str, Any] | None:
        """What the finished run recorded, or None."""
        record = read_record(self.path)
        return record.results if record else None

    def start(self) -> None:
        """Creates the folder and claims it for this run."""
        self._write(self.record(None))

    def finish(self, results: Mapping[str, Any]) -> None:
        """Records the results."""
        self._write(self.record(results))

    def record(self, results: Mapping[str, Any] | None) -> RunRecord:
        """What is or will be recorded with these results."""
        return RunRecord(self._config, self.settings, self._metadata, results, str(self / RECORD))

    def _write(self, record: RunRecord) -> None:
        parts = {
            "config": record.config,
            "settings": record.settings,
            "metadata": record.metadata,
            "results": record.results,
        }
        with atomic_write(self / RECORD) as written:
            written.write_text(json.dumps(parts, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def _rebuilt(kind: Any, values: Mapping[str, Any], path: str) -> Any:
    """An object of its fields' values, as they were before JSON made lists of tuples."""
    names = [field.name for field in dataclasses.fields(kind)]
    _check_fields(values, dict.fromkeys(names, object), path)
    try:
        return kind(**{name: _with_tuples(values[name]) for name in names})
    except (TypeError, ValueError) as error:
        raise _damaged(path, error) from error


def _check_fields(values: Any, fields: Mapping[str, type | tuple[type, ...]], path: str) -> None:
    if not isinstance(values, Mapping):
        raise _damaged(path, "a part of it is not an object")
    for name, kind in fields.items():
        if name not in values or not isinstance(values[name], kind):
            raise UserError(
                f"lacks {name}: the run was made by another version of this package; use that version, or "
                "train again.",
                value=path,
            )


def _damaged(path: str, error: object) -> UserError:
    return UserError(f"is damaged ({error}); train again.", value=path)


def _with_tuples(value: Any) -> Any:
    return tuple(map(_with_tuples, value)) if isinstance(value, list) else value
