"""Calibrates the model of a run, and measures it on the images that its figures are reported of."""

import logging
from typing import TYPE_CHECKING, Any

import numpy as np

from keras_resnet.evaluation.metrics import MetricAccumulator, Scores
from keras_resnet.evaluation.temperature import at_temperature, fit_temperature
from keras_resnet.inference.predictor import Predictor
from keras_resnet.models.complexity import complexity
from keras_resnet.models.head import divide_logits

if TYPE_CHECKING:
    from collections.abc import Iterator

    import keras

    from keras_resnet.data.dataset import Split
    from keras_resnet.data.pipeline import Pipeline

_LOG = logging.getLogger(__name__)

# Of fewer images the temperature would be off by more than a tenth (one standard deviation).
MIN_IMAGES = 100
# Enough for two digits of the temperature, and no more than take minutes.
_MAX_IMAGES, _MAX_MACS, _ALWAYS = 10_000, 10_000_000_000_000, 2_000
_BATCH = 256
# Where the rounding of float32 changes a prediction, other temperatures are tried, this much higher each.
_STEP, _TRIALS = 1 + 2**-10, 4


def calibrate(model: "keras.Model", pipeline: "Pipeline") -> dict[str, float]:
    """Divides a model's logits by the temperature that suits the validation images (Guo et al. 2017).

    The most probable class stays the same for each of them. Logs what was done, or why nothing was.

    Args:
        model: in float32, changed in place.
        pipeline: images as the model takes them.

    Returns:
        `temperature` and `calibration_images`, their number; nothing where the model is as it was.
    """
    dataset = pipeline.dataset
    if dataset.validates_on_test:
        _LOG.info(
            "The probabilities are not calibrated: the validation images are those of the test split, "
            "which only measure."
        )
        return {}
    count = _sample_size(model, dataset.validation)
    if count < MIN_IMAGES:
        _LOG.info(
            "The probabilities are not calibrated: that takes %s validation images, and there are %s.",
            MIN_IMAGES,
            count,
        )
        return {}
    parts = [
        (logs, labels) for _, labels, _, logs in _predictions(model, pipeline, dataset.validation, count)
    ]
    logarithms, labels = (np.concatenate(part) for part in zip(*parts, strict=True))
    best = logarithms.argmax(axis=1)
    temperature = fit_temperature(logarithms, labels)
    if temperature is None:
        _LOG.info(
            "The probabilities are not calibrated: %s of %s validation images are classified correctly, "
            "which tells no temperature.",
            f"{int((best == labels).sum()):,}",
            f"{len(labels):,}",
        )
        return {}
    weights = model.get_weights()
    for _ in range(_TRIALS):
        divide_logits(model, temperature)
        after = [
            probabilities.argmax(axis=1)
            for _, _, probabilities, _ in _predictions(model, pipeline, dataset.validation, count)
        ]
        if (np.concatenate(after) == best).all():
            _LOG.info("Logits are divided by %.3f, of %s validation images.", temperature, f"{count:,}")
            return {"temperature": temperature, "calibration_images": count}
        model.set_weights(weights)
        temperature *= _STEP
    _LOG.warning(
        "The probabilities are not calibrated: rounding would change the most probable class of a validation "
        "image."
    )
    return {}


def measure(model: "keras.Model", pipeline: "Pipeline", temperature: float = 1.0) -> tuple[Scores, Scores]:
    """Measures a model on the test images, or on validation images where there are none.

    Args:
        temperature: by which the model's logits have been divided.

    Returns:
        What it scores, and what it would score without the division.
    """
    dataset = pipeline.dataset
    split = dataset.reported_split
    count = _sample_size(model, split) if dataset.test is None else split.size
    classes = len(dataset.class_names)
    now, before = MetricAccumulator(classes, worst=0), MetricAccumulator(classes, worst=0)
    for images, labels, probabilities, logarithms in _predictions(model, pipeline, split, count):
        indices, pictures = np.arange(len(labels)), list(images)
        now.add(indices, labels, probabilities, pictures, logarithms)
        undivided = at_temperature(logarithms, 1 / temperature)
        before.add(indices, labels, np.exp(undivided), pictures, undivided)
    return now.scores(), before.scores()


def calibrate_and_measure(
    model: "keras.Model", pipeline: "Pipeline", *, calibrated: bool, former: float = 1.0
) -> tuple[dict[str, Any], Scores]:
    """Calibrates a model if that is wanted, and measures it.

    Args:
        calibrated: whether to calibrate.
        former: temperature by which its logits have been divided before.

    Returns:
        Entries for the results in `run.json`, and all scores.
    """
    found = calibrate(model, pipeline) if calibrated else {}
    divided = found.get("temperature", 1.0)
    scores, before = measure(model, pipeline, divided)
    results: dict[str, Any] = {
        "measured_images": scores.images,
        "macro_f1": scores.macro_f1,
        "balanced_accuracy": scores.balanced_accuracy,
        "nll": scores.loss,
        "ece": scores.calibration_error,
    }
    if found:
        results |= {"nll_before": before.loss, "ece_before": before.calibration_error, **found}
    if divided * former != 1:
        results["temperature"] = divided * former
    return results, scores


def _sample_size(model: "keras.Model", split: "Split") -> int:
    most = min(_MAX_IMAGES, max(_ALWAYS, _MAX_MACS // complexity(model).macs))
    return min(most, split.size)


def _predictions(
    model: "keras.Model", pipeline: "Pipeline", split: "Split", count: int
) -> "Iterator[tuple[np.ndarray, ...]]":
    """Yields (images, labels, probabilities, their logarithms) of images of a split, always the same ones."""
    score: Any = Predictor.from_model(model).predict_fn
    with pipeline.decode_errors.translate():
        for images, labels in pipeline.sample_batches(split, count, _BATCH).as_numpy_iterator():
            yield images, labels, *score.score(images)
