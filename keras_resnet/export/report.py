"""The exported files beside the model they came from: same answers, how large, how fast."""

import dataclasses
import json
import os
import pathlib
import time
from collections.abc import Callable, Iterable, Mapping

import keras
import numpy as np

from keras_resnet.countdown import Countdown
from keras_resnet.errors import UserError
from keras_resnet.evaluation.metrics import confusion_matrix
from keras_resnet.evaluation.opened import open_model
from keras_resnet.files import atomic, files_in

# Above the rounding of float32 sums in another order, far below anything that changes an answer.
_EXACT, _EXACT_KINDS = 1e-3, ("saved_model", "float32")
_THREADS = (1, 2)
_RUNS, _SECONDS = 200, 1.0


@dataclasses.dataclass(frozen=True)
class Parity:
    """One file on the same images as the model.

    Args:
        file: name of the file or folder.
        size: in bytes.
        accuracy: share of images whose likeliest class is theirs, 0..1.
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
class Report:
    """What came of comparing.

    Args:
        data: what images.
        images: how many.
        accuracy: of the model on them, 0..1.
        confusion: how many images of each class the model took for which.
        files: one entry each.
    """

    data: str
    images: int
    accuracy: float
    confusion: np.ndarray
    files: tuple[Parity, ...]

    def worse(self, points: float) -> list[Parity]:
        """The files whose accuracy is lower than the model's by more than so many points of 100."""
        return [file for file in self.files if 100 * (self.accuracy - file.accuracy) > points + 1e-9]

    def write(self, path: str | os.PathLike) -> None:
        """Write the report as JSON, without the confusion matrix, whose size is the square of the classes."""
        told = {name: value for name, value in dataclasses.asdict(self).items() if name != "confusion"}
        with atomic(path) as written:
            pathlib.Path(written).write_text(json.dumps(told, indent=2) + "\n")


def compare(
    model: keras.Model,
    files: Mapping[str, pathlib.Path],
    batches: Iterable[tuple[np.ndarray, np.ndarray]],
    count: int,
    data: str,
    tell: Callable[[str], None] = lambda line: None,
) -> Report:
    """Run the model and its files over (images, labels) and compare.

    Args:
        files: by what they are: "saved_model", or a kind of `tflite`.
        batches: of uint8 images and integer labels.
        count: of images in all, for the estimate of what is left.
        data: what images they are.
        tell: takes a line about every ten seconds.

    Raises:
        UserError: a file gives NaN, or a file of float32 not the model's probabilities.
    """
    opened = {kind: open_model(file) for kind, file in files.items()}
    by_model: list[np.ndarray] = []
    by_file: dict[str, list[np.ndarray]] = {kind: [] for kind in opened}
    labels: list[np.ndarray] = []
    left = Countdown(count, tell)
    for images, some in batches:
        images = np.asarray(images)
        labels.append(np.asarray(some))
        by_model.append(np.asarray(model.predict_on_batch(images)))
        for kind, file in opened.items():
            by_file[kind].append(file.probabilities(images))
        left.add(len(some))
    truth, wanted = np.concatenate(labels), np.concatenate(by_model)
    best = wanted.argmax(axis=1)
    parities = [
        _parity(kind, files[kind], np.concatenate(given), wanted, truth) for kind, given in by_file.items()
    ]
    return Report(
        data=data,
        images=len(truth),
        accuracy=float(np.mean(best == truth)),
        confusion=confusion_matrix(truth, best, wanted.shape[1]),
        files=tuple(parities),
    )


def _parity(
    kind: str, path: pathlib.Path, given: np.ndarray, wanted: np.ndarray, truth: np.ndarray
) -> Parity:
    difference = float(np.abs(given - wanted).max())
    # Written so that a NaN, which is no difference at all, fails as well.
    if not difference <= (_EXACT if kind in _EXACT_KINDS else 1.0):
        raise UserError(
            f"{path.name} differs from the model by {difference:.2g} in a probability: it is another net's "
            "or wrong; remove it or export it again."
        )
    best = given.argmax(axis=1)
    return Parity(
        file=path.name,
        size=sum(file.stat().st_size for file in files_in(path)),
        accuracy=float(np.mean(best == truth)),
        agreement=float(np.mean(best == wanted.argmax(axis=1))),
        difference=difference,
        milliseconds={} if path.is_dir() else {str(n): latency(path, n) for n in _THREADS},
    )


def latency(path: str | os.PathLike, threads: int) -> float:
    """Median milliseconds of one invocation of a TFLite file, of 200 or as many as fit into a second."""
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
