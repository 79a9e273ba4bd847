"""The model card: the README of a run."""

import dataclasses
import os

from keras_resnet.data.source import Source
from keras_resnet.data.view import View
from keras_resnet.export.check import Parity
from keras_resnet.files import atomic
from keras_resnet.models.architectures import Architecture
from keras_resnet.models.complexity import Complexity
from keras_resnet.training.plan import describe_schedule
from keras_resnet.training.recipes import Recipe


@dataclasses.dataclass(frozen=True)
class Card:
    """All a card tells.

    Args:
        name: of the run.
        command: that made it.
        versions: name and version of each package that had a part in it.
        mean: "per-pixel" or "per-channel".
        test_error: final error on the whole test split, 0..1.
        seconds: of the training.
        compared: number of test images on which the files were compared with the model.
        parities: what came of it.
    """

    name: str
    command: str
    versions: dict[str, str]
    source: Source
    view: View
    mean: str
    architecture: Architecture
    complexity: Complexity
    recipe: Recipe
    steps_per_epoch: int
    seed: int
    test_error: float
    seconds: float
    compared: int
    parities: list[Parity]


def write_card(card: Card, path: str | os.PathLike) -> None:
    """Write the card as Markdown, for a folder with the files `train` leaves."""
    with atomic(path) as written:
        written.write_text(_markdown(card), encoding="utf-8")


def _augmentation(card: Card) -> str:
    view = card.view
    if view.whole:
        what = f"shifted by up to {view.padding} pixels"
    elif view.augmentation == "inception":
        what = "random rectangles of 8% to 100% of the area"
    else:
        light = ", in random light" if card.source.channels == 3 else ""
        what = f"random squares at random scales{light}"
    mixing = {
        field.name: getattr(card.recipe.mixing, field.name)
        for field in dataclasses.fields(card.recipe.mixing)
    }
    return ", ".join(
        [
            what + (", mirrored" if view.mirrored else ""),
            *(f"{name.replace('_', ' ')} {value:g}" for name, value in mixing.items() if value),
        ]
    )


def _markdown(card: Card) -> str:
    source, view, net, recipe = card.source, card.view, card.architecture, card.recipe
    channels = source.image_shape[-1]
    shape = f"{view.size}x{view.size}x{channels}"
    kind = "plain net" if net.shortcut is None else f"residual net, shortcut option {net.shortcut}"
    augmentation = _augmentation(card)
    averaged = f", averaged weights ({recipe.ema:g})" if recipe.ema else ""
    files = "\n".join(
        f"| `{parity.file}` | {100 * parity.accuracy:.2f}% | {parity.difference:.1e} |"
        for parity in card.parities
    )
    chosen = (
        "The validation error that drives the learning rate is measured on the test images, so the accuracy "
        "is not that of images never looked at."
        if recipe.schedule == "plateau"
        else "The test images had no part in the training; who chooses between runs by them gives them one."
    )
    versions = ", ".join(f"{package} {version}" for package, version in card.versions.items())
    return f"""# {card.name}

{net.name}, trained on {source.name}: **{100 * (1 - card.test_error):.2f}% accuracy** \
({100 * card.test_error:.2f}% top-1 error) on its {source.test.size:,} images of the split \
`{source.test.name}`, after the last epoch.

| | |
|---|---|
| Data | {source.name}: {source.train.size:,} training images, {source.test.size:,} test images, \
{len(source.class_names)} classes |
| Net | {net.name}, {kind}, variant {net.variant} (He et al. 2015) |
| Trainable parameters | {card.complexity.parameters:,} |
| Multiply-adds an image | {card.complexity.macs:,} at {shape} |
| Input | {shape}, plain pixels 0..255 as uint8; the {card.mean} mean is subtracted inside the net |
| Output | probabilities of {len(source.class_names)} classes |
| Recipe | SGD, momentum {recipe.momentum:g}, L2 weight decay {recipe.weight_decay:g} of \
{recipe.decay} weights{averaged}, batch {recipe.batch_size}, \
{recipe.total_epochs(card.steps_per_epoch)} epochs; learning rate \
{describe_schedule(recipe, card.steps_per_epoch)} |
| Source of the recipe | {recipe.source} |
| Augmentation | {augmentation} |
| Training time | {card.seconds:.0f} s |
| Made by | `{card.command}` |
| Seed | {card.seed} |
| Versions | {versions} |

{chosen}

![Loss and error against epochs](curves.png)

## Files

Loaded again after writing and compared on {card.compared:,} test images. The difference is the largest one
of any probability from the Keras model's.

| file | accuracy | largest difference |
|---|---|---|
{files}

Class names, in the order of the outputs and of `labels.txt`: {", ".join(source.class_names)}.

### `model.keras`: to go on in Keras

```python
import keras_resnet

model = keras_resnet.load_model("model.keras")
probabilities = model.predict(images)  # (N, {view.size}, {view.size}, {channels}), uint8, 0..255
```

### `saved_model/`: for servers, with TensorFlow alone

```python
import tensorflow as tf

net = tf.saved_model.load("saved_model")
probabilities = net.serve(images)
```

### `model.tflite`: for phones, one image at a time

```python
from ai_edge_litert.interpreter import Interpreter

run = Interpreter("model.tflite").get_signature_runner()
(name,) = run.get_input_details()
(probabilities,) = run(**{{name: images[:1]}}).values()
```
"""
