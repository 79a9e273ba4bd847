"""From the flags of `train` to what is asked for, and from there to images and a net on its devices."""

import dataclasses
import functools
import importlib.util
import pathlib
from collections.abc import Callable
from typing import Any

import keras_resnet
from keras_resnet.commands import (
    begun_from,
    bn_statistics,
    data_flags,
    export_flags,
    grown,
    made_by,
    net_flags,
    precision_flags,
    recipe_flags,
    view_flags,
)
from keras_resnet.commands.train_flags import FLAGS
from keras_resnet.data.source import Source
from keras_resnet.data.view import View
from keras_resnet.errors import UserError
from keras_resnet.export.exports import Exports
from keras_resnet.models.architectures import Architecture
from keras_resnet.training.checkpoint import Checkpoints
from keras_resnet.training.normalisation import padding
from keras_resnet.training.recipes import Recipe
from keras_resnet.training.run_folder import RunFolder

TEST_BATCH = 256


@dataclasses.dataclass(frozen=True)
class Asked:
    """What the flags ask for."""

    net: Architecture
    source: Source
    view: View
    per_pixel: bool
    recipe: Recipe
    exports: Exports
    folder: RunFolder
    begun_from: begun_from.Beginning | None
    grown_from: pathlib.Path | None
    checkpoints: Checkpoints


@dataclasses.dataclass(frozen=True)
class Ready:
    """Images, and the net on its devices."""

    images: Any
    train_data: Any
    test_batches: Any
    strategy: Any
    model: Any
    build: Callable


def read_flags() -> Asked:
    """What the flags ask for, before TensorFlow is imported.

    Raises:
        UserError: something that cannot be.
    """
    source = data_flags.source(FLAGS, FLAGS.dataset, trains=True)
    beginning = begun_from.read(FLAGS, source)
    net = beginning.net if beginning else net_flags.architecture(FLAGS)
    _check_stages(net)
    if FLAGS.tensorboard and importlib.util.find_spec("tensorboard") is None:
        raise UserError(
            "--tensorboard needs the package tensorboard, which TensorFlow does not bring along: "
            "pip install tensorboard, or leave it out; history.csv and curves.png say the same."
        )
    exports = export_flags.exports(FLAGS, FLAGS.export, "export")
    view = view_flags.view(FLAGS, source, net)
    recipe_name, recipe = recipe_flags.recipe(FLAGS, source)
    _check_unfreezing(recipe_name, recipe)
    bn_statistics.check(FLAGS.precise_bn, source, "precise_bn")
    per_pixel = view.whole if FLAGS.mean == "auto" else FLAGS.mean == "pixel"
    mean = (beginning and beginning.told) or ("per-pixel" if per_pixel else "per-channel")
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
        "precise_bn": FLAGS.precise_bn,
        "weights": beginning and beginning.identity,
        "grown_from": grown.identity(FLAGS.grow_from, net, source, view, mean),
        "accumulate": FLAGS.accumulate,
        "sync_batch_norm": FLAGS.sync_batch_norm,
        "mixed_precision": FLAGS.mixed_precision,
        "seed": FLAGS.seed,
        "version": keras_resnet.__version__,
    }
    about = {
        "command": made_by.command(FLAGS, "python", "train.py"),
        "versions": made_by.versions(),
        "data": {"dataset": FLAGS.dataset, **data_flags.recorded(FLAGS)},
        "preprocessing": {"channels": source.channels, "size": view.size, "whole": view.whole},
        "mean": mean,
    }
    run_name = FLAGS.run_name or f"{net.name}-{net.shortcut or 'plain'}-{data_name}"
    folder = RunFolder(FLAGS.output_dir, run_name, settings, about)
    checkpoints = Checkpoints(folder / "checkpoints", folder.settings, minutes=FLAGS.checkpoint_minutes)
    check_sharing(recipe, 1)
    grown_from = pathlib.Path(FLAGS.grow_from) if FLAGS.grow_from else None
    return Asked(net, source, view, per_pixel, recipe, exports, folder, beginning, grown_from, checkpoints)


def make_ready(asked: Asked) -> Ready:
    """Images, and the net on its devices.

    Raises:
        UserError: the devices are not those that were asked for, or too few images can be decoded.
    """
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
    check_sharing(recipe, strategy.num_replicas_in_sync)
    images = Pipeline(source, view, BadImages(FLAGS.bad_images, FLAGS.max_bad_images), FLAGS.seed)
    normalisation = asked.begun_from.normalisation if asked.begun_from else None
    if normalisation is None:
        normalisation = images.mean(per_pixel=asked.per_pixel)
    mean = padding(normalisation, view.size, source.image_shape[-1])
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
    test_batches = images.evaluation_batches(TEST_BATCH, worker=where.worker, workers=where.workers)
    build = functools.partial(
        build_classifier, asked.net, view.size, source.image_shape[-1], len(source.class_names), normalisation
    )
    with strategy.scope():
        model = build(policy=precision_flags.policy(FLAGS))
        if FLAGS.sync_batch_norm:
            synchronize_batch_norm(model)
        if recipe.zero_gamma:
            zero_gamma(model)
        if asked.begun_from:
            asked.begun_from.fill_in(model)
        if asked.grown_from:
            grown.take_over(model, asked.grown_from, asked.net)
    return Ready(images, train_data, test_batches, strategy, model, build)


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


def _check_unfreezing(name: str, recipe: Recipe) -> None:
    if recipe.unfreeze and not (FLAGS.weights or FLAGS.grow_from):
        raise UserError(
            f"--recipe={name} is for nets that begin with weights from elsewhere; give --weights, or another "
            "recipe."
        )


def check_sharing(recipe: Recipe, replicas: int) -> None:
    """Refuse a batch that so many devices cannot share.

    Raises:
        UserError: with the flag to change.
    """
    if FLAGS.jit_compile and replicas > 1:
        raise UserError(
            f"--jit_compile: XLA cannot compile a step over {replicas} devices; leave it out, or show one "
            "device to TensorFlow (CUDA_VISIBLE_DEVICES=0)."
        )
    if recipe.batch_size % replicas:
        raise UserError(
            f"--batch_size={recipe.batch_size} must be a multiple of {replicas}, the number of devices."
        )
    if recipe.batch_size // replicas % FLAGS.accumulate:
        raise UserError(
            f"--accumulate={FLAGS.accumulate} must divide the {recipe.batch_size // replicas} images of a "
            "device's share of a batch."
        )
