"""Finishes a run with TensorFlow in a process of its own, where another engine has trained it.

The exported files are TensorFlow's, and Keras has one backend for each process.
"""

import json
import logging
import os
import pathlib
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from keras_resnet.data.dataset import Dataset
from keras_resnet.data.sources.arrays import ArrayReader, split_from_arrays
from keras_resnet.errors import UserError
from keras_resnet.runs.finish import finish_run
from keras_resnet.runs.record import RunFolder, read_record
from keras_resnet.runs.run import Run

if TYPE_CHECKING:
    import keras

    from keras_resnet.runs.config import TrainConfig

_LOG = logging.getLogger(__name__)
_MODEL, _ARRAYS, _RESULTS = "trained.keras", "arrays.npz", "results.json"
_SPLITS = ("train", "validation", "test")
_MAX_TEXT = 2000  # of what a failed process printed


def check_dataset_can_be_passed(config: "TrainConfig") -> None:
    """Refuses a dataset that the other process could not load.

    Raises:
        UserError: with what to pass instead.
    """
    dataset = config.dataset
    if isinstance(dataset, Dataset) and not all(
        isinstance(split.read, ArrayReader) for split in _splits(dataset).values()
    ):
        raise UserError(
            "With KERAS_BACKEND=jax, files are exported by another process, which cannot be passed this "
            "Dataset object; pass the folder or name that it was loaded from, or one of data.from_arrays.",
            parameter="dataset",
            value=dataset.name,
        )


def finish_with_tensorflow(
    folder: pathlib.Path, model: "keras.Model", dataset: Any, **results: float | None
) -> None:
    """Calls `finish_run` in a process with TensorFlow, and logs what it logs.

    Args:
        folder: of the run, which was started.
        model: as it was trained, in float32.
        dataset: of the configuration: a name, a folder or a `Dataset` of arrays.
        results: of the training, for `finish_run`.

    Raises:
        UserError: as of `finish_run`, or the process has failed.
    """
    # Without the cluster, whose other workers take no part; and without GPUs, whose memory is taken.
    environment = {name: value for name, value in os.environ.items() if name != "TF_CONFIG"}
    environment |= {"KERAS_BACKEND": "tensorflow", "CUDA_VISIBLE_DEVICES": "-1", "PYTHONUNBUFFERED": "1"}
    with tempfile.TemporaryDirectory(dir=folder, prefix=".finishing-") as temporary:
        staging = pathlib.Path(temporary)
        model.save(staging / _MODEL)
        (staging / _RESULTS).write_text(json.dumps(results), encoding="utf-8")
        if isinstance(dataset, Dataset):
            np.savez(staging / _ARRAYS, allow_pickle=False, **_to_arrays(dataset))
        status, problem = _run(["-m", __name__, str(folder), temporary], environment)
    if status:
        raise problem or UserError(
            "The training is finished and its last checkpoint kept, but TensorFlow's process, which writes "
            f"the files, ended with status {status}. Repeat the same command or call to try again.",
            value=folder,
        )


def _run(arguments: Sequence[str], environment: Mapping[str, str]) -> tuple[int, UserError | None]:
    """Runs Python and logs what `_Lines` prints there; returns its status and its error, if any."""
    problem = None
    with (
        tempfile.TemporaryFile("w+", encoding="utf-8") as errors,
        subprocess.Popen(
            [sys.executable, *arguments], env=environment, stdout=subprocess.PIPE, stderr=errors, text=True
        ) as process,
    ):
        assert process.stdout is not None
        for line in process.stdout:
            message = _parse(line)
            if "error" in message:
                problem = UserError(**message["error"])
            elif message:
                _LOG.log(message["level"], "%s", message["text"])
        status = process.wait()
        if status and problem is None:
            errors.seek(0)
            _LOG.error("%s", errors.read().strip()[-_MAX_TEXT:])
    return status, problem


def main(folder: str, staging: str) -> int:
    """Finishes the run of this folder; prints messages as lines of JSON."""
    logger = logging.getLogger("keras_resnet")
    logger.setLevel(logging.INFO)
    logger.addHandler(_Lines())
    try:
        _finish(pathlib.Path(folder), pathlib.Path(staging))
    except UserError as error:
        fields = {
            "reason": error.reason,
            "parameter": error.parameter,
            "value": error.value and str(error.value),
        }
        print(json.dumps({"error": fields}), flush=True)
        return 2
    return 0


def _finish(folder: pathlib.Path, staging: pathlib.Path) -> None:
    from keras_resnet.inference.keras_file import load_keras

    record = read_record(folder)
    assert record is not None
    run, config = Run(folder, record), record.train_config
    arrays = staging / _ARRAYS
    dataset = _from_arrays(arrays, record.settings["dataset"]) if arrays.exists() else run.load_dataset()
    finish_run(
        RunFolder(folder.parent, folder.name, record.config, record.settings, record.metadata),
        load_keras(staging / _MODEL),
        run.pipeline(dataset),
        config,
        **json.loads((staging / _RESULTS).read_text(encoding="utf-8")),
    )


class _Lines(logging.Handler):
    """Prints each message as a line of JSON."""

    def emit(self, record: logging.LogRecord) -> None:
        print(json.dumps({"level": record.levelno, "text": record.getMessage()}), flush=True)


def _parse(line: str) -> dict[str, Any]:
    """What a line says; nothing for what others print."""
    try:
        message = json.loads(line)
    except ValueError:
        return {}
    return message if isinstance(message, dict) and {"level", "error"} & set(message) else {}


def _splits(dataset: Dataset) -> dict[str, Any]:
    splits = {name: getattr(dataset, name) for name in _SPLITS}
    return {name: split for name, split in splits.items() if split is not None}


def _to_arrays(dataset: Dataset) -> dict[str, np.ndarray]:
    return {
        f"{name}_{part}": getattr(split.read, part)
        for name, split in _splits(dataset).items()
        for part in ("images", "labels")
    }


def _from_arrays(path: pathlib.Path, settings: Mapping[str, Any]) -> Dataset:
    """The dataset of `_to_arrays`, with what the run's settings say of it."""
    with np.load(path, allow_pickle=False) as arrays:
        splits = {
            name: split_from_arrays(
                settings[f"{name}_split"], arrays[f"{name}_images"], arrays[f"{name}_labels"]
            )
            for name in _SPLITS
            if f"{name}_images" in arrays
        }
        shape = arrays["train_images"].shape[1:]
    return Dataset(
        settings["name"],
        tuple(settings["class_names"]),
        shape,
        splits["train"],
        splits["validation"],
        hflip=False,  # of training images, which are not read here
        test=splits.get("test"),
        fingerprint=settings.get("fingerprint"),
    )


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
