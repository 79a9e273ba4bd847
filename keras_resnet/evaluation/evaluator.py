"""The test of one net or several in one pass over the images (section 3.4)."""

import dataclasses
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from keras_resnet.countdown import Countdown
from keras_resnet.data.bad_images import BadImages
from keras_resnet.data.shown import shown_images
from keras_resnet.data.source import Split
from keras_resnet.data.view import VIEWS, Views, default_sides
from keras_resnet.errors import UserError
from keras_resnet.evaluation.answers import answering
from keras_resnet.evaluation.metrics import Scores, Tally
from keras_resnet.evaluation.opened import OpenedModel, opened_net
from keras_resnet.training.checkpoint import Checkpoints

ENSEMBLE = "ensemble"
# Images at a time: so many pixels of all their views, but no more than that.
_PIXELS, _MOST_IMAGES, _MOST_OF_SEVERAL_SHAPES = 4 * 2**20, 256, 32


@dataclasses.dataclass(frozen=True)
class Evaluation:
    """What came of testing a net, or an ensemble of nets.

    Args:
        scores: what its answers are worth.
        images_per_second: that the net alone does, without reading and decoding; the first batch, which takes
            longer, is left out where there are more.
    """

    scores: Scores
    images_per_second: float


def evaluate(
    models: Mapping[str, OpenedModel],
    images: Split | tf.data.Dataset,
    *,
    views: str = "center",
    sides: Sequence[int] = (),
    mirrored: bool = True,
    weights: Sequence[float] = (),
    bad_images: BadImages | None = None,
    checkpoints: Checkpoints | None = None,
    tell: Callable[[str], None] = lambda line: None,
) -> dict[str, Evaluation]:
    """Test nets on labelled images, each once, and several nets together as well.

    The ensemble of several nets averages their probabilities (section 4.1); they may differ in depth, in the
    size of their images and in format. Each image is read once.

    Args:
        models: by name; of the same classes.
        images: (image, label), one at a time: an encoded file or pixels (H, W, C) uint8, of any sizes.
        views: of each image: "center", "ten_crop" or "multi_scale", as of `Views`.
        sides: for "multi_scale", shorter sides in pixels; by default the paper's, in proportion to a net's
            size.
        mirrored: whether "ten_crop" and "multi_scale" show mirror images as well.
        weights: of the models in the ensemble; by default all alike.
        bad_images: what happens to those that cannot be decoded; by default the first ends the test.
        checkpoints: where what has been counted is kept now and then, and taken up again; to be cleared when
            the results are safe.
        tell: takes a line about every ten seconds.

    Returns:
        The result of each model by its name and, of several, of the "ensemble".

    Raises:
        UserError: models, weights, views and images do not fit each other; an image cannot be decoded.
        ValueError: there are no models or views of that name, or the number of images is not known.
    """
    split = images if isinstance(images, Split) else _as_split(images)
    if ENSEMBLE in models:
        raise UserError(
            f"A model cannot be called {ENSEMBLE}, which is all of them together; rename its folder."
        )
    if not models or views not in VIEWS:
        raise ValueError(f"give at least one model, and views of {', '.join(VIEWS)}; got {views!r}.")
    _check(models, split)
    shares = _shares(weights, models)
    seen = {name: _views(model, views, sides) for name, model in models.items()}
    answers = {name: answering(model, seen[name], mirrored=mirrored) for name, model in models.items()}
    distinct = tuple(dict.fromkeys(seen.values()))
    classes = len(next(iter(models.values())).class_names)
    names = [*models, ENSEMBLE] if len(models) > 1 else list(models)
    tallies, clocks = {name: Tally(classes) for name in names}, {name: _Clock() for name in names}
    start = _take_up(checkpoints, tallies)
    left = Countdown(split.size - start, tell)
    for done, indices, shown, labels in shown_images(
        split, distinct, _at_a_time(distinct), bad_images or BadImages(), start
    ):
        if not 0 <= labels.min() <= labels.max() < classes:
            wrong = labels[(labels < 0) | (labels >= classes)][0]
            raise UserError(
                f"{split.name} has an image of label {wrong}; give images of the {classes} classes of the "
                f"models, with labels from 0 to {classes - 1}."
            )
        of_views = dict(zip(distinct, shown, strict=True))
        pictures = _pictures(shown[0], distinct[0].kind)
        together, spent = np.zeros((len(labels), classes), "float32"), 0.0
        for name, share in zip(models, shares, strict=True):
            begun = time.perf_counter()
            given = answers[name](of_views[seen[name]])
            took = time.perf_counter() - begun
            spent += took
            clocks[name].add(len(labels), took)
            _count(tallies[name], name, indices, labels, given, pictures)
            together += share * given
        if ENSEMBLE in tallies:
            clocks[ENSEMBLE].add(len(labels), spent)
            _count(tallies[ENSEMBLE], ENSEMBLE, indices, labels, together, pictures)
        left.add(len(labels))
        if checkpoints is not None and checkpoints.due():
            _keep(checkpoints, tallies, done)
    if not tallies[names[0]].images:
        raise UserError(f"{split.name} has no image to test on; give a split that has some.")
    return {name: Evaluation(tallies[name].scores(), clocks[name].images_per_second) for name in names}


def _keep(checkpoints: Checkpoints, tallies: Mapping[str, Tally], done: int) -> None:
    arrays = {
        f"{number}/{key}": array
        for number, tally in enumerate(tallies.values())
        for key, array in tally.arrays().items()
    }
    checkpoints.save(done, arrays, {"images": done})


def _take_up(checkpoints: Checkpoints | None, tallies: Mapping[str, Tally]) -> int:
    """Restore what was kept; how many images had been seen."""
    found = None if checkpoints is None else checkpoints.latest()
    if found is None:
        return 0
    for number, tally in enumerate(tallies.values()):
        prefix = f"{number}/"
        tally.restore(
            {key.removeprefix(prefix): array for key, array in found.arrays.items() if key.startswith(prefix)}
        )
    return found.meta["images"]


def error(model: keras.Model, batches: Iterable[tuple[np.ndarray, np.ndarray]]) -> float:
    """The share of images whose likeliest class is not theirs, 0..1.

    Args:
        batches: (images as the model sees them, labels).

    Raises:
        ValueError: there is no image.
    """
    answers = opened_net(model).probabilities
    wrong, count = 0, 0
    for images, labels in batches:
        wrong += int((answers(images).argmax(axis=1) != labels).sum())
        count += len(labels)
    if not count:
        raise ValueError("batches must give at least one image; they gave none.")
    return wrong / count


def _as_split(images: tf.data.Dataset) -> Split:
    size = int(images.cardinality())
    if size < 0:
        raise ValueError(
            "images must know how many they are; tell by "
            "dataset.apply(tf.data.experimental.assert_cardinality(n))."
        )

    def read(key, start=0, step=1):
        del key  # they come in their own order
        part = images.enumerate().skip(start).shard(step, 0)
        return part.map(lambda index, one: (index, one[0], tf.cast(one[1], tf.int64)))

    return Split("the dataset", size, read, lambda index: f"image {index}")


def _check(models: Mapping[str, OpenedModel], split: Split) -> None:
    first, *others = models.items()
    for name, model in others:
        for number, (one, other) in enumerate(zip(first[1].class_names, model.class_names, strict=False)):
            if one != other:
                raise UserError(
                    f"{name} and {first[0]} have other classes: number {number} is {other} and {one}; test "
                    "them apart."
                )
        if len(model.class_names) != len(first[1].class_names):
            raise UserError(
                f"{name} has {len(model.class_names)} classes and {first[0]} {len(first[1].class_names)}; an "
                "ensemble needs the same ones: test them apart."
            )
    image = split.read(None).element_spec[1]
    for name, model in models.items():
        if image.dtype != tf.string and image.shape[-1] not in (1, model.channels):
            raise UserError(
                f"{name} takes images of {model.channels} channel(s), and those of {split.name} have "
                f"{image.shape[-1]}; give another model or other images."
            )


def _shares(weights: Sequence[float], models: Mapping[str, OpenedModel]) -> list[float]:
    """The weights, with a sum of 1."""
    weights = list(weights) or [1.0] * len(models)
    if len(weights) != len(models):
        raise UserError(f"--weights must be one for each of the {len(models)} models; got {len(weights)}.")
    if not all(np.isfinite(weight) and weight > 0 for weight in weights):
        raise UserError(
            f"--weights must be greater than 0; got {','.join(f'{weight:g}' for weight in weights)}."
        )
    return [weight / sum(weights) for weight in weights]


def _views(model: OpenedModel, kind: str, sides: Sequence[int]) -> Views:
    if kind == "center":
        return Views(kind, model.size, model.channels, whole=model.whole)
    if kind == "ten_crop":
        return Views(kind, model.size, model.channels)
    return Views(kind, model.size, model.channels, sides=tuple(sides) or default_sides(model.size))


def _at_a_time(views: Sequence[Views]) -> int:
    """How many images at a time, so that the views of them that a net is shown together fit into memory."""
    number = {"center": 1, "ten_crop": 10, "multi_scale": 0}
    pixels = sum(number[view.kind] * view.size**2 for view in views)
    # Of images at several scales a net is shown those of one shape, which are enough among so many.
    most = _MOST_OF_SEVERAL_SHAPES if any(view.sides for view in views) else _MOST_IMAGES
    return max(1, min(most, _PIXELS // max(pixels, 1)))


def _pictures(shown: Any, kind: str) -> Sequence[np.ndarray]:
    """Something square to show of each image."""
    if kind == "center":
        return shown
    if kind == "ten_crop":
        return shown[:, -1]
    return [_square(image) for image in shown[0]]


def _square(image: np.ndarray) -> np.ndarray:
    height, width = image.shape[:2]
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    return image[top : top + side, left : left + side]


def _count(
    tally: Tally,
    name: str,
    indices: np.ndarray,
    labels: np.ndarray,
    given: np.ndarray,
    pictures: Sequence[np.ndarray],
) -> None:
    try:
        tally.add(indices, labels, given, pictures)
    except ValueError as error:
        raise UserError(
            f"{name} gives no probabilities for an image: {error}; leave it out, or make it anew."
        ) from error


class _Clock:
    """How many images a second; see `Evaluation`."""

    def __init__(self):
        self._batches: list[tuple[int, float]] = []

    def add(self, images: int, seconds: float) -> None:
        self._batches.append((images, seconds))

    @property
    def images_per_second(self) -> float:
        measured = self._batches[1:] or self._batches
        if not measured:
            return 0.0  # all were counted before
        images, seconds = map(sum, zip(*measured, strict=True))
        return images / seconds
