"""The state of a training in one file, written so that whatever happens the one before it stays whole.

A checkpoint is an `.npz` of plain arrays: each variable under its name, and JSON under `meta`. It is read
without unpickling anything.
"""

import contextlib
import dataclasses
import errno
import json
import os
import pathlib
import re
import shutil
import time
from collections.abc import Mapping
from typing import Any

import numpy as np

from keras_resnet.errors import UserError
from keras_resnet.files import atomic

_NAME = "step-{:010}.npz"
_PATTERN = re.compile(r"step-(\d{10})\.npz")
_META = "meta"


@dataclasses.dataclass(frozen=True)
class Checkpoint:
    """What a file holds.

    Args:
        path: of the file.
        arrays: of each variable, by name.
        meta: everything else, as JSON has it.
    """

    path: pathlib.Path
    arrays: dict[str, np.ndarray]
    meta: dict[str, Any]


class Checkpoints:
    """A folder of checkpoints of one run: the last few, and the best.

    Args:
        folder: made when the first one is written.
        identity: what a run must have in common with a checkpoint to go on from it; plain values.
        minutes: after which a new one is due.
        keep: how many to keep, beside the best.
    """

    def __init__(
        self,
        folder: str | os.PathLike,
        identity: Mapping[str, Any] | None = None,
        *,
        minutes: float = 10.0,
        keep: int = 2,
    ):
        self.folder = pathlib.Path(folder)
        self._identity: dict[str, Any] = {}
        self.identify(identity or {})
        self._seconds = 60 * minutes
        self._keep = keep
        self._written = time.monotonic()
        self.last: pathlib.Path | None = None

    def identify(self, identity: Mapping[str, Any]) -> None:
        """Add to what a run must have in common with a checkpoint."""
        self._identity.update(json.loads(json.dumps(identity)))  # as it will be read again: no tuples

    def latest(self) -> Checkpoint | None:
        """The newest whole one; a damaged one is told of and passed over.

        Raises:
            UserError: it is another run's; the message says what differs.
        """
        for path in reversed(self._paths()):
            try:
                checkpoint = read_checkpoint(path)
            except ValueError as error:
                print(f"WARNING: {error} It is passed over.", flush=True)
                continue
            self._check_identity(checkpoint)
            self.last = path
            return checkpoint
        return None

    def any_whole(self) -> bool:
        """Whether one can be read."""
        for path in reversed(self._paths()):
            with contextlib.suppress(ValueError):
                read_checkpoint(path)
                return True
        return False

    def due(self) -> bool:
        """Whether the last one is old enough for another."""
        return time.monotonic() - self._written >= self._seconds

    def save(
        self, step: int, arrays: Mapping[str, np.ndarray], meta: Mapping[str, Any], best: int | None = None
    ) -> bool:
        """Write one, and remove those no longer needed. A full disk is told of, and what was there stays.

        Args:
            step: number of steps done, which names the file.
            arrays: of each variable.
            meta: everything else; plain values.
            best: step of the checkpoint that is kept as the best.

        Returns:
            Whether it was written.
        """
        path = self.folder / _NAME.format(step)
        for left in self.folder.glob(".writing-*"):  # by a writer that was killed; there is one at a time
            shutil.rmtree(left, ignore_errors=True)
        text = json.dumps({"identity": self._identity, **meta})
        try:
            with atomic(path) as written, open(written, "wb") as file:
                about = np.frombuffer(text.encode(), np.uint8)
                np.savez(file, allow_pickle=False, **{_META: about, **arrays})
        except OSError as error:
            print(
                f"\nWARNING: the checkpoint {path} could not be written ({error.strerror or error}); "
                f"{self.last or 'none'} is the last good one.",
                flush=True,
            )
            self._written = time.monotonic()
            return False
        self.last, self._written = path, time.monotonic()
        # Later ones are damaged, or training has gone back behind them.
        done = [old for old in self._paths() if old <= path]
        kept = {*done[-self._keep :], self.folder / _NAME.format(step if best is None else best)}
        for old in self._paths():
            if old not in kept:
                old.unlink(missing_ok=True)
        return True

    def clear(self) -> None:
        """Remove all of them, and what an interrupted writer left."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def _paths(self) -> list[pathlib.Path]:
        if not self.folder.is_dir():
            return []
        return sorted(path for path in self.folder.iterdir() if _PATTERN.fullmatch(path.name))

    def _check_identity(self, checkpoint: Checkpoint) -> None:
        theirs = checkpoint.meta.get("identity", {})
        differing = [
            f"{key}={theirs.get(key)} and not {self._identity.get(key)}"
            for key in {**theirs, **self._identity}
            if theirs.get(key) != self._identity.get(key)
        ]
        if differing:
            raise UserError(
                f"{checkpoint.path} is a checkpoint of another training, with {'; '.join(differing)}; go on "
                "with that one, or take another folder."
            )


def read_checkpoint(path: str | os.PathLike) -> Checkpoint:
    """A checkpoint from its file.

    Raises:
        ValueError: the file is damaged or no checkpoint.
        OSError: it cannot be read.
    """
    path = pathlib.Path(path)
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
        meta = json.loads(arrays.pop(_META).tobytes())
    except MemoryError:
        raise  # which is not the file's fault
    except Exception as error:
        if isinstance(error, OSError) and error.errno not in (None, errno.EINVAL):
            raise  # nor is this; damage asks for places in the file that cannot be
        # Whatever ZIP and NumPy make of damage.
        told = str(error).split("\n")[0] or type(error).__name__
        raise ValueError(f"{path} is damaged or no checkpoint ({told}).") from error
    if not isinstance(meta, dict) or not isinstance(meta.get("identity", {}), dict):
        raise ValueError(f"{path} is no checkpoint: its meta data are no JSON object.")
    if not all(isinstance(array, np.ndarray) for array in arrays.values()):
        raise ValueError(f"{path} is no checkpoint: it holds something else than arrays.")
    return Checkpoint(path, arrays, meta)


def check_arrays(checkpoint: Checkpoint, shapes: Mapping[str, tuple[int, ...]]) -> None:
    """See that a checkpoint has these variables and no others.

    Raises:
        UserError: it has not; the first that differ are named.
    """
    found = {name: array.shape for name, array in checkpoint.arrays.items()}
    wrong = [
        f"{name} {_shape(found.get(name))} and not {_shape(shapes.get(name))}"
        for name in {**shapes, **found}
        if found.get(name) != shapes.get(name)
    ]
    if wrong:
        raise UserError(
            f"{checkpoint.path} is a checkpoint of another net: it has {'; '.join(wrong[:3])}"
            f"{f' and {len(wrong) - 3} more' if len(wrong) > 3 else ''}; remove it, or take another folder."
        )


def _shape(shape: tuple[int, ...] | None) -> str:
    return "nowhere" if shape is None else "x".join(map(str, shape)) or "a number"
