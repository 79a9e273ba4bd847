"""What several commands print: the report on exported files, and the files of a run."""

import pathlib
from typing import TYPE_CHECKING

from keras_resnet._utils.atomic import files_in
from keras_resnet.errors import UserError

if TYPE_CHECKING:
    from keras_resnet.export.compare import Report

_FILES = {
    "README.md": "the model's card",
    "curves.png": "loss and error against epochs",
    "confusion.png": "which class is taken for which",
    "history.csv": "the curves as numbers",
    "report.json": "the table above as numbers",
    "checkpoints": "to resume the training",
    "model.keras": "to go on in Keras",
    "labels.txt": "class names in the order of the outputs",
    "preprocessing.json": "how images are prepared for the model",
    "thresholds.json": "from which probability on an image has each label",
    "saved_model": "for servers; needs TensorFlow alone",
    "model.tflite": "for phones",
    "model_float16.tflite": "for phones, half the size",
    "model_dynamic.tflite": "for phones, a quarter of the size, computes in floats",
    "model_int8.tflite": "for phones, a quarter of the size, computes in integers",
    "web": "a page that runs the model in the browser",
}


def print_report(report: "Report", folder: pathlib.Path) -> None:
    """Prints the report's table and the files of the folder.

    Raises:
        UserError: files were rejected, as they lost too much accuracy.
    """
    print(
        f"On {report.images:,} images ({report.data}) the Keras model has {100 * report.accuracy:.2f}% "
        "accuracy:"
    )
    print(f"  {'file':22}{'accuracy':>9}{'agreement':>11}{'difference':>12}{'ms (1, 2 threads)':>20}")
    for file in report.files:
        times = ", ".join(f"{time:.2f}" for time in file.milliseconds.values())
        shares = f"{100 * file.accuracy:8.2f}%{100 * file.agreement:10.2f}%"
        print(f"  {file.file:22}{shares}{file.difference:12.1e}{times:>20}")
    print(f"\n{folder}/")
    for name, what in _FILES.items():
        if (folder / name).exists():
            print(f"  {name:22}{_size(folder / name):>10}  {what}")
    if report.rejected:
        reasons = " ".join(f"{file.file} was rejected: {file.reason}" for file in report.rejected)
        raise UserError(f"{reasons} The other files are in {folder}.", parameter="max_accuracy_drop")


def _size(path: pathlib.Path) -> str:
    size = sum(file.stat().st_size for file in files_in(path))
    return f"{size / 1e6:.2f} MB" if size >= 1e5 else f"{size / 1e3:.1f} kB"
