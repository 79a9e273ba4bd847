"""What follows a training: the model is written, tested and exported, and its results are recorded."""

import logging
from typing import TYPE_CHECKING, Any

from keras_resnet._utils.atomic import atomic_write
from keras_resnet._utils.progress import format_seconds
from keras_resnet.export.config import ExportConfig
from keras_resnet.inference.sidecars import write_sidecars
from keras_resnet.runs.multi_label import choose_thresholds, multi_label_results
from keras_resnet.runs.record import MODEL, RunFolder

if TYPE_CHECKING:
    import keras

    from keras_resnet.data.pipeline import Pipeline

_LOG = logging.getLogger(__name__)
_TEST_BATCH = 256


def finish_run(
    folder: RunFolder,
    model: "keras.Model",
    pipeline: "Pipeline",
    exports: ExportConfig,
    *,
    precise_bn: int | None,
    validation_error: float,
    seconds: float,
) -> None:
    """Writes the model, measures it on the test split, exports it, and records the results.

    Args:
        folder: of the run.
        model: as it was trained, in float32, of Keras' TensorFlow backend.
        pipeline: images as the model takes them.
        exports: files to export.
        precise_bn: number of images over which its batch-norm statistics are recomputed first, or None.
        validation_error: after the training, 0 to 1.
        seconds: that the training took.
    """
    from keras_resnet.runs.batch_norm import recompute_statistics
    from keras_resnet.runs.export_run import export_run

    if precise_bn:
        validation_error = recompute_statistics(model, pipeline, precise_bn)
    with atomic_write(folder / MODEL) as written:
        model.save(written)
    thresholds = choose_thresholds(model, pipeline) if pipeline.dataset.multi_label else None
    write_sidecars(folder.path, pipeline.dataset.class_names, pipeline.transform.spec, thresholds)
    results = {"seconds": seconds, **reported_results(model, pipeline, validation_error, thresholds)}
    record = folder.record(results)
    try:
        with pipeline.decode_errors.translate():
            export_run(folder.path, record, model, pipeline, exports)
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


def reported_results(
    model: "keras.Model",
    pipeline: "Pipeline",
    validation_error: float,
    thresholds: tuple[float, ...] | None = None,
) -> dict[str, Any]:
    """Returns a run's errors and the accuracy that it is known by; reads the test split, if there is one.

    Args:
        model: finished: its weights may not depend on the test split.
        pipeline: images as the model takes them.
        validation_error: of this model, 0 to 1.
        thresholds: of a model of several labels an image.

    Returns:
        `validation_error`, `test_error` where there is a test split, `accuracy`, and as `reported_split`
        "test" or "validation": which of them it is measured on. With thresholds, those of
        `multi_label_results`.
    """
    if thresholds:
        return multi_label_results(model, pipeline, thresholds)
    from keras_resnet.evaluation.evaluator import top1_error

    test = pipeline.dataset.test
    if test is None:
        return {
            "validation_error": validation_error,
            "accuracy": 1 - validation_error,
            "reported_split": "validation",
        }
    with pipeline.decode_errors.translate():
        batches = pipeline.sample_batches(test, test.size, _TEST_BATCH)
        test_error = top1_error(model, batches.as_numpy_iterator())
    return {
        "validation_error": validation_error,
        "test_error": test_error,
        "accuracy": 1 - test_error,
        "reported_split": "test",
    }
