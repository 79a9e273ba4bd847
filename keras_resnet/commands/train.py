"""`keras-resnet train`, one walk through the house: flags, recipe, data, net, training, exports, card."""

import dataclasses
import functools
import importlib.metadata
import importlib.util
import platform
import shlex
from collections.abc import Callable
from typing import Any

import keras_resnet
from keras_resnet.commands import data_flags, export_flags, exported, net_flags, recipe_flags
from keras_resnet.commands.train_flags import FLAGS
from keras_resnet.data.source import Source
from keras_resnet.data.view import View
from keras_resnet.errors import UserError
from keras_resnet.export.exports import Exports
from keras_resnet.models.architectures import Architecture
from keras_resnet.training.checkpoint import Checkpoints
from keras_resnet.training.recipes import Recipe
from keras_resnet.training.run_folder import RunFolder
from keras_resnet.training.runtime import prepare as prepare_runtime

SUMMARY = "train a net on a dataset and export it as Keras model, SavedModel and TFLite file."

_TEST_BATCH = 256


@dataclasses.dataclass(frozen=True)
class _Run:
    """What the flags ask for."""

    net: Architecture
    source: Source
    view: View
    per_pixel: bool
    recipe: Recipe
    exports: Exports
    folder: RunFolder
    checkpoints: Checkpoints


@dataclasses.dataclass(frozen=True)
class _Ready:
    """Images, and the net on its devices."""

    images: Any
    train_data: Any
    test_batches: Any
    strategy: Any
    model: Any
    build: Callable


def run() -> None:
    """Train as the flags say."""
    net = net_flags.architecture(FLAGS)
    _check_stages(net)
    if FLAGS.tensorboard and importlib.util.find_spec("tensorboard") is None:
        raise UserError(
            "--tensorboard needs the package tensorboard, which TensorFlow does not bring along: "
            "pip install tensorboard, or leave it out; history.csv and curves.png say the same."
        )
    exports = export_flags.exports(FLAGS, FLAGS.export)
    source = data_flags.source(FLAGS, FLAGS.dataset)
    view = data_flags.view(FLAGS, source, net)
    recipe_name, recipe = recipe_flags.recipe(FLAGS, source)
    data_name = data_flags.file_name(FLAGS.dataset)
    settings = {
        **dataclasses.asdict(net),
        "dataset": source.name,
        "train_split": source.train.name,
        "validation_split": source.test.name,
        "train_images": source.train.size,
        "validation_images": source.test.size,
        "classes": source.class_names,
        "image_size": view.size,
        "mirror": view.mirrored,
        "augmentation": view.augmentation,
        "shift": view.padding if view.whole else None,
        "mean": FLAGS.mean,
        "recipe": recipe_name,
        **dataclasses.asdict(recipe),
        "accumulate": FLAGS.accumulate,
        "sync_batch_norm": FLAGS.sync_batch_norm,
        "mixed_precision": FLAGS.mixed_precision,
        "seed": FLAGS.seed,
        "version": keras_resnet.__version__,
    }
    per_pixel = view.whole if FLAGS.mean == "auto" else FLAGS.mean == "pixel"
    about = {
        "command": _command(),
        "versions": _versions(),
        "data": {"dataset": FLAGS.dataset, **data_flags.recorded(FLAGS)},
        "preprocessing": {"channels": source.channels, "size": view.size, "whole": view.whole},
        "mean": "per-pixel" if per_pixel else "per-channel",
    }
    run_name = FLAGS.run_name or f"{net.name}-{net.shortcut or 'plain'}-{data_name}"
    folder = RunFolder(FLAGS.output_dir, run_name, settings, about)
    checkpoints = Checkpoints(folder / "checkpoints", folder.settings, minutes=FLAGS.checkpoint_minutes)
    asked = _Run(net, source, view, per_pixel, recipe, exports, folder, checkpoints)
    _check_sharing(recipe, 1)
    told = prepare_runtime()
    if FLAGS.dry_run:
        _tell_plan(asked, _ready(asked))
        return
    folder.check()
    results = folder.results()
    if results is not None and FLAGS.resume != "never":
        print(
            f"{folder.path} holds this very run, finished with {100 * results['accuracy']:.2f}% test "
            "accuracy. To train anew, remove it, or give --resume=never or another --run_name."
        )
        return
    if FLAGS.resume == "must" and not checkpoints:
        raise UserError(f"--resume=must: {checkpoints.folder} holds no checkpoint to go on from.")
    ready = _ready(asked)
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


def _check_stages(net: Architecture) -> None:
    if FLAGS.rematerialize and FLAGS.sync_batch_norm:
        raise UserError(
            "--rematerialize cannot be used with --sync_batch_norm, whose blocks talk to other devices and "
            "cannot be computed again; leave one of them out."
        )
    for stage in FLAGS.rematerialize:
        if stage not in net.stages:
            raise UserError(
                f"--rematerialize={stage} is no stage of {net.name}, whose stages are {','.join(net.stages)}."
            )


def _ready(asked: _Run) -> _Ready:
    """From the images to the net on its devices."""
    import keras
    import tensorflow as tf

    from keras_resnet.data.bad_images import BadImages
    from keras_resnet.data.pipeline import Pipeline
    from keras_resnet.models.surgery import zero_gamma
    from keras_resnet.training.classifier import build_classifier
    from keras_resnet.training.feed import TrainingData
    from keras_resnet.training.strategy import make_strategy, place, synchronize_batch_norm

    strategy = make_strategy(FLAGS.strategy)
    where = place(strategy)
    keras.utils.set_random_seed(FLAGS.seed)
    if FLAGS.deterministic:
        tf.config.experimental.enable_op_determinism()
    source, view, recipe = asked.source, asked.view, asked.recipe
    _check_sharing(recipe, strategy.num_replicas_in_sync)
    images = Pipeline(source, view, BadImages(FLAGS.bad_images, FLAGS.max_bad_images), FLAGS.seed)
    mean = images.mean(per_pixel=asked.per_pixel)
    steps_per_epoch = images.steps_per_epoch(recipe.batch_size)
    train_data = TrainingData(
        steps_per_epoch,
        lambda first_step, worker, workers: images.training_batches(
            recipe.batch_size,
            recipe.total_epochs(steps_per_epoch),
            mean,
            mixing=recipe.mixing,
            first_step=first_step,
            worker=worker,
            workers=workers,
        ),
    )
    test_batches = images.evaluation_batches(_TEST_BATCH, worker=where.worker, workers=where.workers)
    build = functools.partial(
        build_classifier, asked.net, view.size, source.image_shape[-1], len(source.class_names), mean
    )
    policy = "float32" if FLAGS.mixed_precision == "none" else f"mixed_{FLAGS.mixed_precision}"
    with strategy.scope():
        model = build(policy=policy)
        if FLAGS.sync_batch_norm:
            synchronize_batch_norm(model)
        if recipe.zero_gamma:
            zero_gamma(model)
    return _Ready(images, train_data, test_batches, strategy, model, build)


def _check_sharing(recipe: Recipe, replicas: int) -> None:
    if FLAGS.jit_compile and replicas > 1:
        raise UserError(
            f"--jit_compile: XLA cannot compile a step over {replicas} devices; leave it out, or show one "
            "device to TensorFlow (CUDA_VISIBLE_DEVICES=0)."
        )
    if recipe.batch_size % replicas:
        raise UserError(
            f"--batch_size={recipe.batch_size} must be a multiple of the number of devices, {replicas}."
        )
    if recipe.batch_size // replicas % FLAGS.accumulate:
        raise UserError(
            f"--accumulate={FLAGS.accumulate} must divide the {recipe.batch_size // replicas} images of a "
            "device's share of a batch."
        )


def _tell_plan(asked: _Run, ready: _Ready) -> None:
    from keras_resnet.training import plan
    from keras_resnet.training.feed import EvaluationData
    from keras_resnet.training.step import Steps
    from keras_resnet.training.strategy import local_replicas, place

    recipe, where = asked.recipe, place(ready.strategy)
    replicas, per_epoch = ready.strategy.num_replicas_in_sync, ready.train_data.steps_per_epoch
    epochs, total = recipe.total_epochs(per_epoch), recipe.total_steps(per_epoch)
    test_steps = -(-asked.source.test.size // (_TEST_BATCH * where.workers))
    with ready.strategy.scope(), ready.images.bad_images.told():
        steps = Steps(
            ready.model,
            recipe,
            accumulate=FLAGS.accumulate,
            jit_compile=FLAGS.jit_compile,
            rematerialized=FLAGS.rematerialize,
        )
        seconds = plan.measured_time(
            steps,
            ready.train_data.batches(0, where.worker, where.workers),
            EvaluationData(ready.test_batches, where, local_replicas(ready.strategy)),
            total,
            epochs * test_steps,
        )
    at_once = recipe.batch_size // replicas // FLAGS.accumulate
    rows = {
        "net": f"{asked.net.name}, shortcut {asked.net.shortcut or 'none'}, {_count(ready.model)}",
        "data": f"{asked.source.name}: {asked.source.train.size:,} training and "
        f"{asked.source.test.size:,} test images",
        "recipe": recipe.source,
        "expected": recipe.expected,
        "steps": f"{total:,}: {epochs:,} epochs of {per_epoch:,}",
        "batch": plan.describe_batch(recipe, replicas, FLAGS.accumulate),
        "learning rate": plan.describe_schedule(recipe, per_epoch),
        "weight decay": f"{recipe.weight_decay:g}, of {recipe.decay} weights",
        "memory": f"about {plan.memory(ready.model, recipe, at_once) / 2**30:.2f} GiB a device, beside "
        "TensorFlow",
        "time": plan.describe_time(*seconds),
    }
    if where.is_chief:
        print(f"{asked.folder.path} would be trained:")
        for name, text in rows.items():
            print(f"  {name:15}{text}")


def _train(asked: _Run, ready: _Ready, told: str) -> Any:
    """Train, and tell the user of it; the training's `Progress` on the worker that is to go on with it."""
    from keras_resnet.models.complexity import complexity
    from keras_resnet.training.loop import train
    from keras_resnet.training.strategy import place

    folder, source = asked.folder, asked.source
    is_chief = place(ready.strategy).is_chief
    if is_chief:
        if FLAGS.resume == "never":
            asked.checkpoints.clear()
        folder.start()
        devices = ready.strategy.num_replicas_in_sync
        print(
            f"{asked.net.name} ({_count(ready.model)}, {complexity(ready.model).macs:,} multiply-adds an "
            f"image) on {source.name} ({source.train.size:,} training and {source.test.size:,} test images, "
            f"{asked.view.size}x{asked.view.size}), {devices} device{'s' if devices > 1 else ''}."
        )
        print(told, flush=True)
    with ready.strategy.scope(), ready.images.bad_images.told():
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


def _count(model) -> str:
    from keras_resnet.models.complexity import complexity

    return f"{complexity(model).parameters:,} parameters"


def _callbacks(asked: _Run) -> list:
    from keras_resnet.training.curves import CurvesFile
    from keras_resnet.training.progress import HistoryFile, PlainLog, ProgressBar
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


def _export(asked: _Run, ready: _Ready, progress: Any) -> None:
    """Write the files that others use, check them, and tell of the run."""
    from keras_resnet.export.run import export_run
    from keras_resnet.files import atomic
    from keras_resnet.training.progress import format_seconds

    net, source, folder = asked.net, asked.source, asked.folder
    # Outside of any strategy: other workers may be gone by now.
    model = ready.build(policy="float32")
    model.set_weights(ready.model.get_weights())
    with atomic(folder / "model.keras") as written:
        model.save(written)
    with atomic(folder / "labels.txt") as written:
        written.write_text("".join(f"{name}\n" for name in source.class_names), encoding="utf-8")
    test_error = progress.history["val_error"][-1]
    results = {"accuracy": 1 - test_error, "test_error": test_error, "seconds": progress.seconds}
    with ready.images.bad_images.told():
        report = export_run(folder.path, folder.record(results), model, ready.images, asked.exports)
    folder.finish(results)

    accuracy = f"{100 * (1 - test_error):.2f}% test accuracy"
    print(f"\n{net.name} on {source.name}: {accuracy} after {format_seconds(progress.seconds)}.")
    exported.tell(report, folder.path)
    print(f"\nNext: {_next_command(net)}")


def _command() -> str:
    given = [FLAGS[name].serialize() for name in sorted(FLAGS) if not FLAGS[name].using_default_value]
    return shlex.join(["python", "train.py", *given])


def _versions() -> dict[str, str]:
    packages = ("tensorflow", "keras", "tensorflow-datasets", "numpy")
    return {
        "keras_resnet": keras_resnet.__version__,
        **{package: importlib.metadata.version(package) for package in packages},
        "Python": platform.python_version(),
    }


def _next_command(net: Architecture) -> str:
    if net.name == "cifar_resnet20":
        return "python train.py --depth=50 --shortcut=B"
    return "python train.py --depth=20 --plain, the net this one has to beat"
