"""The model card: the README of a run."""

import pathlib
import platform
from collections.abc import Iterator

from keras_resnet.countdown import format_seconds
from keras_resnet.data.view import shorter_side
from keras_resnet.evaluation.metrics import wilson
from keras_resnet.export.exports import FILES
from keras_resnet.export.report import Parity, Report
from keras_resnet.files import atomic, files_in, sha256
from keras_resnet.models.complexity import Complexity
from keras_resnet.training.plan import describe_schedule, describe_unfreezing
from keras_resnet.training.run_folder import Record

# What others take from the folder, and what is told of it.
_SHIPPED = ("model.keras", "labels.txt", "saved_model", "*.tflite")

# What the net does with pixels, by the record's word for it.
_NORMALISED = {
    "per-pixel": "the mean image is subtracted",
    "per-channel": "the mean of each channel is subtracted",
    "published": "they are normalised as the public weights want them",
}


def write_card(record: Record, report: Report, complexity: Complexity, folder: pathlib.Path) -> None:
    """Write `README.md` into the folder of a run, whose files are all there."""
    parts = [
        _head(record, folder),
        _facts(record, complexity),
        "![Loss and error against epochs](curves.png)\n\n![Confusion matrix](confusion.png)\n",
        _files(record, report),
        _use(record, report),
        _limits(record),
        _hashes(folder),
    ]
    with atomic(folder / "README.md") as written:
        written.write_text("\n".join(parts), encoding="utf-8")


def _head(record: Record, folder: pathlib.Path) -> str:
    settings, net = record.settings, record.architecture
    count = settings["validation_images"]
    right = round((1 - record.results["test_error"]) * count)
    low, high = wilson(right, count)
    return f"""# {folder.name}

{net.name}, a {_kind(record)} (He et al. 2015), trained on {settings["dataset"]}: \
**{100 * right / count:.2f}% accuracy** ({100 - 100 * right / count:.2f}% top-1 error; 95% interval of the \
accuracy {100 * low:.2f}% to {100 * high:.2f}%) on its {count:,} images of the split \
`{settings["validation_split"]}`, after the last epoch.
"""


def _kind(record: Record) -> str:
    net = record.architecture
    return "plain net" if net.shortcut is None else f"residual net, shortcut option {net.shortcut}"


def _facts(record: Record, complexity: Complexity) -> str:
    settings, about, net, recipe = record.settings, record.about, record.architecture, record.recipe
    seen = about["preprocessing"]
    shape = f"{seen['size']}x{seen['size']}x{seen['channels']}"
    steps = settings["train_images"] // recipe.batch_size
    averaged = f", averaged weights ({recipe.ema:g})" if recipe.ema else ""
    decayed = "all weights" if recipe.decay == "all" else recipe.decay
    rows = {
        "Data": f"{settings['dataset']}: {settings['train_images']:,} training images of "
        f"`{settings['train_split']}`, {settings['validation_images']:,} test images, "
        f"{len(settings['classes'])} classes",
        "Net": f"{net.name}, {_kind(record)}, variant {net.variant}",
        "Trainable parameters": f"{complexity.parameters:,}",
        "Multiply-adds an image": f"{complexity.macs:,} at {shape}",
        "Recipe": f"SGD, momentum {recipe.momentum:g}, L2 weight decay {recipe.weight_decay:g} of {decayed}"
        f"{averaged}, batch {recipe.batch_size}, {recipe.total_epochs(steps)} epochs; learning rate "
        f"{describe_schedule(recipe, steps)}",
        "Unfrozen": describe_unfreezing(recipe, steps),
        "Source of the recipe": recipe.source,
        **_changes(record),
        "Augmentation": _augmentation(record),
        "Precision of the training": {"none": "float32"}.get(
            settings["mixed_precision"], f"mixed {settings['mixed_precision']}; weights and files are float32"
        ),
        "Training time": format_seconds(record.results["seconds"]),
        "Made by": f"`{about['command']}`",
        "Seed": settings["seed"],
        "Versions": ", ".join(f"{package} {version}" for package, version in about["versions"].items()),
    }
    return "| | |\n|---|---|\n" + "".join(
        f"| {name} | {str(text).replace('|', chr(92) + '|')} |\n" for name, text in rows.items() if text != ""
    )


def _changes(record: Record) -> dict[str, str]:
    """What was done besides training a fresh net."""
    begun_from, grown_from = record.settings.get("weights"), record.settings.get("grown_from")
    images = record.settings.get("precise_bn")
    rows = {}
    if begun_from:
        rows["Begun from"] = f"the weights {begun_from}"
    if grown_from:
        rows["Grown from"] = (
            f"{grown_from.split()[0]}, trained on the same images; added blocks began as identity"
        )
    if images:
        rows["Statistics of BN"] = f"of {images:,} training images together, taken after the training"
    return rows


def _augmentation(record: Record) -> str:
    settings, mixing = record.settings, record.settings["mixing"]
    if record.about["preprocessing"]["whole"]:
        what = f"shifted by up to {settings['shift']} pixel(s)"
    elif settings["augmentation"] == "inception":
        what = "random rectangles of 8% to 100% of the area"
    else:
        light = ", in random light" if record.about["preprocessing"]["channels"] == 3 else ""
        what = f"random squares at random scales{light}"
    mixed = [f"{name.replace('_', ' ')} {value:g}" for name, value in mixing.items() if value]
    return ", ".join([what + (", mirrored" if settings["mirror"] else ""), *mixed])


def _files(record: Record, report: Report) -> str:
    rows = "".join(_row(file) for file in report.files)
    names = ", ".join(record.settings["classes"])
    return f"""## Files

Loaded again after writing and compared with the Keras model ({100 * report.accuracy:.2f}% accuracy) on \
{report.images:,} images ({report.data}). *Agreement* is the share of images for which both name the same \
class, *difference* the largest one of any probability. Times are medians of one image through the LiteRT \
interpreter on {platform.machine()}.

| file | size | accuracy | agreement | difference | ms, 1 thread | ms, 2 threads |
|---|---|---|---|---|---|---|
{rows}
Class names, in the order of the outputs and of `labels.txt`: {names}.
"""


def _row(file: Parity) -> str:
    times = " | ".join(f"{file.milliseconds[n]:.2f}" if n in file.milliseconds else "" for n in ("1", "2"))
    return (
        f"| `{file.file}` | {file.size / 1e6:.2f} MB | {100 * file.accuracy:.2f}% | "
        f"{100 * file.agreement:.2f}% | {file.difference:.1e} | {times} |\n"
    )


def _use(record: Record, report: Report) -> str:
    seen = record.about["preprocessing"]
    size, channels = seen["size"], seen["channels"]
    if seen["whole"]:
        cut = f"resized to {size}x{size} pixels (bilinear, antialiased)"
    else:
        cut = (
            f"scaled to a shorter side of {shorter_side(size)} pixels (bilinear, antialiased) and cut to the "
            f"{size}x{size} at the centre"
        )
    grey = "; of RGB images it sees the grey" if channels == 1 else ""
    files = [file.file for file in report.files]
    parts = [
        f"""## Use

An image is {cut}. Pixels are plain, 0 to 255{grey}: {_NORMALISED[record.about["mean"]]} inside every file. \
Outputs are probabilities.
"""
    ]
    tflite = [file for file in files if file.endswith(".tflite")]
    if tflite:
        integers = " The probabilities of `model_int8.tflite` are uint8, in steps of 1/256."
        quantized = integers if FILES["int8"] in tflite else ""
        others = f" ({', '.join(f'`{file}`' for file in tflite[1:])} likewise)" if tflite[1:] else ""
        parts.append(f"""### `{tflite[0]}`{others}: for phones

One image at a time, uint8 RGB; names and range of pixels are in its metadata, where MediaPipe's \
`ImageClassifier` finds them.{quantized}

```python
import numpy as np
from ai_edge_litert.interpreter import Interpreter

run = Interpreter("{tflite[0]}").get_signature_runner()
image = np.zeros((1, {size}, {size}, 3), np.uint8)
probabilities = run(image=image)["probabilities"]
```
""")
    if "saved_model" in files:
        parts.append(f"""### `saved_model/`: for servers, with TensorFlow alone

`serve_bytes` takes files as they are; `serving_default` takes pixels as float32.

```python
import tensorflow as tf

net = tf.saved_model.load("saved_model")
picture = tf.io.encode_png(tf.zeros(({size}, {size}, {channels}), tf.uint8))
answers = net.signatures["serve_bytes"](image_bytes=tf.stack([picture]))
probabilities, classes, scores = (answers[name] for name in ("probabilities", "classes", "scores"))
```
""")
    parts.append(f"""### `model.keras`: to go on in Keras

```python
import keras_resnet
import numpy as np

model = keras_resnet.load_model("model.keras")
probabilities = model.predict(np.zeros((1, {size}, {size}, {channels}), np.uint8))
```
""")
    return "\n".join(parts)


def _limits(record: Record) -> str:
    chosen = (
        "The validation error that drove the learning rate was measured on the test images, so the accuracy "
        "is not that of images never looked at."
        if record.recipe.schedule == "plateau"
        else "The test images had no part in the training; who chooses between runs by them gives them one."
    )
    dataset, classes = record.settings["dataset"], len(record.settings["classes"])
    return f"""## Intended use and limits

For images like those of {dataset}, each with one of the {classes} classes. It names one of them for any \
image, of whatever it may be, and its probabilities are those of a net that was not calibrated. How well it \
does on images from elsewhere (other cameras, light, cuts, people) is not known before it is measured there. \
{chosen}
"""


def _hashes(folder: pathlib.Path) -> str:
    rows = "".join(f"| `{file.relative_to(folder)}` | `{sha256(file)}` |\n" for file in _shipped(folder))
    return f"## SHA-256\n\n| file | |\n|---|---|\n{rows}"


def _shipped(folder: pathlib.Path) -> Iterator[pathlib.Path]:
    for pattern in _SHIPPED:
        for path in sorted(folder.glob(pattern)):
            yield from files_in(path)
