"""Compares exported files with the model they came from: predictions, size, speed."""

import dataclasses
import json
import logging
import os
import pathlib
import time
from collections.abc import Iterable, Mapping

import keras
import numpy as np

from keras_resnet._utils.atomic import atomic_write, files_in
from keras_resnet._utils.progress import ProgressLogger
from keras_resnet.errors import UserError
from keras_resnet.evaluation.metrics import confusion_matrix
from keras_resnet.evaluation.multi_label import predict_labels
from keras_resnet.export.config import SAVED_MODEL, TFLITE
from keras_resnet.inference.predictor import load_predictor
from keras_resnet.models.head import probability_model

# Above the rounding of float32 sums in another order, far below anything that changes a prediction.
_EXACT, _EXACT_KINDS = 1e-3, (SAVED_MODEL, TFLITE)
_THREADS = (1, 2)
_RUNS, _SECONDS = 200, 1.0

_LOG = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True)
class FileComparison:
    """One file on the same images as the model.

    Args:
        file: name of the file or folder.
        size: in bytes.
        accuracy: share of images whose likeliest class is right, 0..1.
        agreement: share of images whose likeliest class is the model's, 0..1.
        difference: largest difference of a probability from the model's.
        milliseconds: median time of one image by number of threads, for TFLite files.
    """

    file: str
    size: int
    accuracy: float
    agreement: float
    difference: float
    milliseconds: dict[str, float]


@dataclasses.dataclass(frozen=True)
class RejectedFile:
    """A file that was not put in place.

    Args:
        file: name of the file or folder.
        kind: of `export.config.FILES`.
        accuracy: share of images whose likeliest class is right, 0..1.
        reason: why, as a sentence.
    """

    file: str
    kind: str
    accuracy: float
    reason: str


@dataclasses.dataclass(frozen=True)
class Report:
    """The result of a comparison.

    Args:
        data: which images were used.
        images: number of them.
        accuracy: of the model on them, 0..1.
        confusion: images of each class (rows) by class that the model predicts (columns); None where the
            report was read from its file, and for several labels an image.
        files: one entry for each file.
        rejected: files that were made and not put in place.
    """

    data: str
    images: int
    accuracy: float
    confusion: np.ndarray | None
    files: tuple[FileComparison, ...]
    rejected: tuple[RejectedFile, ...] = ()

    def below(self, points: float) -> list[FileComparison]:
        """Returns the files that lose more than so many percentage points of the model's accuracy."""
        return [file for file in self.files if 100 * (self.accuracy - file.accuracy) > points + 1e-9]

    def write(self, path: str | os.PathLike) -> None:
        """Writes the report as JSON.

        Without the confusion matrix, whose size is the square of the number of classes.
        """
        values = {name: value for name, value in dataclasses.asdict(self).items() if name != "confusion"}
        with atomic_write(path) as written:
            pathlib.Path(written).write_text(json.dumps(values, indent=2) + "\n")


def read_report(path: str | os.PathLike) -> Report:
    """Reads a report that `Report.write` wrote, without its confusion matrix.

    Raises:
        UserError: it cannot be read.
    """
    try:
        values = json.loads(pathlib.Path(path).read_text())
        files = tuple(FileComparison(**file) for file in values.pop("files"))
        rejected = tuple(RejectedFile(**file) for file in values.pop("rejected"))
        return Report(**values, confusion=None, files=files, rejected=rejected)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise UserError("cannot be read; export again to write it.", value=path) from error


def compare(
    model: keras.Model,
    files: Mapping[str, pathlib.Path],
    batches: Iterable[tuple[np.ndarray, np.ndarray]],
    num_images: int,
    data: str,
    thresholds: tuple[float, ...] | None = None,
) -> Report:
    """Runs the model and its files on the same images and compares their probabilities.

    Args:
        files: by kind, a key of `export.config.FILES`.
        batches: of uint8 images and integer labels.
        num_images: in all batches, to estimate the time left.
        data: which images they are, for the report.
        thresholds: of a model of several labels an image. Labels of the batches are then vectors, accuracy
            and agreement shares of labels, and there is no confusion matrix.

    Raises:
        UserError: a file gives NaN, or one in float32 gives other probabilities than the model.
    """
    model = probability_model(model)
    predictors = {kind: load_predictor(file) for kind, file in files.items()}
    by_model: list[np.ndarray] = []
    by_file: dict[str, list[np.ndarray]] = {kind: [] for kind in predictors}
    labels: list[np.ndarray] = []
    progress = ProgressLogger(num_images, log=_LOG.info)
    for images, batch_labels in batches:
        images = np.asarray(images)
        labels.append(np.asarray(batch_labels))
        by_model.append(np.asarray(model.predict_on_batch(images)))
        for kind, predictor in predictors.items():
            by_file[kind].append(predictor.predict_fn(images))
        progress.add(len(batch_labels))
    truth, expected = np.concatenate(labels), np.concatenate(by_model)
    if thresholds is None:
        confusion = confusion_matrix(truth, expected.argmax(axis=1), expected.shape[1])
    else:
        confusion, truth = None, truth > 0.5
    return Report(
        data=data,
        images=len(truth),
        accuracy=float(np.mean(_answers(expected, thresholds) == truth)),
        confusion=confusion,
        files=tuple(
            _compare_file(kind, files[kind], np.concatenate(probabilities), expected, truth, thresholds)
            for kind, probabilities in by_file.items()
        ),
    )


def _answers(probabilities: np.ndarray, thresholds: tuple[float, ...] | None) -> np.ndarray:
    """Returns the class of each image, (N,), or whether it has each label, (N, classes)."""
    return probabilities.argmax(axis=1) if thresholds is None else predict_labels(probabilities, thresholds)


def _compare_file(
    kind: str,
    path: pathlib.Path,
    probabilities: np.ndarray,
    expected: np.ndarray,
    truth: np.ndarray,
    thresholds: tuple[float, ...] | None,
) -> FileComparison:
    difference = float(np.abs(probabilities - expected).max())
    # Written so that NaN, which compares false, fails as well.
    if not difference <= (_EXACT if kind in _EXACT_KINDS else 1.0):
        raise UserError(
            f"its probabilities differ from the model's by {difference:.2g}: it is a file of another model "
            "or damaged; remove it or export it again.",
            value=path.name,
        )
    answers = _answers(probabilities, thresholds)
    return FileComparison(
        file=path.name,
        size=sum(file.stat().st_size for file in files_in(path)),
        accuracy=float(np.mean(answers == truth)),
        agreement=float(np.mean(answers == _answers(expected, thresholds))),
        difference=difference,
        milliseconds={} if path.is_dir() else {str(n): latency(path, n) for n in _THREADS},
    )


def latency(path: str | os.PathLike, threads: int) -> float:
    """Measures the median milliseconds of one invocation of a TFLite file.

    Of 200 invocations, or as many as fit into one second.
    """
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(os.fspath(path), num_threads=threads)
    interpreter.allocate_tensors()
    interpreter.invoke()
    times: list[float] = []
    start = time.perf_counter()
    while len(times) < _RUNS and (len(times) < 5 or time.perf_counter() - start < _SECONDS):
        before = time.perf_counter()
        interpreter.invoke()
        times.append(time.perf_counter() - before)
    return 1000 * float(np.median(times))
