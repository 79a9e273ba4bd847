"""`keras-resnet train`, one walk through the house: flags, recipe, data, net, training, exports, card."""

import dataclasses
import functools
import importlib.metadata
import math
import pathlib
import platform
import shlex
import time

from absl import flags

import keras_resnet
from keras_resnet.commands import data_flags, net_flags
from keras_resnet.data.source import Source
from keras_resnet.data.view import View
from keras_resnet.errors import UserError
from keras_resnet.models.architectures import Architecture
from keras_resnet.training.recipes import Recipe, default_recipe
from keras_resnet.training.run_folder import RunFolder
from keras_resnet.training.runtime import prepare as prepare_runtime

SUMMARY = "train a net on a dataset and export it as Keras model, SavedModel and TFLite file."
FLAGS = flags.FlagValues()

net_flags.define(FLAGS)
flags.DEFINE_string(
    "dataset",
    "digits",
    "digits (embedded), a folder of pictures (train/CLASS/* and val/CLASS/*, or CLASS/*), or any TFDS image "
    "classification dataset.",
    flag_values=FLAGS,
    module_name=data_flags.GROUP,
)
data_flags.define(FLAGS)
flags.DEFINE_enum(
    "mean",
    "auto",
    ["auto", "channel", "pixel"],
    "What the net subtracts: the mean of each channel or of each pixel; auto: of each pixel where images are "
    "seen whole, else of each channel.",
    flag_values=FLAGS,
    module_name=data_flags.GROUP,
)
_TRAINING = {"flag_values": FLAGS, "module_name": "The training (defaults depend on the data)"}
flags.DEFINE_integer("batch_size", None, "Images of one step, over all devices.", lower_bound=1, **_TRAINING)
flags.DEFINE_integer("epochs", None, "Passes over the training images.", lower_bound=1, **_TRAINING)
flags.DEFINE_float("learning_rate", None, "At the start.", **_TRAINING)
flags.DEFINE_float("momentum", None, "Of SGD.", lower_bound=0.0, upper_bound=1.0, **_TRAINING)
flags.DEFINE_float("weight_decay", None, "L2, added to the gradient.", lower_bound=0.0, **_TRAINING)
flags.DEFINE_integer(
    "patience",
    None,
    "Epochs without a better validation error before the learning rate is divided by 10.",
    lower_bound=1,
    **_TRAINING,
)
_MIXING = {
    "label_smoothing": "Share of a label given to all classes alike.",
    "randaugment": "Strength of two random operations on each batch.",
    "random_erasing": "Share of the images that lose a rectangle.",
    "mixup": "Alpha of the beta distribution by which images are mixed.",
    "cutmix": "Alpha of the same for rectangles of images.",
}
for _name, _help in _MIXING.items():
    _most = None if _name == "mixup" else 1.0
    flags.DEFINE_float(_name, None, _help, lower_bound=0.0, upper_bound=_most, **_TRAINING)
flags.DEFINE_boolean(
    "sync_batch_norm", False, "Batch statistics over all devices, not each one's own.", **_TRAINING
)
flags.DEFINE_enum(
    "mixed_precision",
    "none",
    ["none", "bfloat16", "float16"],
    "Type of activations and gradients; weights, batch statistics and the exported files stay float32.",
    **_TRAINING,
)
flags.DEFINE_boolean("jit_compile", False, "Compile the step by XLA; not with several devices.", **_TRAINING)
flags.DEFINE_list(
    "rematerialize",
    [],
    "Stages, as conv2,conv3, that compute their inner activations again instead of keeping them: less "
    "memory, about 1.3 times the work.",
    **_TRAINING,
)
flags.DEFINE_integer("seed", 0, "Of every random number.", lower_bound=0, upper_bound=2**31 - 1, **_TRAINING)
_RUN = {"flag_values": FLAGS, "module_name": "The run"}
flags.DEFINE_string("output_dir", "saved_models", "Folder of all runs.", **_RUN)
flags.DEFINE_string("run_name", None, "Folder of this run; by default NET-SHORTCUT-DATASET.", **_RUN)

# Enough images to tell a wrong export from rounding, few enough for a TFLite interpreter on large images.
_COMPARED_BATCHES = 4
_TEST_BATCH = 256


def run() -> None:
    """Train as the flags say."""
    _check_numbers()
    net = net_flags.architecture(FLAGS)
    _check_stages(net)
    source = data_flags.source(FLAGS, FLAGS.dataset)
    view = data_flags.view(FLAGS, source, net)
    data_name = data_flags.file_name(FLAGS.dataset)
    run_name = FLAGS.run_name or f"{net.name}-{net.shortcut or 'plain'}-{data_name}"
    recipe = _recipe(source, view)
    settings = {
        **dataclasses.asdict(net),
        "dataset": source.name,
        "train_split": source.train.name,
        "validation_split": source.test.name,
        "image_size": view.size,
        "mirror": view.mirrored,
        "augmentation": view.augmentation,
        "mean": FLAGS.mean,
        **dataclasses.asdict(recipe),
        "sync_batch_norm": FLAGS.sync_batch_norm,
        "mixed_precision": FLAGS.mixed_precision,
        "seed": FLAGS.seed,
        "version": keras_resnet.__version__,
    }
    folder = RunFolder(FLAGS.output_dir, run_name, settings)
    folder.check()
    results = folder.results()
    if results is not None:
        print(
            f"{folder.path} holds this very run, finished with {100 * results['accuracy']:.2f}% test "
            "accuracy. To train anew, remove it or give another --run_name."
        )
        return
    _train(net, source, view, recipe, folder)


def _check_numbers() -> None:
    for name in ("learning_rate", "momentum", "weight_decay", *_MIXING):
        value = FLAGS[name].value
        if value is not None and not math.isfinite(value):
            raise UserError(f"--{name}={value} must be a finite number.")
    if FLAGS.learning_rate is not None and FLAGS.learning_rate <= 0:
        raise UserError(f"--learning_rate={FLAGS.learning_rate:g} must be greater than 0.")


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


def _recipe(source: Source, view: View) -> Recipe:
    recipe = default_recipe(source, view)
    chosen = {
        field.name: FLAGS[field.name].value
        for field in dataclasses.fields(Recipe)
        if field.name in FLAGS and FLAGS[field.name].value is not None
    }
    mixing = {name: FLAGS[name].value for name in _MIXING if FLAGS[name].value is not None}
    recipe = dataclasses.replace(recipe, **chosen, mixing=dataclasses.replace(recipe.mixing, **mixing))
    if recipe.batch_size > source.train.size:
        raise UserError(
            f"--batch_size={recipe.batch_size} is more than the {source.train.size} training images of "
            f"{source.name}."
        )
    return recipe


def _train(net: Architecture, source: Source, view: View, recipe: Recipe, folder: RunFolder) -> None:
    runtime = prepare_runtime()

    import keras

    from keras_resnet.data.bad_images import BadImages
    from keras_resnet.data.pipeline import Pipeline
    from keras_resnet.export.card import Card, write_card
    from keras_resnet.export.check import check_exports
    from keras_resnet.export.saved_model import export_saved_model
    from keras_resnet.export.tflite import export_tflite
    from keras_resnet.files import atomic
    from keras_resnet.models.complexity import complexity
    from keras_resnet.training.classifier import build_classifier
    from keras_resnet.training.curves import draw_curves
    from keras_resnet.training.loop import train
    from keras_resnet.training.progress import format_seconds
    from keras_resnet.training.strategy import make_strategy, synchronize_batch_norm

    keras.utils.set_random_seed(FLAGS.seed)
    strategy = make_strategy()
    if FLAGS.jit_compile and strategy.num_replicas_in_sync > 1:
        raise UserError(
            f"--jit_compile: XLA cannot compile a step over {strategy.num_replicas_in_sync} devices; leave "
            "it out, or show one device to TensorFlow (CUDA_VISIBLE_DEVICES=0)."
        )
    if recipe.batch_size % strategy.num_replicas_in_sync:
        raise UserError(
            f"--batch_size={recipe.batch_size} must be a multiple of the number of GPUs, "
            f"{strategy.num_replicas_in_sync}."
        )
    bad_images = BadImages(FLAGS.bad_images, FLAGS.max_bad_images)
    images = Pipeline(source, view, bad_images, FLAGS.seed)
    evaluation_batches = images.evaluation_batches(_TEST_BATCH, strategy.num_replicas_in_sync)
    mean = images.mean(per_pixel=view.whole if FLAGS.mean == "auto" else FLAGS.mean == "pixel")
    train_batches = images.training_batches(recipe.batch_size, recipe.epochs, mean, mixing=recipe.mixing)
    folder.start()

    build = functools.partial(
        build_classifier, net, view.size, source.image_shape[-1], len(source.class_names), mean
    )
    policy = "float32" if FLAGS.mixed_precision == "none" else f"mixed_{FLAGS.mixed_precision}"
    with strategy.scope():
        model = build(policy=policy)
        if FLAGS.sync_batch_norm:
            synchronize_batch_norm(model)
        size = complexity(model)
        print(
            f"{net.name} ({size.parameters:,} parameters, {size.macs:,} multiply-adds an image) on "
            f"{source.name} ({source.train.size:,} training and {source.test.size:,} test images, "
            f"{view.size}x{view.size}), {strategy.num_replicas_in_sync} device(s)."
        )
        print(runtime)
        start = time.monotonic()
        with bad_images.told():
            history = train(
                model,
                train_batches,
                evaluation_batches,
                recipe,
                steps_per_epoch=images.steps_per_epoch(recipe.batch_size),
                history_file=folder / "history.csv",
                jit_compile=FLAGS.jit_compile,
                rematerialized=FLAGS.rematerialize,
            ).history
        seconds = time.monotonic() - start

    print("Writing and checking the exports.", flush=True)
    draw_curves(history, folder / "curves.png", f"{net.name} on {source.name}")
    weights = model.get_weights()
    model = build(policy="float32")
    model.set_weights(weights)
    with atomic(folder / "model.keras") as written:
        model.save(written)
    export_saved_model(model, folder / "saved_model")
    export_tflite(model, folder / "model.tflite")
    compared, parities = check_exports(
        model,
        folder / "saved_model",
        folder / "model.tflite",
        evaluation_batches.take(_COMPARED_BATCHES),
    )
    test_error = history["val_error"][-1]
    card = Card(
        name=folder.path.name,
        command=_command(),
        versions=_versions(),
        source=source,
        view=view,
        mean="per-pixel" if mean.ndim == 3 else "per-channel",
        architecture=net,
        complexity=size,
        recipe=recipe,
        seed=FLAGS.seed,
        test_error=test_error,
        seconds=seconds,
        compared=compared,
        parities=parities,
    )
    write_card(card, folder / "README.md")
    folder.finish({"accuracy": 1 - test_error})

    accuracy = f"{100 * (1 - test_error):.2f}% test accuracy"
    print(f"\n{net.name} on {source.name}: {accuracy} after {format_seconds(seconds)}.")
    print(f"On {compared:,} test images, beside the Keras model:")
    for parity in parities[1:]:
        accuracy = f"{100 * parity.accuracy:.2f}% accuracy"
        print(f"  {parity.file:14}{accuracy}, largest difference {parity.difference:.1e}")
    print(f"\n{folder.path}/")
    for name, what in _MADE.items():
        print(f"  {name:14}{_size(folder / name):>10}  {what}")
    print(f"\nNext: {_next_command(net)}")


_MADE = {
    "README.md": "the model's card",
    "curves.png": "loss and error against epochs",
    "history.csv": "the same as numbers",
    "model.keras": "to go on in Keras",
    "saved_model": "for servers, needs TensorFlow alone",
    "model.tflite": "for phones",
}


def _size(path: pathlib.Path) -> str:
    inside = path.rglob("*") if path.is_dir() else [path]
    size = sum(file.stat().st_size for file in inside if file.is_file())
    return f"{size / 1e6:.2f} MB" if size >= 1e5 else f"{size / 1e3:.1f} kB"


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
