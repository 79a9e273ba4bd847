"""Loads weights from elsewhere into a model of this package: all of them, or none."""

import os
from collections.abc import Iterator, Mapping

import keras
import numpy as np

from keras_resnet.errors import UserError
from keras_resnet.models.architectures import Architecture
from keras_resnet.models.infer import public_weights
from keras_resnet.weights import registry
from keras_resnet.weights.conventions import NamedArrays
from keras_resnet.weights.lazy_array import LazyArray
from keras_resnet.weights.names import HEAD, MEAN_LAYER, belongs_to_network
from keras_resnet.weights.read import open_weights

# What the constructors build without `classes`, by the stem.
_DEFAULT_CLASSES = {"imagenet": registry.CLASSES, "deep": registry.CLASSES, "cifar": 10}
# How many weights that do not fit a message lists.
_MAX_LISTED = 10
# Characters in it of a name from the file.
_MAX_NAME = 80


def load_weights(
    model: keras.Model, weights: str | os.PathLike, architecture: Architecture, *, new_head: bool = False
) -> None:
    """Loads a file or public weights into a model.

    Each array of the file must fit a weight of the model and vice versa, except for the head: it keeps its
    initial values if the model has another number of classes than the file or, where the file has no head,
    than the constructors build without `classes`; and it is skipped if the model has none. If the model's
    first convolution has another number of channels, each channel gets the sum of the file's kernel over its
    colors, divided by the model's number of channels; the output for a gray image is unchanged.
    Layers in front of the first convolution, in the file or in the model, are ignored.

    Args:
        model: as `ResNet` builds it.
        weights: public name or path.
        architecture: of the model.
        new_head: whether the head keeps its initial values in any case.

    Raises:
        UserError: they do not fit, or cannot be read or downloaded; the model is unchanged.
    """
    variables = {
        f"{layer.name}/{variable.name}": variable for layer in model.layers for variable in layer.weights
    }
    epsilons = {
        f"{layer.name}/moving_variance": layer.epsilon
        for layer in model.layers
        if isinstance(layer, keras.layers.BatchNormalization)
    }
    if registry.is_name(weights):
        head = variables.get(f"{HEAD}/kernel")
        entry = public_weights(weights, architecture)
        new_head = new_head or head is None or head.shape[-1] != entry.classes
        path: str | os.PathLike = entry.fetch(headless=new_head)
    else:
        path = weights
    with open_weights(path) as named:
        head = variables.get(f"{HEAD}/kernel")
        if head is not None and not any(key.startswith(f"{HEAD}/") for key in named.arrays):
            # With that number, a user expects the head that the file lacks.
            new_head = new_head or head.shape[-1] != _DEFAULT_CLASSES[architecture.stem]
        arrays = _match(variables, named, model.name, weights, new_head)
        values = {key: array.read() for key, array in arrays.items()}
    for key, value in values.items():
        if key in epsilons:
            # BN divides by the root of variance + epsilon: a different epsilon goes into the variance.
            value = value.astype("float64") + (named.convention.epsilon - epsilons[key])
        variables[key].assign(np.asarray(value, "float32"))


def _match(
    variables: Mapping[str, keras.Variable],
    named: NamedArrays,
    model_name: str,
    weights: str | os.PathLike,
    new_head: bool,
) -> dict[str, LazyArray]:
    """Returns the array for each variable.

    Raises:
        UserError: a variable has no array, or an array no variable.
    """
    expected = {key for key in variables if _is_network(key)}
    in_front = {key for key in variables if key not in expected} | {f"{MEAN_LAYER}/mean"}
    arrays = {key: array for key, array in named.arrays.items() if key not in in_front}
    head = {key for key in {*arrays, *expected} if key.startswith(f"{HEAD}/")}
    has_head = any(key in variables for key in head)
    both = all(key in arrays and key in variables for key in head)
    if not has_head or new_head or (both and _classes_differ(arrays, variables)):
        expected -= head
        arrays = {key: array for key, array in arrays.items() if key not in head}
    stem = "conv1_conv/kernel"
    if stem in arrays and stem in expected:
        arrays[stem] = _with_channels(arrays[stem], variables[stem].shape)
    problems = list(_problems(variables, expected, arrays))
    if problems:
        more = f", and {len(problems) - _MAX_LISTED} more" if len(problems) > _MAX_LISTED else ""
        raise UserError(
            f"do not fit {model_name}, which is unchanged: {', '.join(problems[:_MAX_LISTED])}{more}; use "
            "weights of the same architecture.",
            parameter="weights",
            value=weights,
        )
    return arrays


def _is_network(key: str) -> bool:
    """Whether a variable belongs to the network, and not to a layer in front of its first convolution."""
    layer = key.partition("/")[0]
    return belongs_to_network(layer)


def _classes_differ(arrays: Mapping[str, LazyArray], variables: Mapping[str, keras.Variable]) -> bool:
    """Whether both have a head on equally many features, for different numbers of classes."""
    theirs, ours = arrays[f"{HEAD}/kernel"].shape, variables[f"{HEAD}/kernel"].shape
    return len(theirs) == 2 and theirs[0] == ours[0] and theirs[1] != ours[1]


def _problems(
    variables: Mapping[str, keras.Variable], expected: set[str], arrays: Mapping[str, LazyArray]
) -> Iterator[str]:
    for key in variables:
        if key in expected and key not in arrays:
            yield f"{key} is missing"
    for key, array in arrays.items():
        if key not in expected:
            yield f"{key[:_MAX_NAME]} is not part of it"
        elif array.shape != tuple(variables[key].shape):
            yield f"{key} is {_shape_text(array.shape)} and should be {_shape_text(variables[key].shape)}"


def _shape_text(shape: tuple[int, ...]) -> str:
    return "x".join(map(str, shape)) or "a scalar"


def _with_channels(kernel: LazyArray, shape: tuple[int, ...]) -> LazyArray:
    """Returns the kernel for another number of channels, or as it is if the shapes differ otherwise too."""
    theirs, ours = kernel.shape, tuple(shape)
    if len(theirs) != 4 or theirs == ours or (*theirs[:2], theirs[3]) != (*ours[:2], ours[3]):
        return kernel
    channels = ours[2]

    def read() -> np.ndarray:
        total = kernel.read().astype("float64").sum(axis=2, keepdims=True)
        return np.repeat(total / channels, channels, axis=2)

    return LazyArray(ours, read)
