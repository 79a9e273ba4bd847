"""What a training will do, and the time and memory it will take."""

import itertools
import math
import time
from collections.abc import Collection, Iterable

import keras

from keras_resnet._utils.progress import format_seconds
from keras_resnet.training.engines.steps import StepFunctions
from keras_resnet.training.recipes import Recipe
from keras_resnet.training.rematerialization import is_frugal
from keras_resnet.weights.names import LayerName, parse_layer_name

_WARMUP_STEPS, _MEASURED_STEPS = 2, 5


# What the gradients of a layer or the next one need: outputs of convolutions, and inputs of the next ones.
_KEPT = (
    keras.layers.Conv2D,
    keras.layers.Activation,
    keras.layers.ZeroPadding2D,
    keras.layers.MaxPooling2D,
)


def describe_schedule(recipe: Recipe, steps_per_epoch: int) -> str:
    """Describes the learning rate in words."""
    rate, total = recipe.learning_rate, recipe.total_steps(steps_per_epoch)
    text = ""
    if recipe.warmup_epochs:
        text = f"from 0 to {rate:g} in {round(recipe.warmup_epochs * steps_per_epoch):,} steps, then "
    elif recipe.warmup_error:
        text = f"{rate / 10:g} until the training error is below {recipe.warmup_error:.0%}, then "
    if recipe.schedule == "cosine":
        return f"{text}half a cosine from {rate:g} to 0 at step {total:,}"
    if recipe.schedule == "multistep":
        ends = [*(step for step in recipe.milestones if step < total), total]
        return text + ", ".join(f"{rate / 10**drops:g} to step {end:,}" for drops, end in enumerate(ends))
    return f"{text}{rate:g}, divided by 10 after {recipe.patience} epochs without a lower validation error"


def describe_unfreezing(recipe: Recipe, steps_per_epoch: int) -> str:
    """Describes in words what is trained when; empty where everything is trained all the time."""
    phases = recipe.phases(steps_per_epoch)
    ends = [*phases, recipe.total_steps(steps_per_epoch)][1:]
    return ", ".join(
        f"{stage if stage == 'head' else f'from {stage} on'} to step {end:,}"
        for stage, end in zip(phases.values(), ends, strict=True)
    )


def describe_batch(recipe: Recipe, replicas: int, gradient_accumulation_steps: int) -> str:
    """Describes how a batch is divided."""
    share = recipe.batch_size // replicas
    text = f"{recipe.batch_size:,}"
    if replicas > 1:
        text += f" = {replicas} devices x {share:,}"
    if gradient_accumulation_steps > 1:
        text += f", in {gradient_accumulation_steps} parts of {share // gradient_accumulation_steps:,}"
    return text


def estimate_memory(
    model: keras.Model,
    recipe: Recipe,
    images: int,
    rematerialize: Collection[str] = (),
    jit_compile: bool = False,
) -> int:
    """Estimates the bytes of a step on a device: weights, gradients, velocities, averages, activations.

    Args:
        images: number of images that a device computes at a time.
        rematerialize: stages whose blocks keep only their outputs, and the inner activations of one block.
        jit_compile: whether the step is compiled by XLA, for TensorFlow; with `rematerialize` it decides what
            the other blocks keep, as of `is_frugal`.
    """
    frugal = is_frugal(rematerialize, jit_compile, keras.backend.backend())
    weights = model.count_params() * 4
    copies = 3 + bool(recipe.ema_decay)
    names = {layer.name for layer in model.layers}
    ends = ("pool1_stride", "pool1_pool", "conv1_relu", "conv1_conv")
    last_of_stem = next((name for name in ends if name in names), "")
    activations, recomputed = 0, {"": 0}
    for layer in model.layers:
        if not isinstance(layer, _KEPT):
            continue
        size = 2 if layer.compute_dtype in ("float16", "bfloat16") else 4
        size *= math.prod(layer.output.shape[1:])
        name = parse_layer_name(layer.name)
        if name and name.block_name and name.stage in rematerialize and name.kind != "out":
            recomputed[name.block_name] = recomputed.get(name.block_name, 0) + size
        elif not frugal or _is_kept(layer, name, last_of_stem):
            activations += size
    return copies * weights + images * (activations + max(recomputed.values()))


def _is_kept(layer: keras.layers.Layer, name: LayerName | None, last_of_stem: str) -> bool:
    """Whether the output of a layer stays until its gradients where blocks are frugal."""
    if not (name or layer.name.startswith("pool1_")):
        return True
    if keras.backend.backend() == "jax":
        return isinstance(layer, keras.layers.Conv2D) or bool(name and name.kind == "out")
    from keras_resnet.training.recompute import keeps_output

    return layer.name == last_of_stem or bool(name and name.kind == "out") or keeps_output(layer)


def measure_time(
    steps: StepFunctions, train_batches: Iterable, test_batches: Iterable, step_count: int, test_count: int
) -> tuple[float, float]:
    """Estimates the seconds of the training and the validation steps from a few of each; it trains the model.

    Args:
        train_batches: (images, labels).
        test_batches: (images, labels, sample_weight).
        step_count: number of training steps.
        test_count: number of validation steps.
    """
    train = _mean_seconds(lambda batch: steps.train_step(*batch), train_batches)
    test = _mean_seconds(lambda batch: steps.test_step(*batch), test_batches)
    return train * step_count, test * test_count


def _mean_seconds(step, batches) -> float:
    times = []
    for batch in itertools.islice(
        itertools.cycle(list(itertools.islice(batches, _WARMUP_STEPS + _MEASURED_STEPS))),
        _WARMUP_STEPS + _MEASURED_STEPS,
    ):
        start = time.perf_counter()
        step(batch)
        times.append(time.perf_counter() - start)
    return sum(times[_WARMUP_STEPS:]) / _MEASURED_STEPS


def describe_time(train_seconds: float, test_seconds: float) -> str:
    """Describes `measure_time` in words."""
    return (
        f"about {format_seconds(train_seconds + test_seconds)}, from {_MEASURED_STEPS} measured training "
        "steps and as many validation steps"
    )
