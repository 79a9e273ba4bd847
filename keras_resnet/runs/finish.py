"""What follows a training: the model is written, tested and exported, and its results are recorded."""

import logging
from typing import TYPE_CHECKING, Any

from keras_resnet._utils.atomic import atomic_write
from keras_resnet._utils.progress import format_seconds
from keras_resnet.export.config import ExportConfig
from keras_resnet.inference.sidecars import write_sidecars
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
    write_sidecars(folder.path, pipeline.dataset.class_names, pipeline.transform.spec)
    results = {"seconds": seconds, **reported_results(model, pipeline, validation_error)}
    record = folder.record(results)
    try:
        with pipeline.decode_errors.translate():
            export_run(folder.path, record, model, pipeline, exports)
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


def reported_results(model: "keras.Model", pipeline: "Pipeline", validation_error: float) -> dict[str, Any]:
    """Returns a run's errors and the accuracy that it is known by; reads the test split, if there is one.

    Args:
        model: finished: its weights may not depend on the test split.
        pipeline: images as the model takes them.
        validation_error: of this model, 0 to 1.

    Returns:
        `validation_error`, `test_error` where there is a test split, `accuracy`, and as `reported_split`
        "test" or "validation": which of them it is measured on.
    """
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
