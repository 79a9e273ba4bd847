"""Writes the model card: the README of a run."""

import dataclasses
import pathlib
import platform
from collections.abc import Iterator, Mapping

from keras_resnet._utils.atomic import atomic_write, files_in, sha256
from keras_resnet._utils.progress import format_seconds
from keras_resnet.data.input_spec import InputSpec
from keras_resnet.evaluation.metrics import wilson_interval
from keras_resnet.export.compare import FileComparison, Report
from keras_resnet.export.config import FILES
from keras_resnet.inference.labels import LABELS
from keras_resnet.inference.sidecars import PREPROCESSING
from keras_resnet.inference.thresholds import THRESHOLDS
from keras_resnet.models.architectures import Architecture
from keras_resnet.models.complexity import Complexity
from keras_resnet.runs.card_metadata import front_matter
from keras_resnet.runs.card_multi_label import MultiLabelInfo, describe_figure, label_table, limits
from keras_resnet.training.estimates import describe_schedule, describe_unfreezing
from keras_resnet.training.recipes import Recipe

# What others take from the folder, and what the card has the hashes of.
_SHIPPED = ("model.keras", LABELS, PREPROCESSING, THRESHOLDS, FILES["saved_model"], "*.tflite")

# What the model does with pixels, by `InputSpec.normalization`.
_NORMALIZED = {
    "per_pixel_mean": "the mean image is subtracted",
    "per_channel_mean": "the mean of each channel is subtracted",
    "published": "they are normalized as the published weights expect them",
}

# What a card says of each of `input_spec.OPTIONAL_AUGMENTATIONS`.
_OPTIONAL = {
    "vflip": "flipped vertically",
    "rotate90": "turned by multiples of 90 degrees",
    "trivial_augment": "TrivialAugment",
}


@dataclasses.dataclass(frozen=True)
class SplitInfo:
    """A split of the dataset.

    Args:
        name: what the dataset calls it.
        num_images: number of its images.
    """

    name: str
    num_images: int


@dataclasses.dataclass(frozen=True)
class CardInfo:
    """What a card says of a run, as plain values.

    Args:
        architecture, recipe: what was trained, and how.
        dataset: its name.
        class_names: in the order of the outputs.
        train: images that were trained on.
        validation: images that chose the learning rate and the weights.
        test: images that are only reported; None where the dataset has no third split.
        spec: what the model takes.
        hflip: whether training images were flipped horizontally.
        augmentation: as of `InputTransform`.
        crop_padding: pixels of padding around squashed training images; None for others.
        optional_augmentations: names of those of `InputTransform` that were on.
        precision: "float32", or the half type of mixed precision: "bfloat16" or "float16".
        seconds: time of the training.
        command: that made the run, or the Python call.
        versions: of the packages, by name.
        seed: seed of all random numbers.
        validation_error: top-1 error on `validation`, 0..1.
        test_error: top-1 error on `test`, 0..1; None where there is none.
        initial_weights: the weights that training started from, as text; empty for random ones.
        grow_from: the run whose deepened model training started from, as text; empty for none.
        teacher: the network whose probabilities were learned besides the labels, as text; empty for none.
        train_size: side in pixels of the training crops, where they are smaller than what the model takes.
        precise_bn: number of training images that the batch-norm statistics were computed over after
            training; None for moving averages.
        epoch: that the weights are of, counted from 1; None where that is not known.
        epochs: number of epochs that were trained; None where that is not known.
        best: whether the epoch is that of the lowest validation error.
        stop_after: number of epochs without a better one after which the training was to end, or None.
        class_weight: how often images of each class count in the loss, as text; empty if all count the same.
        hub_dataset: name of the dataset on Hugging Face's Hub; empty if it is not known there.
        measured: entries of the results in `run.json` besides the errors, by name.
        multi_label: what was measured of a run of several labels an image; None for one class an image.
    """

    architecture: Architecture
    recipe: Recipe
    dataset: str
    class_names: tuple[str, ...]
    train: SplitInfo
    validation: SplitInfo
    test: SplitInfo | None
    spec: InputSpec
    hflip: bool
    augmentation: str
    crop_padding: int | None
    precision: str
    seconds: float
    command: str
    versions: Mapping[str, str]
    seed: int
    validation_error: float
    test_error: float | None = None
    initial_weights: str = ""
    grow_from: str = ""
    teacher: str = ""
    precise_bn: int | None = None
    train_size: int | None = None
    optional_augmentations: tuple[str, ...] = ()
    epoch: int | None = None
    epochs: int | None = None
    best: bool = False
    stop_after: int | None = None
    class_weight: str = ""
    hub_dataset: str = ""
    measured: Mapping[str, float] = dataclasses.field(default_factory=dict)
    multi_label: MultiLabelInfo | None = None

    @property
    def reported(self) -> SplitInfo:
        """The split that the accuracy is of."""
        return self.validation if self.test is None or self.test_error is None else self.test

    @property
    def accuracy(self) -> float:
        """On the split that is reported, 0..1."""
        return 1 - (self.validation_error if self.test_error is None else self.test_error)


def write_card(info: CardInfo, report: Report, complexity: Complexity, folder: pathlib.Path) -> None:
    """Writes `README.md` into the folder of a run, whose other files are all there."""
    parts = [
        _metadata(info, report, folder) + _head(info, folder),
        _facts(info, complexity),
        "![Loss and error against epochs](curves.png)\n"
        + ("" if info.multi_label else "\n![Confusion matrix](confusion.png)\n"),
        *([label_table(info.multi_label, info.reported.name)] if info.multi_label else []),
        _files(info, report),
        _use(info, report),
        _limits(info),
        _hashes(folder),
    ]
    with atomic_write(folder / "README.md") as written:
        written.write_text("\n".join(parts), encoding="utf-8")


def _metadata(info: CardInfo, report: Report, folder: pathlib.Path) -> str:
    metrics = {"accuracy": info.accuracy}
    if info.multi_label:
        metrics = {
            "mean_average_precision": info.multi_label.mean_average_precision,
            "f1": info.multi_label.macro_f1,
        }
    # Of all images of the split, or it would not stand next to the accuracy.
    if info.measured.get("measured_images") == info.reported.num_images:
        metrics["f1"] = info.measured["macro_f1"]
    formats = {"tflite" for file in report.files if file.file.endswith(".tflite")}
    return front_matter(
        name=folder.name,
        dataset=info.dataset,
        hub_dataset=info.hub_dataset,
        split=info.reported.name,
        metrics=metrics,
        tags=("keras-resnet", "resnet", info.architecture.name, *formats),
    )


def _head(info: CardInfo, folder: pathlib.Path) -> str:
    trained = f"{info.architecture.name}, a {_kind(info)} (He et al. 2015), trained on {info.dataset}:"
    if info.multi_label:
        kind = "validation split" if info.reported is info.validation else "test split"
        split = f"{kind} `{info.reported.name}`"
        figure = f"{describe_figure(info.multi_label, split, info.reported.num_images)}{_of_epoch(info)}."
        if info.reported is not info.validation:
            figure += (
                f" Training did not use these. On the validation split `{info.validation.name}`, which chose "
                f"weights and thresholds, mAP is {100 * info.multi_label.validation_map:.2f}%."
            )
    elif info.test is not None and info.test_error is not None:
        validation = f"{100 * (1 - info.validation_error):.2f}%"
        figure = (
            f"{_accuracy(info.test_error, info.test)} of the test split `{info.test.name}`, which training "
            f"did not use. On the {info.validation.num_images:,} images of the validation split "
            f"`{info.validation.name}`, which chose the learning rate and the weights, it is {validation}."
        )
    else:
        figure = (
            f"{_accuracy(info.validation_error, info.validation)} of the validation split "
            f"`{info.validation.name}`{_of_epoch(info)}. The dataset has no third split to test on: the "
            f"figure comes from the images that {_used_by(info)}."
        )
    return f"# {folder.name}\n\n{trained} {figure}\n"


def _of_epoch(info: CardInfo) -> str:
    if info.epoch is None or info.epochs is None:
        return ""
    if info.epoch < info.epochs:
        return (
            f", by the weights of epoch {info.epoch:,} of {info.epochs:,}, which had the lowest error there"
        )
    return f", after epoch {info.epoch:,}, the last"


def _used_by(info: CardInfo) -> str:
    if info.best or info.stop_after:
        return "chose the epoch, and is therefore too high by an amount that is not known"
    return "validation used"


def _accuracy(error: float, split: SplitInfo) -> str:
    count = split.num_images
    right = round((1 - error) * count)
    low, high = wilson_interval(right, count)
    return (
        f"**{100 * right / count:.2f}% accuracy** ({100 - 100 * right / count:.2f}% top-1 error; 95% "
        f"interval of the accuracy {100 * low:.2f}% to {100 * high:.2f}%) on the {count:,} images"
    )


def _kind(info: CardInfo) -> str:
    shortcut = info.architecture.shortcut
    return "plain network" if shortcut is None else f"residual network, shortcut option {shortcut}"


def _facts(info: CardInfo, complexity: Complexity) -> str:
    recipe, spec = info.recipe, info.spec
    steps = max(1, info.train.num_images // recipe.batch_size)
    averaged = f", averaged weights ({recipe.ema_decay:g})" if recipe.ema_decay else ""
    decayed = "all weights" if recipe.weight_decay_on == "all" else recipe.weight_decay_on
    kind = "labels, of which an image has any number" if info.multi_label else "classes"
    tested = f", {info.test.num_images:,} test images of `{info.test.name}`" if info.test else ""
    rows = {
        "Dataset": f"{info.dataset}: {info.train.num_images:,} training images of `{info.train.name}`, "
        f"{info.validation.num_images:,} validation images of `{info.validation.name}`{tested}; "
        f"{len(info.class_names)} {kind}",
        "Architecture": f"{info.architecture.name}, {_kind(info)}, variant {info.architecture.variant}",
        "Trainable parameters": f"{complexity.parameters:,}",
        "Multiply-adds per image": f"{complexity.macs:,} at {spec.size}x{spec.size}x{spec.channels}",
        "Recipe": f"SGD, momentum {recipe.momentum:g}, L2 weight decay {recipe.weight_decay:g} of {decayed}"
        f"{averaged}, batch {recipe.batch_size}, {recipe.total_epochs(steps)} epochs; learning rate "
        f"{describe_schedule(recipe, steps)}",
        "Unfreezing": describe_unfreezing(recipe, steps),
        "Reference of the recipe": recipe.reference,
        **_changes(info),
        "Augmentation": _augmentation(info),
        "Class weights": info.class_weight,
        "Stopped early": f"after {info.stop_after:,} epochs without a better one, if there were so many"
        if info.stop_after
        else "",
        **_measured(info),
        "Training precision": info.precision
        if info.precision == "float32"
        else f"mixed {info.precision}; weights and exported files are float32",
        "Training time": format_seconds(info.seconds),
        "Made by": f"`{info.command}`",
        "Seed": info.seed,
        "Versions": ", ".join(f"{package} {version}" for package, version in info.versions.items()),
    }
    return "| | |\n|---|---|\n" + "".join(
        f"| {name} | {str(text).replace('|', chr(92) + '|')} |\n" for name, text in rows.items() if text != ""
    )


def _measured(info: CardInfo) -> dict[str, str]:
    """Returns rows for the weights that were exported, and for what was measured besides the accuracy."""
    measured, rows = info.measured, {}
    if info.epochs is not None:
        chosen = f"of epoch {info.epoch:,}" if info.epoch else "put in by a callback at the end,"
        reason = ", of the lowest validation error" if info.epoch and info.best else ""
        rows["Weights"] = f"{chosen} of {info.epochs:,}{reason}"
    if not measured:
        return rows
    images = f"{measured['measured_images']:,} images of `{info.reported.name}`"
    rows["Each class alike"] = (
        f"macro-F1 {100 * measured['macro_f1']:.2f}%, balanced accuracy "
        f"{100 * measured['balanced_accuracy']:.2f}%, on {images}"
    )
    error, loss = f"{100 * measured['ece']:.2f}%", f"{measured['nll']:.4f}"
    if "temperature" in measured:
        error += f" ({100 * measured['ece_before']:.2f}% before)" if "ece_before" in measured else ""
        loss += f" ({measured['nll_before']:.4f} before)" if "nll_before" in measured else ""
        done = f"logits divided by {measured['temperature']:.3f}"
        if "calibration_images" in measured:
            done += f", of {measured['calibration_images']:,} images of `{info.validation.name}`"
    else:
        done = "none"
    rows["Calibration"] = (
        f"{done}; expected calibration error (15 bins) {error}, negative log-likelihood {loss}, on {images}"
    )
    return rows


def _changes(info: CardInfo) -> dict[str, str]:
    """Returns rows for what was done besides training a model from random weights."""
    rows = {}
    if info.initial_weights:
        rows["Initial weights"] = info.initial_weights
    if info.grow_from:
        rows["Grown from"] = (
            f"{info.grow_from}, trained on the same images; added blocks started as the identity"
        )
    if info.teacher:
        rows["Teacher"] = info.teacher
    if info.precise_bn:
        rows["Batch-norm statistics"] = (
            f"of {info.precise_bn:,} training images together, computed after training"
        )
    return rows


def _augmentation(info: CardInfo) -> str:
    lighting = ""
    if info.spec.crop_mode == "squash":
        crops = f"shifted by up to {info.crop_padding} pixel(s)"
    elif info.augmentation == "random_resized_crop":
        crops = "random rectangles of 8% to 100% of the area"
    else:
        crops = "random squares at random scales"
        lighting = ", with random lighting" if info.spec.channels == 3 else ""
    size = f", resized to {info.train_size} pixels" if info.train_size else ""
    flips = ["flipped horizontally"] if info.hflip else []
    flips += [_OPTIONAL[name] for name in info.optional_augmentations]
    batch_augment = dataclasses.asdict(info.recipe.batch_augment)
    mixed = [f"{name.replace('_', ' ')} {value:g}" for name, value in batch_augment.items() if value]
    return ", ".join([f"{crops}{size}{lighting}", *flips, *mixed])


def _files(info: CardInfo, report: Report) -> str:
    rows = "".join(_row(file) for file in report.files)
    rejected = "".join(
        f"\nRejected and not put here: `{file.file}`: {file.reason}\n" for file in report.rejected
    )
    agreement = "*Agreement* is the share of images for which both predict the same class"
    if info.multi_label:
        agreement = (
            "*Accuracy* is the share of right labels at their thresholds, over all images and labels, "
            "*agreement* that of labels on which both agree"
        )
    return f"""## Files

Loaded again after writing and compared with the Keras model ({100 * report.accuracy:.2f}% accuracy) on \
{report.images:,} images ({report.data}). \
{agreement}, *difference* the largest one of any probability. Times are medians of one image with the LiteRT \
interpreter on {platform.machine()}.

| file | size | accuracy | agreement | difference | ms, 1 thread | ms, 2 threads |
|---|---|---|---|---|---|---|
{rows}{rejected}
Class names, in the order of the outputs and of `{LABELS}`: {", ".join(info.class_names)}.
"""


def _row(file: FileComparison) -> str:
    times = " | ".join(f"{file.milliseconds[n]:.2f}" if n in file.milliseconds else "" for n in ("1", "2"))
    return (
        f"| `{file.file}` | {file.size / 1e6:.2f} MB | {100 * file.accuracy:.2f}% | "
        f"{100 * file.agreement:.2f}% | {file.difference:.1e} | {times} |\n"
    )


def _use(info: CardInfo, report: Report) -> str:
    spec = info.spec
    size, channels = spec.size, spec.channels
    if spec.crop_mode == "squash":
        prepared = f"resized to {size}x{size} pixels ({spec.interpolation}, antialiased)"
    else:
        prepared = (
            f"resized to a shorter side of {spec.shorter_side} pixels ({spec.interpolation}, antialiased) "
            f"and cropped to the {size}x{size} at the center"
        )
    call = "labels" if info.multi_label else "top"
    gray = "; RGB images are turned to gray" if channels == 1 else ""
    files = [file.file for file in report.files]
    parts = [
        f"""## Use

An image is {prepared}. Pixels are plain, 0 to 255{gray}: {_NORMALIZED[spec.normalization]} inside every \
file. Outputs are probabilities. \
`keras_resnet.load_predictor(FILE).{call}("photo.jpg")` prepares images so, for every file here.
"""
    ]
    tflite = [file for file in files if file.endswith(".tflite")]
    if tflite:
        int8 = FILES["tflite-int8"]
        integers = f" The probabilities of `{int8}` are uint8, in steps of 1/256." if int8 in tflite else ""
        others = f" ({', '.join(f'`{file}`' for file in tflite[1:])} likewise)" if tflite[1:] else ""
        parts.append(f"""### `{tflite[0]}`{others}: for phones

One image at a time, uint8 RGB. Class names and range of pixels are in its metadata, where MediaPipe's \
`ImageClassifier` finds them.{integers}

```python
import numpy as np
from ai_edge_litert.interpreter import Interpreter

run = Interpreter("{tflite[0]}").get_signature_runner()
image = np.zeros((1, {size}, {size}, 3), np.uint8)
probabilities = run(image=image)["probabilities"]
```
""")
    if FILES["saved_model"] in files:
        parts.append(f"""### `saved_model/`: for servers, with TensorFlow only

`serve_bytes` takes the contents of files; `serving_default` takes pixels as float32.

```python
import tensorflow as tf

model = tf.saved_model.load("saved_model")
image = tf.io.encode_png(tf.zeros(({size}, {size}, {channels}), tf.uint8))
outputs = model.signatures["serve_bytes"](image_bytes=tf.stack([image]))
probabilities, classes, scores = (outputs[name] for name in ("probabilities", "classes", "scores"))
```
""")
    parts.append(f"""### `model.keras`: for Keras

```python
import keras_resnet
import numpy as np

model = keras_resnet.load_model("model.keras")
probabilities = model.predict(np.zeros((1, {size}, {size}, {channels}), np.uint8))
```
""")
    return "\n".join(parts)


def _limits(info: CardInfo) -> str:
    if info.multi_label:
        return limits(info.dataset, info.class_names, info.test is not None)
    if info.test is not None:
        measured = "The test images were not used in training; choosing between runs by them would use them."
    elif info.recipe.schedule == "plateau":
        measured = (
            "The validation error that drove the learning rate was measured on the same images as the "
            "accuracy, which is therefore not that on images training never used."
        )
    else:
        measured = (
            "The validation images were not used in training; choosing between runs by them would use them."
        )
    low, high = wilson_interval(round(info.accuracy * info.reported.num_images), info.reported.num_images)
    probabilities = (
        "are calibrated on average over images like those of the validation split, not for a single image, a "
        "single class or other images"
        if "temperature" in info.measured
        else "are not calibrated"
    )
    return f"""## Intended use and limits

For images like those of {info.dataset}, each of one of the {len(info.class_names)} classes. The model \
predicts one of them for any image, whatever it shows, and its probabilities {probabilities}. How \
accurate it is on images from elsewhere (other cameras, lighting, crops, people) is unknown until it is \
measured there. \
{measured}

What not to conclude from the accuracy:

- that a model is better or worse whose accuracy lies between {100 * low:.2f}% and {100 * high:.2f}%, or \
that this one is that accurate to the digit: it comes from {info.reported.num_images:,} images of \
`{info.reported.name}`, and the interval is that of chance in which images these are, not of the training's \
random numbers.
- that each class is that accurate: `confusion.png` has the shares of each.
- that it stays so where classes are more or less frequent than in `{info.reported.name}`.
"""


def _hashes(folder: pathlib.Path) -> str:
    rows = "".join(f"| `{file.relative_to(folder)}` | `{sha256(file)}` |\n" for file in _shipped(folder))
    return f"## SHA-256\n\n| file | |\n|---|---|\n{rows}"


def _shipped(folder: pathlib.Path) -> Iterator[pathlib.Path]:
    for pattern in _SHIPPED:
        for path in sorted(folder.glob(pattern)):
            yield from files_in(path)
