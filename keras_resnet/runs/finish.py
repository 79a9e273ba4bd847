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
    from keras_resnet.evaluation.evaluator import top1_error
    from keras_resnet.runs.batch_norm import recompute_statistics
    from keras_resnet.runs.export_run import export_run

    dataset = pipeline.dataset
    if precise_bn:
        validation_error = recompute_statistics(model, pipeline, precise_bn)
    with atomic_write(folder / MODEL) as written:
        model.save(written)
    write_sidecars(folder.path, dataset.class_names, pipeline.transform.spec)
    results: dict[str, Any] = {"validation_error": validation_error, "seconds": seconds}
    if dataset.test is not None:
        with pipeline.decode_errors.translate():
            batches = pipeline.sample_batches(dataset.test, dataset.test.size, _TEST_BATCH)
            results["test_error"] = top1_error(model, batches.as_numpy_iterator())
    results["accuracy"] = 1 - results.get("test_error", validation_error)
    record = folder.record(results)
    try:
        with pipeline.decode_errors.translate():
            export_run(folder.path, record, model, pipeline, exports)
    finally:
        folder.finish(results)  # the training is done, whatever becomes of its files
    _LOG.info(
        "%s on %s: %.2f%% accuracy on the %s split after %s.",
        record.architecture.name,
        dataset.name,
        100 * results["accuracy"],
        "test" if dataset.test is not None else "validation",
        format_seconds(seconds),
    )
