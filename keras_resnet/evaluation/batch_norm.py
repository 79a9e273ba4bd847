"""Exact statistics for batch normalization, in place of moving averages."""

import collections
import inspect
import logging
import math
from collections.abc import Iterable

import keras
import numpy as np

from keras_resnet._utils.progress import ProgressLogger
from keras_resnet.errors import UserError
from keras_resnet.models.graph import as_graph, calls
from keras_resnet.models.layer_copy import sublayers

_LOG = logging.getLogger(__name__)


def precise_batch_norm(model: keras.Model, batches: Iterable[np.ndarray]) -> None:
    """Sets the moving statistics of every BN to the mean and variance of its inputs over these images.

    This is "precise BN". The authors' released models have such statistics, from a pass over training images
    after the training, instead of moving averages, which lag behind the weights. All images go through the
    model together, one layer at a time, so that the statistics of each BN are those of the population,
    computed behind BNs that already have theirs. The batch size does not change the result. The outputs of
    the widest layers are in memory for all images at once: about 7 MB per image of 224x224 for ResNet-50, and
    0.2 MB for CIFAR models.

    Args:
        model: a flat Functional model with one input; its moving statistics are changed in place.
        batches: images prepared as for evaluation, (n, H, W, C) each.

    Raises:
        UserError: there are no images, the model is not Functional, or a BN is shared or inside of a layer.
    """
    if as_graph(model) is None or isinstance(model, keras.Sequential) or len(model.inputs) != 1:
        raise UserError(
            "must be a Functional model with one input to recompute its batch-norm statistics.",
            parameter="model",
            value=model.name,
        )
    _check_batch_norms(model)
    values: dict[int, list] = {id(model.inputs[0]): [np.asarray(batch) for batch in batches]}
    if not values[id(model.inputs[0])]:
        raise UserError("must yield at least one image.", parameter="batches")
    steps = list(calls(model))
    # Nothing behind the last BN matters.
    last = max((place for place, call in enumerate(steps) if _is_batch_norm(call.operation)), default=-1)
    steps = steps[: last + 1]
    uses = collections.Counter(id(tensor) for call in steps for tensor in call.input_tensors)
    progress = ProgressLogger(len(steps), log=_LOG.info, unit="layers")
    for call in steps:
        sources = call.input_tensors
        if _is_batch_norm(call.operation):
            mean, variance = _moments(values[id(sources[0])], call.operation.axis)
            call.operation.moving_mean.assign(mean)
            call.operation.moving_variance.assign(variance)
        # Explicitly: random layers of preprocessing are in training mode by default.
        has_mode = "training" in inspect.signature(call.operation.call).parameters
        in_inference = {"training": False} if has_mode else {}
        outputs: list[list] = [[] for _ in call.outputs]
        for number in range(len(values[id(sources[0])])):
            args, kwargs = call.arguments.fill_in(
                {id(source): values[id(source)][number] for source in sources}
            )
            results = keras.tree.flatten(call.operation(*args, **{**in_inference, **kwargs}))
            for output, result in zip(outputs, results, strict=True):
                output.append(keras.ops.convert_to_numpy(result))
            for source in sources:
                if uses[id(source)] == 1:
                    values[id(source)][number] = None  # frees the memory that the next output needs
        uses.subtract(map(id, sources))
        values.update(zip(map(id, call.outputs), outputs, strict=True))
        progress.add(1)


def estimate_memory(model: keras.Model, num_images: int) -> int:
    """Estimates the bytes that `precise_batch_norm` needs: for all images, a block's input and its branch."""
    sizes = [
        math.prod(layer.output.shape[1:]) for layer in model.layers if not isinstance(layer.output, list)
    ]
    return 2 * 4 * num_images * max(sizes)


def _check_batch_norms(model: keras.Model) -> None:
    """Refuses BNs whose inputs are not those of one call in the model itself."""
    uses = collections.Counter(id(call.operation) for call in calls(model))
    for part in sublayers(model):
        if _is_batch_norm(part) and uses[id(part)] != 1:
            raise UserError(
                f"its {part.name} is inside of another layer or called several times; the statistics of such "
                "batch normalization cannot be recomputed.",
                parameter="model",
                value=model.name,
            )


def _is_batch_norm(layer: keras.Operation) -> bool:
    return isinstance(layer, keras.layers.BatchNormalization)


def _moments(batches: list[np.ndarray], axis: int) -> tuple[np.ndarray, np.ndarray]:
    """Returns the mean and variance of each channel over all batches."""
    others = tuple(place for place in range(batches[0].ndim) if place != axis % batches[0].ndim)
    count = sum(batch.size // batch.shape[axis] for batch in batches)
    mean = sum(batch.sum(axis=others, dtype="float64") for batch in batches) / count
    shape = [1] * batches[0].ndim
    shape[axis] = -1
    # Around the mean: a difference of large squares would lose the digits of a small variance.
    center = mean.reshape(shape).astype("float32")
    spread = sum(np.square(batch - center).sum(axis=others, dtype="float64") for batch in batches)
    return mean, spread / count
