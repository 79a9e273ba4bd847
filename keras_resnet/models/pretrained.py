"""Weights from elsewhere in a net of ours: all of them in their places, or none."""

import os
import re
from collections.abc import Iterator, Mapping

import keras
import numpy as np

from keras_resnet.errors import UserError
from keras_resnet.models.architectures import Architecture
from keras_resnet.models.origin import public_weights
from keras_resnet.weights import registry
from keras_resnet.weights.layouts import MEAN_LAYER, Named
from keras_resnet.weights.read import open_weights
from keras_resnet.weights.stored import Stored

# How many weights that do not fit a message names.
_TOLD = 10
# Letters of a name from the file in it.
_SHOWN = 80
_HEAD = "predictions"
_NET_LAYER = re.compile(rf"conv\d+_|{_HEAD}/")


def load_weights(
    model: keras.Model, weights: str | os.PathLike, architecture: Architecture, *, new_head: bool = False
) -> None:
    """Give a net of ours the weights of a file, or those of a public name.

    Every array of the file has its place in the net, and every weight of the net comes from the file; but for
    the head, which stays as it is where the net has another number of classes, and is left out where the net
    has none. A first convolution of another number of channels gets, for each, the sum of the file's kernel
    over its colours, divided by the number of channels: the answer to a grey picture stays what it was. What
    stands in front of the first convolution, in the file or here, is no part of the net and left alone.

    Args:
        model: as `ResNet` builds it.
        weights: public name or path.
        architecture: of the model.
        new_head: whether the head stays as it is in any case.

    Raises:
        UserError: they do not fit, or cannot be had; the model stays as it was.
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
        head = variables.get(f"{_HEAD}/kernel")
        new_head = new_head or head is None or head.shape[-1] != registry.CLASSES
        path: str | os.PathLike = public_weights(weights, architecture).fetch(headless=new_head)
    else:
        path = weights
    with open_weights(path) as named:
        arrays = _fitting(variables, named, model.name, weights, new_head)
        values = {key: array.read() for key, array in arrays.items()}
    for key, value in values.items():
        if key in epsilons:
            # BN divides by the root of the sum of both.
            value = value.astype("float64") + (named.layout.epsilon - epsilons[key])
        variables[key].assign(np.asarray(value, "float32"))


def _fitting(
    variables: Mapping[str, keras.Variable], named: Named, net: str, told: object, new_head: bool
) -> dict[str, Stored]:
    """The array of each variable.

    Args:
        new_head: whether the net's head stays as it is in any case.

    Raises:
        UserError: not every variable has one, or not every array has its variable.
    """
    wanted = {key for key in variables if _NET_LAYER.match(key)}
    in_front = {key for key in variables if key not in wanted} | {f"{MEAN_LAYER}/mean"}
    arrays = {key: array for key, array in named.arrays.items() if key not in in_front}
    head = {key for key in {*arrays, *wanted} if key.startswith(f"{_HEAD}/")}
    has_head = any(key in variables for key in head)
    both = all(key in arrays and key in variables for key in head)
    if not has_head or new_head or (both and _classes_differ(arrays, variables)):
        wanted -= head
        arrays = {key: array for key, array in arrays.items() if key not in head}
    stem = "conv1_conv/kernel"
    if stem in arrays and stem in wanted:
        arrays[stem] = _with_channels(arrays[stem], variables[stem].shape)
    problems = list(_problems(variables, wanted, arrays))
    if problems:
        more = f", and {len(problems) - _TOLD} more" if len(problems) > _TOLD else ""
        raise UserError(
            f"The weights in {told} do not fit {net}: {', '.join(problems[:_TOLD])}{more}; nothing was "
            "changed, and weights of the same net would fit."
        )
    return arrays


def _classes_differ(arrays: Mapping[str, Stored], variables: Mapping[str, keras.Variable]) -> bool:
    """Whether both have a head on the same features, for other numbers of classes."""
    theirs, ours = arrays[f"{_HEAD}/kernel"].shape, variables[f"{_HEAD}/kernel"].shape
    return len(theirs) == 2 and theirs[0] == ours[0] and theirs[1] != ours[1]


def _problems(
    variables: Mapping[str, keras.Variable], wanted: set[str], arrays: Mapping[str, Stored]
) -> Iterator[str]:
    for key in variables:
        if key in wanted and key not in arrays:
            yield f"{key} is missing"
    for key, array in arrays.items():
        if key not in wanted:
            yield f"{key[:_SHOWN]} has no place in it"
        elif array.shape != tuple(variables[key].shape):
            yield f"{key} is {_times(array.shape)} and should be {_times(variables[key].shape)}"


def _times(shape: tuple[int, ...]) -> str:
    return "x".join(map(str, shape)) or "a number"


def _with_channels(kernel: Stored, shape: tuple[int, ...]) -> Stored:
    """The kernel for another number of channels, or itself where that is not all that differs."""
    given, wanted = kernel.shape, tuple(shape)
    if len(given) != 4 or given == wanted or (*given[:2], given[3]) != (*wanted[:2], wanted[3]):
        return kernel
    channels = wanted[2]

    def read() -> np.ndarray:
        total = kernel.read().astype("float64").sum(axis=2, keepdims=True)
        return np.repeat(total / channels, channels, axis=2)

    return Stored(wanted, read)
