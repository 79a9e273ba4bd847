"""Evaluates one model or several in one pass over labeled images (section 3.4)."""

import dataclasses
import logging
import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from keras_resnet._utils.progress import ProgressLogger
from keras_resnet.data.dataset import Split
from keras_resnet.data.decode_errors import DecodeErrors
from keras_resnet.data.input_spec import NORMALIZATION_KINDS, VIEWS, TestViews, default_scales
from keras_resnet.data.test_views import Batch, iterate_views
from keras_resnet.errors import UserError
from keras_resnet.evaluation.checks import ENSEMBLE, check_labels, check_models, ensemble_shares
from keras_resnet.evaluation.metrics import MetricAccumulator, Scores
from keras_resnet.evaluation.multi_view import make_score_fn
from keras_resnet.inference.predictor import Predictor
from keras_resnet.training.checkpoint import Checkpoints

# Images of one batch: so many pixels in all their views, but no more images than that.
_MAX_BATCH_PIXELS, _MAX_BATCH, _MAX_BATCH_OF_SEVERAL_SHAPES = 4 * 2**20, 256, 32

_LOG = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True)
class Evaluation:
    """The result of evaluating a model, or an ensemble of models.

    Args:
        scores: all figures.
        images_per_second: throughput of the model alone, without reading and decoding. The first batch takes
            longer and is left out where there are more.
    """

    scores: Scores
    images_per_second: float

    @property
    def error(self) -> float:
        """Top-1 error, 0..1."""
        return self.scores.top1_error

    @property
    def accuracy(self) -> float:
        """Top-1 accuracy, 0..1."""
        return 1 - self.scores.top1_error

    @property
    def top5_error(self) -> float | None:
        """Top-5 error, 0..1; None for up to five classes."""
        return self.scores.top5_error

    @property
    def loss(self) -> float:
        """Mean cross-entropy."""
        return self.scores.loss

    @property
    def calibration_error(self) -> float:
        """Expected calibration error, 0..1, as of `Scores`."""
        return self.scores.calibration_error


def evaluate(
    models: Mapping[str, Predictor],
    images: Split | tf.data.Dataset,
    *,
    views: str = "center",
    scales: Sequence[int] = (),
    hflip: bool = True,
    ensemble_weights: Sequence[float] = (),
    decode_errors: DecodeErrors | None = None,
    checkpoints: Checkpoints | None = None,
) -> dict[str, Evaluation]:
    """Evaluates models on labeled images, and several models together as an ensemble.

    The ensemble averages their probabilities (section 4.1). Its models may differ in depth, input and format,
    and each takes the images as its `spec` says. Every image is read once.

    Args:
        models: by name; of the same classes.
        images: (image, label), one at a time: an encoded file or pixels (H, W, C) uint8, of any sizes.
        views: of each image: "center", "ten_crop" or "multi_scale", as of `TestViews`.
        scales: for "multi_scale", shorter sides in pixels; by default the paper's, in proportion to a model's
            size.
        hflip: whether "ten_crop" and "multi_scale" average over horizontally flipped views as well.
        ensemble_weights: one for each model; by default all equal.
        decode_errors: what happens to images that cannot be decoded; by default the first one raises.
        checkpoints: where counts are saved now and then, and restored from at the start; clear it when the
            results are safe.

    Returns:
        The result of each model by its name and, of several, that of the "ensemble".

    Raises:
        UserError: models, weights, views and images do not fit each other, or an image cannot be decoded.
    """
    split = images if isinstance(images, Split) else _as_split(images)
    if views not in VIEWS:
        raise UserError(f"must be one of {', '.join(VIEWS)}.", parameter="views", value=views)
    check_models(models, split)
    shares = ensemble_shares(ensemble_weights, models)
    views_of = {name: _test_views(predictor, views, scales) for name, predictor in models.items()}
    score = {
        name: make_score_fn(predictor, views_of[name], hflip=hflip) for name, predictor in models.items()
    }
    distinct = tuple(dict.fromkeys(views_of.values()))
    classes = len(next(iter(models.values())).class_names)
    names = [*models, ENSEMBLE] if len(models) > 1 else list(models)
    accumulators = {name: MetricAccumulator(classes) for name in names}
    clocks = {name: _Clock() for name in names}
    start = _restore(checkpoints, accumulators)
    progress = ProgressLogger(split.size - start, log=_LOG.info)
    for batch in iterate_views(
        split, distinct, _batch_size(distinct), decode_errors or DecodeErrors(), start
    ):
        labels = batch.labels
        check_labels(labels, classes, split)
        views_by_kind = dict(zip(distinct, batch.views, strict=True))
        pictures = _pictures(batch.views[0], distinct[0].kind)
        average, seconds = np.zeros((len(labels), classes), "float32"), 0.0
        log_average = np.full((len(labels), classes), -np.inf)
        for name, share in zip(models, shares, strict=True):
            before = time.perf_counter()
            probabilities, logarithms = score[name](views_by_kind[views_of[name]])
            elapsed = time.perf_counter() - before
            seconds += elapsed
            clocks[name].add(len(labels), elapsed)
            _accumulate(accumulators[name], name, batch, probabilities, logarithms, pictures)
            average += share * probabilities
            log_average = np.logaddexp(log_average, np.log(share) + logarithms)
        if ENSEMBLE in accumulators:
            clocks[ENSEMBLE].add(len(labels), seconds)
            _accumulate(accumulators[ENSEMBLE], ENSEMBLE, batch, average, log_average, pictures)
        progress.add(len(labels))
        if checkpoints is not None and checkpoints.due():
            _save(checkpoints, accumulators, batch.done)
    if not accumulators[names[0]].images:
        raise UserError("the split has no images to evaluate on.", parameter="images", value=split.name)
    return {name: Evaluation(accumulators[name].scores(), clocks[name].images_per_second) for name in names}


def top1_error(model: keras.Model, batches: Iterable[tuple[np.ndarray, np.ndarray]]) -> float:
    """Returns the top-1 error of a model, or its share of wrong labels at 0.5, 0..1.

    Args:
        batches: (images as the model takes them, labels); vectors of labels, (n, classes), of a model of
            several labels an image.

    Raises:
        UserError: there are no images.
    """
    predict = Predictor.from_model(model).predict_fn
    wrong, count = 0, 0
    for images, labels in batches:
        probabilities = predict(images)
        answers = probabilities > 0.5 if labels.ndim == 2 else probabilities.argmax(axis=1)
        wrong += int((answers != labels).sum())
        count += labels.size
    if not count:
        raise UserError("must yield at least one image.", parameter="batches")
    return wrong / count


def _save(checkpoints: Checkpoints, accumulators: Mapping[str, MetricAccumulator], done: int) -> None:
    arrays = {
        f"{number}/{key}": array
        for number, accumulator in enumerate(accumulators.values())
        for key, array in accumulator.arrays().items()
    }
    checkpoints.save(done, arrays, {"images": done})


def _restore(checkpoints: Checkpoints | None, accumulators: Mapping[str, MetricAccumulator]) -> int:
    """Restores the counts of the latest checkpoint; returns how many images of the split they are of."""
    found = None if checkpoints is None else checkpoints.latest()
    if found is None:
        return 0
    for number, accumulator in enumerate(accumulators.values()):
        prefix = f"{number}/"
        accumulator.restore(
            {key.removeprefix(prefix): array for key, array in found.arrays.items() if key.startswith(prefix)}
        )
    return found.meta["images"]


def _as_split(images: tf.data.Dataset) -> Split:
    size = int(images.cardinality())
    if size < 0:
        raise UserError(
            "must know its number of elements; set it by "
            "dataset.apply(tf.data.experimental.assert_cardinality(n)).",
            parameter="images",
        )

    def read(key, start=0, step=1):
        del key  # they come in their own order
        part = images.enumerate().skip(start).shard(step, 0)
        return part.map(lambda index, example: (index, example[0], tf.cast(example[1], tf.int64)))

    return Split("the dataset", size, read, lambda index: f"image {index}")


def _test_views(predictor: Predictor, kind: str, scales: Sequence[int]) -> TestViews:
    # Models that differ in what does not change the views share them.
    spec = dataclasses.replace(predictor.spec, normalization=NORMALIZATION_KINDS[0])
    if kind == "multi_scale":
        return TestViews(kind, spec, tuple(scales) or default_scales(spec.size))
    return TestViews(kind, spec)


def _batch_size(views: Sequence[TestViews]) -> int:
    """Returns how many images to read at a time, so that their views fit into memory."""
    views_per_image = {"center": 1, "ten_crop": 10, "multi_scale": 0}
    pixels = sum(views_per_image[view.kind] * view.spec.size**2 for view in views)
    # Of images at several scales, those of equal shape go through the model together: among so many there are
    # enough of them.
    most = _MAX_BATCH_OF_SEVERAL_SHAPES if any(view.scales for view in views) else _MAX_BATCH
    return max(1, min(most, _MAX_BATCH_PIXELS // max(pixels, 1)))


def _pictures(views: Any, kind: str) -> Sequence[np.ndarray]:
    """Returns a square picture of each image, for drawings of mistakes."""
    if kind == "center":
        return views
    if kind == "ten_crop":
        return views[:, -1]
    return [_square(image) for image in views[0]]


def _square(image: np.ndarray) -> np.ndarray:
    height, width = image.shape[:2]
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    return image[top : top + side, left : left + side]


def _accumulate(
    accumulator: MetricAccumulator,
    name: str,
    batch: Batch,
    probabilities: np.ndarray,
    logarithms: np.ndarray,
    pictures: Sequence[np.ndarray],
) -> None:
    try:
        accumulator.add(batch.indices, batch.labels, probabilities, pictures, logarithms)
    except ValueError as error:
        raise UserError(
            "it gives NaN or infinite probabilities for an image; leave it out, or train it again.",
            parameter="models",
            value=name,
        ) from error


class _Clock:
    """Measures images per second, as of `Evaluation`."""

    def __init__(self):
        self._batches: list[tuple[int, float]] = []

    def add(self, images: int, seconds: float) -> None:
        self._batches.append((images, seconds))

    @property
    def images_per_second(self) -> float:
        measured = self._batches[1:] or self._batches
        if not measured:
            return 0.0  # all were counted before
        images, seconds = map(sum, zip(*measured, strict=True))
        return images / seconds
