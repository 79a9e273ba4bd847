"""What follows a training: the model is written, tested and exported, and its results are recorded."""

import logging
from typing import TYPE_CHECKING, Any

from keras_resnet._utils.atomic import atomic_write
from keras_resnet._utils.progress import format_seconds
from keras_resnet.data.dataset import Dataset
from keras_resnet.evaluation.metrics import Scores
from keras_resnet.inference.sidecars import write_sidecars
from keras_resnet.runs.config import TrainConfig
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
    from keras_resnet.runs.calibration import calibrate_and_measure
    from keras_resnet.runs.export_run import export_run

    dataset = pipeline.dataset
    if config.precise_bn:
        validation_error = recompute_statistics(model, pipeline, config.precise_bn)
    measured, scores = calibrate_and_measure(model, pipeline, calibrated=config.calibrate)
    with atomic_write(folder / MODEL) as written:
        model.save(written)
    write_sidecars(folder.path, dataset.class_names, pipeline.transform.spec)
    results: dict[str, Any] = {"seconds": seconds, "epochs": epochs}
    if epoch is not None:
        results["epoch"] = epoch
    results |= {**reported_results(dataset, validation_error, scores), **measured}
    record = folder.record(results)
    try:
        with pipeline.decode_errors.translate():
            export_run(folder.path, record, model, pipeline, config.exports())
    finally:
        folder.finish(results)  # the training is done, whatever becomes of its files
    split = record.reported_split
    accuracies = {split: results["accuracy"], "validation": 1 - results["validation_error"]}
    _LOG.info(
        "%s on %s: %s after %s.",
        record.architecture.name,
        pipeline.dataset.name,
        ", ".join(f"{100 * value:.2f}% accuracy on the {name} split" for name, value in accuracies.items()),
        format_seconds(seconds),
    )


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
