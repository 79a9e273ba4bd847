"""What flows through a trained net: exact statistics for its BN, and how much its layers respond."""

import dataclasses
import math
from collections.abc import Callable, Iterable

import keras
import numpy as np

from keras_resnet.countdown import Countdown
from keras_resnet.models.deep import room_to_recurse

_NORMALISATION = keras.layers.BatchNormalization


def precise_batch_norm(
    model: keras.Model, batches: Iterable[np.ndarray], tell: Callable[[str], None] = lambda line: None
) -> None:
    """Set the averages of every BN to mean and variance of what it is given over these images ("precise BN").

    The authors' released models have them from such a pass after the training instead of moving averages,
    which lag behind the weights. All images go through the net together, a layer at a time, so that the
    statistics of each BN are the population's, behind others that already have theirs; the size of the
    batches does not matter. What the widest layers give for all images is in memory at once: for ResNet-50
    about 7 MB an image of 224x224, for CIFAR nets 0.2 MB.

    Args:
        model: a flat Functional model with one input; its averages are changed in place.
        batches: images as tests see them, (n, H, W, C) each.
        tell: takes a line about every ten seconds.

    Raises:
        ValueError: there is no image, or the model is not Functional.
    """
    if not getattr(model, "inputs", None) or len(model.inputs) != 1:
        raise ValueError(
            f"{model.name} is not a Functional model with one input, which precise statistics need."
        )
    values: dict[int, list] = {id(model.inputs[0]): [np.asarray(batch) for batch in batches]}
    if not values[id(model.inputs[0])]:
        raise ValueError("batches must give at least one image; they gave none.")
    layers = [layer for layer in model.layers if not isinstance(layer, keras.layers.InputLayer)]
    # Nothing behind the last BN matters.
    last = max((place for place, layer in enumerate(layers) if isinstance(layer, _NORMALISATION)), default=-1)
    layers = layers[: last + 1]
    needed: dict[int, int] = {}
    for layer in layers:
        for tensor in keras.tree.flatten(layer.input):
            needed[id(tensor)] = needed.get(id(tensor), 0) + 1
    left = Countdown(len(layers), tell, "layers")
    for layer in layers:
        sources = keras.tree.flatten(layer.input)
        if isinstance(layer, _NORMALISATION):
            mean, variance = _moments(values[id(sources[0])], layer.axis)
            layer.moving_mean.assign(mean)
            layer.moving_variance.assign(variance)
        given = []
        for number in range(len(values[id(sources[0])])):
            batch = keras.tree.map_structure(lambda tensor, n=number: values[id(tensor)][n], layer.input)
            given.append(keras.ops.convert_to_numpy(layer(batch)))
            for source in sources:
                if needed[id(source)] == 1:
                    values[id(source)][number] = None  # as much memory as the next value takes
        for source in sources:
            needed[id(source)] -= 1
        values[id(layer.output)] = given
        left.add(1)


def memory(model: keras.Model, images: int) -> int:
    """Bytes that `precise_batch_norm` takes for so many images, about: a block's input and its branch."""
    sizes = [
        math.prod(layer.output.shape[1:]) for layer in model.layers if not isinstance(layer.output, list)
    ]
    return 2 * 4 * images * max(sizes)


def _moments(batches: list[np.ndarray], axis: int) -> tuple[np.ndarray, np.ndarray]:
    """Mean and variance of each channel over all batches."""
    others = tuple(place for place in range(batches[0].ndim) if place != axis % batches[0].ndim)
    count = sum(batch.size // batch.shape[axis] for batch in batches)
    mean = sum(batch.sum(axis=others, dtype="float64") for batch in batches) / count
    shape = [1] * batches[0].ndim
    shape[axis] = -1
    # Around the mean: a difference of large squares would leave little of a small variance.
    centre = mean.reshape(shape).astype("float32")
    spread = sum(np.square(batch - centre).sum(axis=others, dtype="float64") for batch in batches)
    return mean, spread / count


@dataclasses.dataclass(frozen=True)
class Response:
    """How much a layer responds.

    Args:
        layer: name of the 3x3 convolution.
        deviation: standard deviation of its output after BN and before the activation or addition, over all
            images, positions and channels.
    """

    layer: str
    deviation: float


def layer_responses(model: keras.Model, batches: Iterable[np.ndarray]) -> tuple[Response, ...]:
    """The responses of a trained net's 3x3 layers, in their order (section 4.2, Fig. 7).

    Args:
        model: a flat Functional model with one input, each 3x3 convolution followed by its BN.
        batches: images as tests see them, (n, H, W, C) each.

    Raises:
        ValueError: there is no image, or no 3x3 convolution with a BN.
    """
    normalised = {id(layer.input): layer for layer in model.layers if isinstance(layer, _NORMALISATION)}
    pairs = [
        (layer.name, normalised[id(layer.output)].output)
        for layer in model.layers
        if isinstance(layer, keras.layers.Conv2D)
        and tuple(layer.kernel_size) == (3, 3)
        and id(layer.output) in normalised
    ]
    if not pairs:
        raise ValueError(
            f"{model.name} has no 3x3 convolution that is followed by a BN, as the nets of this package have."
        )
    with room_to_recurse():
        tapped = keras.Model(model.inputs, [output for _, output in pairs])
    sums, count = np.zeros((3, len(pairs))), 0
    for batch in batches:
        count += len(batch)
        for place, values in enumerate(keras.tree.flatten(tapped.predict_on_batch(batch))):
            values = np.asarray(values, "float64")
            sums[:, place] += (values.size, values.sum(), np.square(values).sum())
    if not count:
        raise ValueError("batches must give at least one image; they gave none.")
    size, total, squares = sums
    deviations = np.sqrt(np.maximum(squares / size - np.square(total / size), 0))
    return tuple(
        Response(name, float(deviation)) for (name, _), deviation in zip(pairs, deviations, strict=True)
    )
