"""Trained models on a dataset: what `evaluate` and `experiment responses` have in common."""

import collections
import dataclasses
import pathlib
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from absl import flags

from keras_resnet.commands import data_flags
from keras_resnet.data.source import Source
from keras_resnet.errors import UserError
from keras_resnet.training.run_folder import read_record

if TYPE_CHECKING:
    from keras_resnet.evaluation.opened import OpenedModel


def define(values: flags.FlagValues) -> None:
    """Add the flags that name the images to a command's."""
    flags.DEFINE_string(
        "dataset",
        None,
        "The images to test on; by default those of the first run among the models.",
        flag_values=values,
        module_name=data_flags.GROUP,
    )
    data_flags.define(values)


def named(models: Sequence[str]) -> dict[str, pathlib.Path]:
    """Path of each model, by a name that is short where that is enough.

    Raises:
        UserError: one is not there, or given twice.
    """
    paths = [pathlib.Path(model) for model in models]
    for path in paths:
        if not path.exists():
            raise UserError(
                f"{path}: there is no such file or folder; give a .tflite, a .keras, a SavedModel or a run."
            )
    short = [_short(path.resolve()) for path in paths]
    seen = collections.Counter(short)
    names = [name if seen[name] == 1 else str(path) for name, path in zip(short, paths, strict=True)]
    for name, count in collections.Counter(map(data_flags.file_name, names)).items():
        if count > 1:
            raise UserError(f"{name} is given twice, or two models would have that name; leave one out.")
    return dict(zip(names, paths, strict=True))


def _short(path: pathlib.Path) -> str:
    """The name of a run, or that of a file with its folder's."""
    is_run = path.is_dir() and not (path / "saved_model.pb").is_file()
    return path.name if is_run else f"{path.parent.name}/{path.name}"


def source(values: flags.FlagValues, models: Mapping[str, pathlib.Path]) -> tuple[str, Source]:
    """Name of the dataset, and the dataset: the one asked for, or that of the first run.

    Raises:
        UserError: none is asked for, and no model is a run's; or there is no such dataset.
    """
    records = (read_record(path) or read_record(path.resolve().parent) for path in models.values())
    record = next(filter(None, records), None)
    recorded = record.about.get("data", {}) if record else {}
    name = values.dataset or recorded.get("dataset")
    if name is None:
        raise UserError(
            f"--dataset is missing: {next(iter(models))} is not of a run, which would tell its images."
        )
    if name == recorded.get("dataset"):
        data_flags.restore(values, recorded)
    return name, data_flags.source(values, name)


def check_classes(name: str, model: "OpenedModel", dataset: str, source: Source) -> "OpenedModel":
    """The model, with the dataset's names for its classes where it came without any.

    Raises:
        UserError: its classes are others, or others in number.
    """
    numbers = tuple(map(str, range(len(source.class_names))))
    if model.class_names == numbers:
        return dataclasses.replace(model, class_names=source.class_names)
    data_flags.check_classes(dataset, source, model.class_names, name)
    return model
