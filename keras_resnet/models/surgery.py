"""Edits of a net that keep its function."""

import re

import keras
import numpy as np

from keras_resnet.models.deep import room_to_recurse

# The layers whose kernel has the output channels on its last axis and whose output BN may scale.
_FOLDABLE = (keras.layers.Conv2D, keras.layers.Dense)
_NOT_FUNCTIONAL = "{} is not a Functional model; only those can be folded."


def fold_batch_norm(model: keras.Model) -> keras.Model:
    """An inference-only copy of a flat Functional model, with each BN folded into the layer before it.

    A BN that directly follows a convolution or fully connected layer disappears, and that layer gets the
    scaled kernel and a bias: same outputs in inference, fewer operations. A BN that follows anything else,
    or a layer whose output is used elsewhere too, stays. The copy has its own weights; training it is
    another thing than training the original, which has batch statistics.

    Raises:
        ValueError: the model is not Functional.
    """
    return _folded(model, {})


def inference_copy(model: keras.Model) -> keras.Model:
    """`fold_batch_norm` in float32 from the first layer to the last, whatever policy the model has.

    Its input is float32 as well, called "image": a Keras model that takes integers would cut off the
    fractions of floats. For models with one input.

    Raises:
        ValueError: the model is not Functional.
    """
    if not _is_functional(model):
        raise ValueError(_NOT_FUNCTIONAL.format(model.name))
    image = keras.Input(model.inputs[0].shape[1:], dtype="float32", name="image")
    # In the structure of the model's own input: a tensor or a list of one.
    return _folded(model, {"dtype": "float32"}, keras.tree.map_structure(lambda _: image, model.input))


def _folded(model: keras.Model, changes: dict, inputs: object = None) -> keras.Model:
    """The copy, with these changes in the config of each layer and, if given, on these inputs."""
    folded = _foldable(model)
    bypassed = set(folded.values())

    def clone(layer):
        config = {**layer.get_config(), **changes}
        if layer.name in folded:
            config["use_bias"] = True
        return type(layer).from_config(config)

    def call(layer, *args, **kwargs):
        return args[0] if layer.name in bypassed else layer(*args, **kwargs)

    with room_to_recurse():
        copy = keras.models.clone_model(model, inputs, clone_function=clone, call_function=call)
    for layer in copy.layers:
        if not layer.weights:
            continue
        original = model.get_layer(layer.name)
        if layer.name in folded:
            layer.set_weights(_folded_weights(original, model.get_layer(folded[layer.name])))
        else:
            layer.set_weights(original.get_weights())
    return copy


def zero_gamma(model: keras.Model) -> None:
    """Set gamma of the last BN of each residual branch to 0, so that each block begins as its shortcut.

    Goyal et al. 2017, section 5.1. For nets called as this package's; a plain net stays as it is.
    """
    names = [layer.name for layer in model.layers]
    for block in (name.removesuffix("_add") for name in names if name.endswith("_add")):
        branch = [name for name in names if re.fullmatch(rf"{re.escape(block)}_[1-9]_bn", name)]
        gamma = model.get_layer(max(branch)).gamma
        gamma.assign(keras.ops.zeros_like(gamma))


def _foldable(model: keras.Model) -> dict[str, str]:
    """Name of the BN to fold, by the name of the layer that takes it in."""
    if not _is_functional(model):
        raise ValueError(_NOT_FUNCTIONAL.format(model.name))
    users: dict[int, int] = {}
    producers: dict[int, keras.layers.Layer] = {}
    for layer in model.layers:
        for tensor in keras.tree.flatten(layer.input):
            users[id(tensor)] = users.get(id(tensor), 0) + 1
        producers[id(layer.output)] = layer
    for tensor in keras.tree.flatten(model.outputs):
        users[id(tensor)] = users.get(id(tensor), 0) + 1
    pairs = {}
    for bn in model.layers:
        if not isinstance(bn, keras.layers.BatchNormalization) or bn.renorm:
            continue
        before = producers.get(id(bn.input))
        if (
            isinstance(before, _FOLDABLE)
            and before.activation is keras.activations.linear
            and users[id(bn.input)] == 1
            and _normalises_channels(bn, before)
        ):
            pairs[before.name] = bn.name
    return pairs


def _is_functional(model: keras.Model) -> bool:
    return bool(getattr(model, "inputs", None)) and not isinstance(model, keras.Sequential)


def _normalises_channels(bn: keras.layers.BatchNormalization, before: keras.layers.Layer) -> bool:
    rank = len(before.output.shape)
    channels_first = getattr(before, "data_format", None) == "channels_first"
    return bn.axis % rank == (1 if channels_first else rank - 1)


def _folded_weights(
    layer: keras.layers.Layer, bn: keras.layers.BatchNormalization
) -> tuple[np.ndarray, np.ndarray]:
    """gamma * (W x + b - mean) / sqrt(variance + epsilon) + beta, as a kernel and a bias."""
    mean, variance = _array(bn.moving_mean), _array(bn.moving_variance)
    scale = (_array(bn.gamma) if bn.scale else 1) / np.sqrt(variance + bn.epsilon)
    shift = _array(bn.beta) if bn.center else 0
    bias = _array(layer.bias) if layer.use_bias else 0
    return _array(layer.kernel) * scale, (bias - mean) * scale + shift


def _array(weight: keras.Variable) -> np.ndarray:
    return keras.ops.convert_to_numpy(weight).astype("float64")
