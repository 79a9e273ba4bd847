"""What follows a training: the model is written, tested and exported, and its results are recorded."""

import logging
from typing import TYPE_CHECKING, Any

from keras_resnet._utils.atomic import atomic_write
from keras_resnet._utils.progress import format_seconds
from keras_resnet.data.dataset import Dataset
from keras_resnet.evaluation.metrics import Scores
from keras_resnet.inference.sidecars import write_sidecars
from keras_resnet.runs.config import TrainConfig
from keras_resnet.runs.multi_label import multi_label_results
from keras_resnet.runs.record import MODEL, RunFolder

if TYPE_CHECKING:
    import keras

    from keras_resnet.data.pipeline import Pipeline

_LOG = logging.getLogger(__name__)


def finish_run(
    folder: RunFolder,
    model: "keras.Model",
    pipeline: "Pipeline",
    config: TrainConfig,
    *,
    validation_error: float,
    seconds: float,
    epoch: int | None,
    epochs: int,
) -> None:
    """Writes the model, measures it on the test split, exports it, and records the results.

    Args:
        folder: of the run.
        model: as it was trained, in float32, of Keras' TensorFlow backend.
        pipeline: images as the model takes them.
        config: of the run: files to export, batch-norm statistics, calibration.
        validation_error: of the weights, 0 to 1.
        seconds: that the training took.
        epoch: that the weights are of, counted from 1; None where a callback has put in others.
        epochs: number of epochs that were trained.
    """
    from keras_resnet.runs.batch_norm import recompute_statistics
    from keras_resnet.runs.export_run import export_run

    dataset = pipeline.dataset
    if config.precise_bn:
        validation_error = recompute_statistics(model, pipeline, config.precise_bn)
    measured, thresholds = measured_results(model, pipeline, validation_error, calibrated=config.calibrate)
    with atomic_write(folder / MODEL) as written:
        model.save(written)
    write_sidecars(folder.path, dataset.class_names, pipeline.transform.spec, thresholds)
    results: dict[str, Any] = {"seconds": seconds, "epochs": epochs}
    if epoch is not None:
        results["epoch"] = epoch
    results |= measured
    record = folder.record(results)
    try:
        with pipeline.decode_errors.translate():
            export_run(folder.path, record, model, pipeline, config.exports())
    finally:
        folder.finish(results)  # the training is done, whatever becomes of its files
    split = record.reported_split
    if thresholds:
        name, reported, chosen = "mAP", results["mean_average_precision"], results["validation_map"]
    else:
        name, reported, chosen = "accuracy", results["accuracy"], 1 - results["validation_error"]
    figures = {split: reported, "validation": chosen}
    _LOG.info(
        "%s on %s: %s after %s.",
        record.architecture.name,
        pipeline.dataset.name,
        ", ".join(f"{100 * value:.2f}% {name} on the {split} split" for split, value in figures.items()),
        format_seconds(seconds),
    )


def measured_results(
    model: "keras.Model",
    pipeline: "Pipeline",
    validation_error: float,
    *,
    calibrated: bool,
    former: float = 1.0,
) -> tuple[dict[str, Any], tuple[float, ...] | None]:
    """Returns all that is measured of a run's finished model, and its thresholds.

    Args:
        model: calibrated here, if that is wanted; its weights may not depend on the test split.
        pipeline: images as the model takes them.
        validation_error: of the model, 0 to 1.
        calibrated, former: as of `calibrate_and_measure`. Models of several labels an image have thresholds
            instead, and are not calibrated.

    Returns:
        Entries for the results in `run.json`, and the thresholds of a model of several labels an image.
    """
    if pipeline.dataset.multi_label:
        return multi_label_results(model, pipeline)
    from keras_resnet.runs.calibration import calibrate_and_measure

    measured, scores = calibrate_and_measure(model, pipeline, calibrated=calibrated, former=former)
    return {**reported_results(pipeline.dataset, validation_error, scores), **measured}, None


def reported_results(dataset: Dataset, validation_error: float, scores: Scores) -> dict[str, Any]:
    """Returns a run's errors and the accuracy that it is known by.

    Args:
        dataset: of the run.
        validation_error: of the finished model, 0 to 1.
        scores: of the model on the test split, where there is one.

    Returns:
        `validation_error`, `test_error` where there is a test split, `accuracy`, and as `reported_split`
        "test" or "validation": which of them it is measured on.
    """
    results: dict[str, Any] = {"validation_error": validation_error, "reported_split": "validation"}
    if dataset.test is not None:
        results |= {"test_error": scores.top1_error, "reported_split": "test"}
    return {**results, "accuracy": 1 - results.get("test_error", validation_error)}
