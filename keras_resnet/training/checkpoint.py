"""The state of a training in one file, written so that no failure can damage the file before it.

A checkpoint is an `.npz` file of plain arrays: each variable under its name, and JSON under `meta`. Reading
it unpickles nothing.
"""

import contextlib
import dataclasses
import errno
import json
import logging
import os
import pathlib
import re
import shutil
import time
from collections.abc import Mapping
from typing import Any

import numpy as np

from keras_resnet._utils.atomic import atomic_write
from keras_resnet._utils.fingerprint import canonical, describe_differences
from keras_resnet.errors import UserError

_NAME = "step-{:010}.npz"
_PATTERN = re.compile(r"step-(\d{10})\.npz")
_META, _SETTINGS = "meta", "settings"
_LOG = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True)
class Checkpoint:
    """The contents of a checkpoint file.

    Args:
        path: of the file.
        arrays: value of each variable, by name.
        meta: everything else, as JSON stores it.
    """

    path: pathlib.Path
    arrays: dict[str, np.ndarray]
    meta: dict[str, Any]


class Checkpoints:
    """A folder with the checkpoints of one training: the last few, and the best.

    Args:
        folder: made when the first checkpoint is written.
        settings: what a checkpoint must have in common with a training to resume it: plain values, nested by
            subject. `train` adds its own to the subjects "recipe" and "training".
        minutes: after which another one is due.
        keep: how many to keep, besides the best.
    """

    def __init__(
        self,
        folder: str | os.PathLike,
        settings: Mapping[str, Any] | None = None,
        *,
        minutes: float = 10.0,
        keep: int = 2,
    ):
        self.folder = pathlib.Path(folder)
        self._own_settings = self._settings = canonical(settings or {})
        self._seconds = 60 * minutes
        self._keep = keep
        self._written = time.monotonic()
        self.last: pathlib.Path | None = None

    def identify_training(self, settings: Mapping[str, Any]) -> None:
        """Adds the settings of a training, subject by subject, in place of those of an earlier one.

        Raises:
            UserError: a subject of the settings is not a mapping.
        """
        merged = dict(self._own_settings)
        for subject, values in canonical(settings).items():
            own = merged.get(subject, {})
            if not isinstance(own, Mapping):
                raise UserError(
                    f"{subject!r} must be a mapping, to which train adds what identifies a training.",
                    parameter="settings",
                    value=self._own_settings,
                )
            merged[subject] = {**own, **values}
        self._settings = merged

    def latest(self) -> Checkpoint | None:
        """Returns the newest usable checkpoint, or None; a damaged one is skipped with a warning.

        Raises:
            UserError: it has other settings; the message lists what differs.
        """
        for path in reversed(self._paths()):
            try:
                checkpoint = read_checkpoint(path)
            except ValueError as error:
                _LOG.warning("Skipping a checkpoint. %s", error)
                continue
            self._check_settings(checkpoint)
            self.last = path
            return checkpoint
        return None

    def at(self, step: int) -> Checkpoint:
        """Returns the checkpoint of a step.

        Raises:
            UserError: it is missing, damaged or has other settings.
        """
        path = self.folder / _NAME.format(step)
        try:
            checkpoint = read_checkpoint(path)
        except FileNotFoundError as error:
            raise UserError("The checkpoint is missing.", value=path) from error
        self._check_settings(checkpoint)
        return checkpoint

    def any_valid(self) -> bool:
        """Returns whether there is a checkpoint that can be read."""
        for path in reversed(self._paths()):
            with contextlib.suppress(ValueError):
                read_checkpoint(path)
                return True
        return False

    def due(self) -> bool:
        """Returns whether the last checkpoint is old enough for another."""
        return time.monotonic() - self._written >= self._seconds

    def save(
        self, step: int, arrays: Mapping[str, np.ndarray], meta: Mapping[str, Any], best: int | None = None
    ) -> bool:
        """Writes a checkpoint and removes those no longer needed.

        On a full disk it logs a warning, and what was there stays.

        Args:
            step: number of steps done; it names the file.
            arrays: value of each variable.
            meta: everything else; plain values.
            best: step of the checkpoint that is kept as the best.

        Returns:
            Whether it was written.
        """
        path = self.folder / _NAME.format(step)
        for left in self.folder.glob(".writing-*"):  # by a writer that was killed; there is one at a time
            shutil.rmtree(left, ignore_errors=True)
        text = json.dumps({_SETTINGS: self._settings, **meta})
        try:
            with atomic_write(path) as written, open(written, "wb") as file:
                encoded = np.frombuffer(text.encode(), np.uint8)
                np.savez(file, allow_pickle=False, **{_META: encoded, **arrays})
        except OSError as error:
            _LOG.warning(
                "The checkpoint %s could not be written (%s). Last good checkpoint: %s.",
                path,
                error.strerror or error,
                self.last or "none",
            )
            self._written = time.monotonic()
            return False
        self.last, self._written = path, time.monotonic()
        # Later ones are damaged, or of steps that a rollback has undone.
        done = [old for old in self._paths() if old <= path]
        kept = {*done[-self._keep :], self.folder / _NAME.format(step if best is None else best)}
        for old in self._paths():
            if old not in kept:
                old.unlink(missing_ok=True)
        return True

    def clear(self) -> None:
        """Removes all checkpoints, and what an interrupted writer has left."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def _paths(self) -> list[pathlib.Path]:
        if not self.folder.is_dir():
            return []
        return sorted(path for path in self.folder.iterdir() if _PATTERN.fullmatch(path.name))

    def _check_settings(self, checkpoint: Checkpoint) -> None:
        differences = describe_differences(checkpoint.meta.get(_SETTINGS, {}), self._settings)
        if differences:
            raise UserError(
                f"This checkpoint is of a different training: {differences}. Resume that training, or use "
                "another folder.",
                value=checkpoint.path,
            )


def read_checkpoint(path: str | os.PathLike) -> Checkpoint:
    """Reads a checkpoint file.

    Raises:
        UserError: the file is damaged, or is not a checkpoint.
        OSError: the file cannot be read.
    """
    path = pathlib.Path(path)
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
        meta = json.loads(arrays.pop(_META).tobytes())
    except MemoryError:
        raise  # not a fault of the file
    except Exception as error:
        if isinstance(error, OSError) and error.errno not in (None, errno.EINVAL):
            raise  # nor is this; EINVAL comes from damage that makes NumPy seek to impossible positions
        # Whatever ZIP and NumPy make of damage.
        what = str(error).split("\n")[0] or type(error).__name__
        raise UserError(f"The file is damaged or not a checkpoint ({what}).", value=path) from error
    if not isinstance(meta, dict) or not isinstance(meta.get(_SETTINGS, {}), dict):
        raise UserError("The file is not a checkpoint: its metadata is not a JSON object.", value=path)
    if not all(isinstance(array, np.ndarray) for array in arrays.values()):
        raise UserError("The file is not a checkpoint: not all its contents are arrays.", value=path)
    return Checkpoint(path, arrays, meta)


def check_arrays(checkpoint: Checkpoint, shapes: Mapping[str, tuple[int, ...]]) -> None:
    """Checks that a checkpoint has exactly these variables.

    Raises:
        UserError: it does not; the message names the first that differ.
    """
    found = {name: array.shape for name, array in checkpoint.arrays.items()}
    wrong = [
        f"{name} {_format_shape(found.get(name))} instead of {_format_shape(shapes.get(name))}"
        for name in {**shapes, **found}
        if found.get(name) != shapes.get(name)
    ]
    if wrong:
        more = f" and {len(wrong) - 3} more" if len(wrong) > 3 else ""
        raise UserError(
            f"This checkpoint is of a different model, with {', '.join(wrong[:3])}{more}. Remove it, or use "
            "another folder.",
            value=checkpoint.path,
        )


def _format_shape(shape: tuple[int, ...] | None) -> str:
    return "missing" if shape is None else "x".join(map(str, shape)) or "scalar"
