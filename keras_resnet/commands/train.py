"""`keras-resnet train`, one walk through the house: flags, recipe, data, net, training, exports, card."""

import contextlib
import shutil
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from keras_resnet.commands import bn_statistics, exported
from keras_resnet.commands.train_flags import FLAGS
from keras_resnet.errors import UserError
from keras_resnet.export.exports import remove_exports
from keras_resnet.models.architectures import Architecture
from keras_resnet.training.runtime import prepare as prepare_runtime

if TYPE_CHECKING:
    from keras_resnet.commands.train_setup import Asked, Ready


def run() -> None:
    """Train as the flags say."""
    from keras_resnet.commands.train_plan import tell_plan
    from keras_resnet.commands.train_setup import make_ready, read_flags

    asked = read_flags()
    told = prepare_runtime()
    if FLAGS.dry_run:
        tell_plan(asked, make_ready(asked))
        return
    folder = asked.folder
    folder.check()
    results = folder.results()
    if results is not None and FLAGS.resume != "never":
        print(
            f"{folder.path} holds this very run, finished with {100 * results['accuracy']:.2f}% test "
            "accuracy. To train anew, remove it, or give --resume=never or another --run_name."
        )
        return
    if FLAGS.resume == "must" and not asked.checkpoints.any_whole():
        raise UserError(
            f"--resume=must: {asked.checkpoints.folder} holds no whole checkpoint to go on from; leave "
            "--resume=must out to train anew."
        )
    ready = make_ready(asked)
    progress = _train(asked, ready, told)
    if progress is not None:
        _export(asked, ready, progress)
    _end_together(ready.strategy)


def _end_together(strategy: Any) -> None:
    """Wait until the chief has written its files: a worker that ends is started anew by nobody."""
    from keras_resnet.training.strategy import place, total

    if place(strategy).workers > 1:
        with strategy.scope():
            total(strategy, 0)


def _train(asked: "Asked", ready: "Ready", told: str) -> Any:
    """Train, and tell the user of it; the training's `Progress` on the worker that is to go on with it."""
    from keras_resnet.models.complexity import complexity
    from keras_resnet.training.loop import train
    from keras_resnet.training.strategy import place

    folder, source = asked.folder, asked.source
    is_chief = place(ready.strategy).is_chief
    if is_chief:
        if FLAGS.resume == "never":
            asked.checkpoints.clear()
            shutil.rmtree(folder / "tensorboard", ignore_errors=True)
        folder.start()
        remove_exports(folder.path)
        counted = complexity(ready.model)
        devices = ready.strategy.num_replicas_in_sync
        print(
            f"{asked.net.name} ({counted.parameters:,} parameters, {counted.macs:,} multiply-adds an "
            f"image) on {source.name} ({source.train.size:,} training and {source.test.size:,} test images, "
            f"{asked.view.size}x{asked.view.size}), {devices} device{'s' if devices > 1 else ''}."
        )
        print(told, flush=True)
    with ready.strategy.scope(), ready.images.bad_images.told(), _memory_told(asked.recipe.batch_size):
        progress = train(
            ready.model,
            ready.train_data,
            ready.test_batches,
            asked.recipe,
            callbacks=_callbacks(asked) if is_chief else [],
            checkpoints=asked.checkpoints,
            accumulate=FLAGS.accumulate,
            max_rollbacks=FLAGS.max_rollbacks if FLAGS.on_nan == "rollback" else 0,
            jit_compile=FLAGS.jit_compile,
            rematerialized=FLAGS.rematerialize,
        )
    return progress if is_chief else None


@contextlib.contextmanager
def _memory_told(batch_size: int) -> Iterator[None]:
    """What does not fit into memory is told with what would."""
    import tensorflow as tf

    try:
        yield
    except tf.errors.ResourceExhaustedError as error:
        raise UserError(
            f"A step of --batch_size={batch_size} needs more memory than a device has; give a smaller one, "
            "or compute it in parts by --accumulate, keep less of it by --rematerialize, or halve it by "
            "--mixed_precision."
        ) from error


def _callbacks(asked: "Asked") -> list:
    from keras_resnet.training.curves import CurvesFile
    from keras_resnet.training.history import HistoryFile
    from keras_resnet.training.progress import PlainLog, ProgressBar
    from keras_resnet.training.tensorboard import Profile, TensorBoard

    folder = asked.folder
    callbacks = [
        HistoryFile(folder / "history.csv"),
        CurvesFile(folder / "curves.png", f"{asked.net.name} on {asked.source.name}"),
        ProgressBar() if FLAGS.log == "bar" else PlainLog(),
    ]
    if FLAGS.tensorboard:
        callbacks.append(TensorBoard(folder / "tensorboard"))
    if FLAGS.profile:
        callbacks.append(Profile(folder / "tensorboard"))
    return callbacks


def _export(asked: "Asked", ready: "Ready", progress: Any) -> None:
    """Write the files that others use, check them, and tell of the run."""
    from keras_resnet.countdown import format_seconds
    from keras_resnet.evaluation.opened import labels_text
    from keras_resnet.export.run import export_run
    from keras_resnet.files import atomic

    net, source, folder = asked.net, asked.source, asked.folder
    # Outside of any strategy: the other workers have nothing to do with it.
    model = ready.build(policy="float32")
    model.set_weights(ready.model.get_weights())
    test_error = progress.history["val_error"][-1]
    if FLAGS.precise_bn:
        test_error = bn_statistics.recompute(model, ready.images, FLAGS.precise_bn)
    with atomic(folder / "model.keras") as written:
        model.save(written)
    with atomic(folder / "labels.txt") as written:
        written.write_text(labels_text(source.class_names), encoding="utf-8")
    results = {"accuracy": 1 - test_error, "test_error": test_error, "seconds": progress.seconds}
    try:
        with ready.images.bad_images.told():
            report = export_run(folder.path, folder.record(results), model, ready.images, asked.exports)
    except UserError:
        folder.finish(results)  # the training is done, whatever its files are like
        raise
    folder.finish(results)

    accuracy = f"{100 * (1 - test_error):.2f}% test accuracy"
    print(f"\n{net.name} on {source.name}: {accuracy} after {format_seconds(progress.seconds)}.")
    exported.tell(report, folder.path)
    if source.name == "digits":
        print(f"\nNext: {_next_command(net)}")


def _next_command(net: Architecture) -> str:
    if net.name == "cifar_resnet20":
        return "python train.py --depth=50 --shortcut=B"
    return "python train.py --depth=20 --plain, the net this one has to beat"
