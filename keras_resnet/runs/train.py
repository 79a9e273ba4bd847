"""`keras_resnet.train`: from a configuration to a finished run, interrupted and resumed at any time."""

import contextlib
import logging
import shutil
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from keras_resnet._utils.environment import keras_backend, prepare_training
from keras_resnet._utils.lock import lock_folder
from keras_resnet.data.leaks import warn_of_leaks
from keras_resnet.errors import UserError
from keras_resnet.export.config import remove_exports
from keras_resnet.runs.class_weight import class_weights
from keras_resnet.runs.config import BEST, RESUME, TrainConfig
from keras_resnet.runs.options import make_config
from keras_resnet.runs.precision import log_fast_bfloat16
from keras_resnet.runs.record import CURVES, HISTORY, TENSORBOARD, load_finished_run
from keras_resnet.runs.resolve import TrainJob, resolve
from keras_resnet.runs.run import Run
from keras_resnet.training.cluster import CLUSTER_STRATEGIES, find_cluster

if TYPE_CHECKING:
    import keras

    from keras_resnet.runs.build import Built
    from keras_resnet.training.loop import TrainState

_LOG = logging.getLogger(__name__)


def train(
    config: TrainConfig | None = None,
    *,
    resume: str = "auto",
    callbacks: "Sequence[keras.callbacks.Callback] | None" = None,
    **fields: Any,
) -> Run:
    """Trains a model, exports it, and writes its card; from the last checkpoint on where there is one.

    `train(TrainConfig(dataset="photos/", depth=18))` and `train(dataset="photos/", depth=18)` are the same
    call, and the same run as `keras-resnet train --dataset=photos/ --depth=18`: either resumes the other's. A
    run that was finished before is returned as it is.

    Args:
        config: the training; by default all defaults.
        resume: "auto" resumes from the last checkpoint if there is one, "never" starts again, and "must"
            refuses to start again.
        callbacks: Keras callbacks, in addition to those that write history and curves and print progress.
        fields: fields of `TrainConfig`, which win over those of `config`.

    Returns:
        The finished run. Exported files that lost more than `max_accuracy_drop` are in `run.report.rejected`.

    Raises:
        UserError: the configuration cannot be used, another process trains this run, or the loss became NaN
            or infinite.
        Interrupted: by SIGINT or SIGTERM; the state was saved, and the same call resumes.
    """
    config = make_config(TrainConfig, config, fields)
    if resume not in RESUME:
        raise UserError(f"must be one of {', '.join(RESUME)}.", parameter="resume", value=resume)
    job = resolve(config)
    cluster = find_cluster() if config.strategy in CLUSTER_STRATEGIES else None
    environment = prepare_training()
    if keras_backend() != "tensorflow":
        from keras_resnet.runs.tensorflow_process import check_dataset_can_be_passed

        check_dataset_can_be_passed(config)
    job.folder.check()
    # All workers of a cluster share the folder, and only the chief writes to it.
    is_chief = cluster is None or cluster.is_chief
    with lock_folder(job.folder.path, "run_name") if is_chief else contextlib.nullcontext():
        return _train_in_folder(job, environment, resume, callbacks or ())


def _train_in_folder(
    job: TrainJob, environment: str, resume: str, callbacks: "Sequence[keras.callbacks.Callback]"
) -> Run:
    """Trains in the run's folder, which no other process uses."""
    folder = job.folder
    results = folder.results()
    if results is not None and resume != "never":
        record = folder.record(results)
        _LOG.info(
            "%s is this run, finished with %s on the %s split. To train it again, use resume=never or "
            "another run_name.",
            folder.path,
            record.headline,
            record.reported_split,
        )
        return Run.open(folder.path)
    if resume == "must" and not job.checkpoints.any_valid():
        raise UserError(
            f"{job.checkpoints.folder} holds no valid checkpoint; use resume=auto to start from the "
            "beginning.",
            parameter="resume",
            value=resume,
        )
    from keras_resnet.runs.build import build

    built = build(job)
    if built.worker.is_chief:
        _start(job, built, environment, again=resume == "never")
    state = _train(job, built, callbacks)
    if built.worker.is_chief:
        _finish(job, built, state)
    _wait_for_chief(built)
    return Run(folder.path, load_finished_run(folder.path), was_finished=False)


def _start(job: TrainJob, built: "Built", environment: str, *, again: bool) -> None:
    """Claims the folder, and says what will be trained."""
    from keras_resnet.models.complexity import complexity

    folder, dataset, spec = job.folder, job.dataset, job.transform.spec
    if again:
        job.checkpoints.clear()
        shutil.rmtree(folder / TENSORBOARD, ignore_errors=True)
    folder.start()
    remove_exports(folder.path)
    counted = complexity(built.model, (spec.size, spec.size, spec.channels))
    devices = built.engine.devices
    _LOG.info(
        "Training %s (%s parameters, %s MACs per image) on %s: %s at %sx%s, on %s device%s.",
        job.architecture.name,
        f"{counted.parameters:,}",
        f"{counted.macs:,}",
        dataset.name,
        dataset.summary(),
        spec.size,
        spec.size,
        devices,
        "s" if devices > 1 else "",
    )
    _LOG.info("Splits: %s.", dataset.describe_roles())
    _LOG.info(environment)
    log_fast_bfloat16(job.config)
    warn_of_leaks(dataset)


def _train(job: TrainJob, built: "Built", callbacks: "Sequence[keras.callbacks.Callback]") -> "TrainState":
    from keras_resnet.training.loop import train as train_model

    config = job.config
    own = _callbacks(job) if built.worker.is_chief else []
    with built.engine.scope(), built.pipeline.decode_errors.translate(), _translate_memory(job):
        return train_model(
            built.model,
            built.train_data,
            built.validation_batches,
            job.recipe,
            callbacks=[*own, *callbacks],
            checkpoints=job.checkpoints,
            gradient_accumulation_steps=config.gradient_accumulation_steps,
            max_rollbacks=config.max_rollbacks if config.on_nan == "rollback" else 0,
            jit_compile=config.jit_compile,
            rematerialize=config.rematerialize,
            distillation=built.distillation,
            class_weight=class_weights(config.class_weight, job.dataset),
            restore_best=job.export_epoch == BEST,
            stop_after=config.stop_after,
            engine=built.engine,
        )


@contextlib.contextmanager
def _translate_memory(job: TrainJob) -> Iterator[None]:
    """Turns an engine's error about memory into one that says what needs less."""
    try:
        yield
    except Exception as error:
        # By name: neither engine may be installed, and JAX has no class for it.
        if not (type(error).__name__ == "ResourceExhaustedError" or "RESOURCE_EXHAUSTED" in str(error)):
            raise
        raise UserError(
            "A training step needs more memory than a device has. Use a smaller batch_size, compute it in "
            "parts (gradient_accumulation_steps), keep less of it (rematerialize), or halve it "
            "(mixed_precision).",
            parameter="batch_size",
            value=job.recipe.batch_size,
        ) from error


def _callbacks(job: TrainJob) -> list:
    from keras_resnet.training.callbacks.curves import PlotCurves
    from keras_resnet.training.callbacks.history import CSVHistory
    from keras_resnet.training.callbacks.progress import LineLogger, ProgressBar
    from keras_resnet.training.callbacks.tensorboard import Profile, TensorBoard

    folder = job.folder
    callbacks = [
        CSVHistory(folder / HISTORY),
        PlotCurves(folder / CURVES, f"{job.architecture.name} on {job.dataset.name}"),
        ProgressBar() if job.config.log == "bar" else LineLogger(),
    ]
    if job.config.tensorboard:
        callbacks.append(TensorBoard(folder / TENSORBOARD))
    if job.config.profile:
        callbacks.append(Profile(folder / TENSORBOARD))
    return callbacks


def _finish(job: TrainJob, built: "Built", state: "TrainState") -> None:
    """Writes the model and what comes of it, with TensorFlow."""
    # Outside of any strategy: the other workers take no part in it.
    model = built.build(job.transform.spec.size, policy="float32")
    for layer in model.layers:  # by name: a model with dropped paths has further layers
        layer.set_weights(built.model.get_layer(layer.name).get_weights())
    results: dict[str, Any] = {
        "validation_error": state.validation["val_error"],
        "seconds": state.seconds,
        "epoch": state.epoch,
        "epochs": len(state.history["val_error"]),
    }
    if keras_backend() == "tensorflow":
        from keras_resnet.runs.finish import finish_run

        finish_run(job.folder, model, built.pipeline, job.config, **results)
    else:
        from keras_resnet.runs.tensorflow_process import finish_with_tensorflow

        finish_with_tensorflow(job.folder.path, model, job.config.dataset, **results)


def _wait_for_chief(built: "Built") -> None:
    """Waits until the chief has written its files: a worker that ends early may be taken for lost."""
    if built.worker.workers > 1:
        built.engine.all_reduce_sum(0)
