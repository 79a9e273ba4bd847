"""What a run can be exported as. Imports no TensorFlow."""

import dataclasses
import math
import os
import pathlib
import shutil
from collections.abc import Iterable
from typing import Any

from keras_resnet.errors import UserError
from keras_resnet.export.web import litertjs_folder
from keras_resnet.inference.labels import LABELS
from keras_resnet.inference.sidecars import PREPROCESSING
from keras_resnet.inference.thresholds import THRESHOLDS

TFLITE_KINDS = ("float32", "float16", "dynamic", "int8")
ON_DECODE_ERROR = ("error", "nan")

SAVED_MODEL, TFLITE, WEB = "saved_model", "tflite-float32", "web"
# Each kind of file, and its name in the run's folder.
FILES = {
    SAVED_MODEL: "saved_model",
    TFLITE: "model.tflite",
    **{f"tflite-{kind}": f"model_{kind}.tflite" for kind in TFLITE_KINDS if kind != "float32"},
    WEB: "web",
}
_SHORT_NAMES = {"tflite": TFLITE, **{kind: f"tflite-{kind}" for kind in TFLITE_KINDS}}
# What describes the files, or is described with them.
_DESCRIPTIONS = (
    "README.md",
    "report.json",
    "confusion.png",
    LABELS,
    PREPROCESSING,
    THRESHOLDS,
    "model.keras",
)


def resolve_kind(name: str, parameter: str = "kinds") -> str:
    """Returns the kind, a key of `FILES`, for its name or short name: "tflite", "float32", ..., "int8".

    Args:
        parameter: name of the caller's parameter, for the message.

    Raises:
        UserError: there is no such kind.
    """
    kind = _SHORT_NAMES.get(name, name)
    if kind not in FILES:
        raise UserError(f"must be one of {', '.join(FILES)}.", parameter=parameter, value=name)
    return kind


def tflite_kind(kind: str) -> str:
    """Returns the `kind` of `export_tflite` for a kind of `FILES` that is a TFLite file."""
    return kind.removeprefix("tflite-")


@dataclasses.dataclass(frozen=True)
class ExportConfig:
    """Selects what to export.

    Args:
        kinds: of `FILES`, or short names as of `resolve_kind`. After construction full names, each once, in
            the order of `FILES`. "web" includes "tflite-float32", which its page runs.
        litertjs: for "web", the folder of npm's package @litertjs/core, or that in which npm installed it.
        max_accuracy_drop: largest loss of accuracy that a file may have, in percentage points; None: any.
        on_decode_error: for "saved_model", as of `export_saved_model`.

    Raises:
        UserError: there is no such kind, or a field has no such value.
    """

    kinds: tuple[str, ...] = (SAVED_MODEL, TFLITE)
    litertjs: str | os.PathLike = "."
    max_accuracy_drop: float | None = None
    on_decode_error: str = "error"

    def __post_init__(self):
        kinds = {resolve_kind(name) for name in self.kinds}
        if WEB in kinds:
            kinds.add(TFLITE)
        object.__setattr__(self, "kinds", tuple(kind for kind in FILES if kind in kinds))
        drop = self.max_accuracy_drop
        if drop is not None and not (math.isfinite(drop) and drop >= 0):
            raise UserError("must be at least 0.", parameter="max_accuracy_drop", value=drop)
        check_on_decode_error(self.on_decode_error)

    @classmethod
    def from_kinds(cls, kinds: Iterable[str], *, parameter: str = "kinds", **options: Any) -> "ExportConfig":
        """Builds a configuration from kinds that came in by a parameter of another name.

        Args:
            parameter: its name, for messages.
            options: the other fields.

        Raises:
            UserError: as of the constructor.
        """
        return cls(tuple(resolve_kind(name, parameter) for name in kinds), **options)

    def check(self) -> None:
        """Checks what depends on files, before anything is written.

        Raises:
            UserError: the runtime of the web page is missing.
        """
        if WEB in self.kinds:
            litertjs_folder(self.litertjs)


def check_on_decode_error(value: str) -> None:
    """Checks that there is such a way to treat files that cannot be decoded.

    Raises:
        UserError: there is none.
    """
    if value not in ON_DECODE_ERROR:
        raise UserError(
            f"must be one of {', '.join(ON_DECODE_ERROR)}.", parameter="on_decode_error", value=value
        )


def remove_exports(folder: pathlib.Path) -> None:
    """Removes the exports of an earlier training, complete or not, before its folder gets other weights."""
    incomplete = (path for pattern in (".exporting-*", ".writing-*") for path in folder.glob(pattern))
    for path in (*(folder / name for name in (*FILES.values(), *_DESCRIPTIONS)), *incomplete):
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
