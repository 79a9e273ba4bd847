"""What a run can be exported as. Imports no TensorFlow."""

import dataclasses
import os
import pathlib
import shutil

from keras_resnet.export.web import litertjs_folder

TFLITE_KINDS = ("float32", "float16", "dynamic", "int8")
UNDECODABLE = ("error", "nan")

# Each kind, and under which name it lies in the run's folder.
FILES = {
    "saved_model": "saved_model",
    "float32": "model.tflite",
    **{kind: f"model_{kind}.tflite" for kind in TFLITE_KINDS if kind != "float32"},
}
WEB = "web"
# What tells of them.
_ABOUT = ("README.md", "report.json", "confusion.png", "labels.txt", "model.keras")


@dataclasses.dataclass(frozen=True)
class Exports:
    """What to export.

    Args:
        kinds: of `FILES`.
        litertjs: for the web page, the folder of npm's package @litertjs/core; None for no page. Its net is
            the float32 one, which has to be among the kinds.
        max_accuracy_drop: points of 100 that a file may be worse than the model; None for any.
        undecodable: as of `saved_model`.
    """

    kinds: tuple[str, ...] = ("saved_model", "float32")
    litertjs: str | os.PathLike | None = None
    max_accuracy_drop: float | None = None
    undecodable: str = "error"

    def check(self) -> None:
        """Refuse what cannot be done, before anything is.

        Raises:
            UserError: with what is wrong.
        """
        if self.litertjs is not None:
            litertjs_folder(self.litertjs)


def remove_exports(folder: pathlib.Path) -> None:
    """Remove what an earlier training left, whole or half-written, before its folder gets other weights."""
    left = (path for pattern in (".exporting-*", ".writing-*") for path in folder.glob(pattern))
    for path in (*(folder / name for name in (*FILES.values(), WEB, *_ABOUT)), *left):
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
