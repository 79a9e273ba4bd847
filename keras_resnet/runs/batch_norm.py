"""Exact batch-norm statistics for a run, after its training or as a run of their own."""

import logging
import shutil
from typing import TYPE_CHECKING

from keras_resnet._utils.atomic import atomic_write, sha256
from keras_resnet._utils.environment import prepare
from keras_resnet._utils.lock import lock_folder
from keras_resnet.errors import UserError
from keras_resnet.export.config import FILES, ExportConfig, remove_exports
from keras_resnet.inference.labels import LABELS
from keras_resnet.inference.sidecars import PREPROCESSING, write_sidecars
from keras_resnet.runs.data_options import DataOptions
from keras_resnet.runs.record import CURVES, HISTORY, MODEL, RunFolder

if TYPE_CHECKING:
    import keras

    from keras_resnet.data.pipeline import Pipeline
    from keras_resnet.runs.run import Run

_LOG = logging.getLogger(__name__)
_BATCH, _VALIDATION_BATCH = 64, 256
_COPIED = (LABELS, PREPROCESSING, HISTORY, CURVES)


def recompute_statistics(model: "keras.Model", pipeline: "Pipeline", num_images: int) -> float:
    """Sets a model's batch-norm statistics to those of this many training images.

    Returns:
        The validation error afterwards, 0 to 1.
    """
    from keras_resnet.evaluation.batch_norm import estimate_memory, precise_batch_norm
    from keras_resnet.evaluation.evaluator import top1_error

    _LOG.info(
        "Recomputing batch-norm statistics over %s training images, which takes %.1f GiB of memory.",
        f"{num_images:,}",
        estimate_memory(model, num_images) / 2**30,
    )
    with pipeline.decode_errors.translate():
        batches = pipeline.sample_batches(pipeline.dataset.train, num_images, _BATCH).as_numpy_iterator()
        precise_batch_norm(model, [images for images, _ in batches])
        return top1_error(model, pipeline.validation_batches(_VALIDATION_BATCH).as_numpy_iterator())


def recompute_batch_norm(
    run: "Run", num_images: int, *, run_name: str | None = None, options: DataOptions | None = None
) -> "Run":
    """A new run next to a finished one: the same weights, exact statistics, the same kinds of files.

    Raises:
        UserError: the dataset has fewer images, a file of the run is missing, or the new folder is taken.
    """
    from keras_resnet.runs.run import Run

    folder, record = run.path.resolve(), run.record
    if num_images < 1:
        raise UserError("must be at least 1.", parameter="num_images", value=num_images)
    missing = [name for name in _COPIED if not (folder / name).is_file()]
    if missing:
        raise UserError(f"lacks {missing[0]}, which a finished run has; train it again.", value=run.path)
    dataset = run.load_dataset(None, options)
    if num_images > dataset.train.size:
        raise UserError(
            f"is more than the {dataset.train.size:,} training images of {dataset.name}.",
            parameter="num_images",
            value=num_images,
        )
    settings = {
        **record.settings,
        "training": {**record.settings["training"], "precise_bn": num_images},
        "precise_bn_of": sha256(folder / MODEL)[:12],
    }
    command = f"{record.metadata['command']}; keras-resnet precise_bn --num_images={num_images}"
    made = RunFolder(
        folder.parent,
        run_name or f"{folder.name}-precise_bn",
        record.config,
        settings,
        {**record.metadata, "command": command},
    )
    if made.path == folder:
        raise UserError(
            "is the run itself, which stays as it is; use another name.", parameter="run_name", value=run_name
        )
    prepare()
    made.check()
    with lock_folder(made.path, "run_name"):
        _recompute_into(made, run, run.pipeline(dataset, options), num_images)
    return Run.open(made.path)


def _recompute_into(made: RunFolder, run: "Run", pipeline: "Pipeline", num_images: int) -> None:
    from keras_resnet.inference.keras_file import load_keras
    from keras_resnet.runs.export_run import export_run
    from keras_resnet.runs.finish import measured_results

    folder = run.path.resolve()
    model = load_keras(folder / MODEL)
    before = run.metrics["validation_error"]
    after = recompute_statistics(model, pipeline, num_images)
    _LOG.info(
        "Validation error %.2f%% with moving averages, %.2f%% with precise statistics.",
        100 * before,
        100 * after,
    )
    former = run.metrics.get("temperature")
    measured, thresholds = measured_results(
        model, pipeline, after, calibrated=former is not None, former=former or 1.0
    )
    made.start()
    remove_exports(made.path)
    with atomic_write(made / MODEL) as written:
        model.save(written)
    for name in _COPIED:
        with atomic_write(made / name) as written:
            shutil.copy(folder / name, written)
    write_sidecars(made.path, pipeline.dataset.class_names, pipeline.transform.spec, thresholds)
    results = {name: run.metrics[name] for name in ("seconds", "epoch", "epochs") if name in run.metrics}
    results |= measured
    kinds = tuple(kind for kind, name in FILES.items() if (folder / name).exists() and kind != "web")
    with pipeline.decode_errors.translate():
        export_run(made.path, made.record(results), model, pipeline, ExportConfig(kinds))
    made.finish(results)
