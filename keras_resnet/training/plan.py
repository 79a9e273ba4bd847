"""What a training will do and take, told before it is done."""

import itertools
import math
import time
from collections.abc import Collection, Iterable

import keras

from keras_resnet.countdown import format_seconds
from keras_resnet.training.recipes import Recipe
from keras_resnet.training.step import Steps

_WARM_UP, _MEASURED = 2, 5


def describe_schedule(recipe: Recipe, steps_per_epoch: int) -> str:
    """The learning rate in words."""
    rate, total = recipe.learning_rate, recipe.total_steps(steps_per_epoch)
    text = ""
    if recipe.warm_up_epochs:
        text = f"from 0 to {rate:g} in {round(recipe.warm_up_epochs * steps_per_epoch):,} steps, then "
    elif recipe.warm_up_error:
        text = f"{rate / 10:g} until the training error is below {recipe.warm_up_error:.0%}, then "
    if recipe.schedule == "cosine":
        return f"{text}half a cosine from {rate:g} to 0 at step {total:,}"
    if recipe.schedule == "drops":
        ends = [*(drop for drop in recipe.drops if drop < total), total]
        return text + ", ".join(f"{rate / 10**drop:g} to step {end:,}" for drop, end in enumerate(ends))
    return f"{text}{rate:g}, divided by 10 after {recipe.patience} epochs without a better validation error"


def describe_unfreezing(recipe: Recipe, steps_per_epoch: int) -> str:
    """What is trained when, in words; nothing where it is everything all the time."""
    phases = recipe.phases(steps_per_epoch)
    ends = [*phases, recipe.total_steps(steps_per_epoch)][1:]
    return ", ".join(
        f"{stage if stage == 'head' else f'from {stage} on'} to step {end:,}"
        for stage, end in zip(phases.values(), ends, strict=True)
    )


def describe_batch(recipe: Recipe, replicas: int, accumulate: int) -> str:
    """How a batch is shared out."""
    share = recipe.batch_size // replicas
    text = f"{recipe.batch_size:,}"
    if replicas > 1:
        text += f" = {replicas} devices x {share:,}"
    if accumulate > 1:
        text += f", in {accumulate} parts of {share // accumulate:,}"
    return text


def memory(model: keras.Model, recipe: Recipe, images: int, rematerialized: Collection[str] = ()) -> int:
    """Bytes that a step needs on a device, about: weights, gradients, velocities, averages, activations.

    Args:
        images: computed at a time on a device.
        rematerialized: stages whose blocks keep their outputs alone, and the inner activations of one.
    """
    weights = model.count_params() * 4
    copies = 3 + bool(recipe.ema)
    # What the gradients need again: outputs of convolutions, and what the next one takes in.
    kept = (
        keras.layers.Conv2D,
        keras.layers.Activation,
        keras.layers.ZeroPadding2D,
        keras.layers.MaxPooling2D,
    )
    activations, passing = 0, {"": 0}
    for layer in model.layers:
        if isinstance(layer, kept):
            size = 2 if layer.compute_dtype in ("float16", "bfloat16") else 4
            size *= math.prod(layer.output.shape[1:])
            stage, _, rest = layer.name.partition("_")
            if stage in rematerialized and not layer.name.endswith("_out"):
                block = f"{stage}_{rest.partition('_')[0]}"
                passing[block] = passing.get(block, 0) + size
            else:
                activations += size
    return copies * weights + images * (activations + max(passing.values()))


def measured_time(
    steps: Steps, train_batches: Iterable, test_batches: Iterable, step_count: int, test_count: int
) -> tuple[float, float]:
    """Seconds of so many steps of training and of testing, from a few that are done; the net is trained.

    Args:
        train_batches: (images, labels).
        test_batches: (images, labels, counted).
    """
    train = _mean_seconds(lambda batch: steps.train(*batch), train_batches)
    test = _mean_seconds(lambda batch: steps.test(*batch), test_batches)
    return train * step_count, test * test_count


def _mean_seconds(step, batches) -> float:
    times = []
    for batch in itertools.islice(
        itertools.cycle(list(itertools.islice(batches, _WARM_UP + _MEASURED))), _WARM_UP + _MEASURED
    ):
        start = time.perf_counter()
        step(batch)
        times.append(time.perf_counter() - start)
    return sum(times[_WARM_UP:]) / _MEASURED


def describe_time(train_seconds: float, test_seconds: float) -> str:
    """The same in words."""
    return (
        f"about {format_seconds(train_seconds + test_seconds)}, from {_MEASURED} measured steps of training "
        f"and of testing"
    )
