"""Edits of a net that keep its function."""

import re
from collections.abc import Callable, Collection

import keras
import numpy as np

from keras_resnet.models.deep import room_to_recurse

# The layers whose kernel has the output channels on its last axis and whose output BN may scale.
_FOLDABLE = (keras.layers.Conv2D, keras.layers.Dense)
_NOT_FUNCTIONAL = "{} is not a Functional model; make it one, as keras.Model(inputs, outputs)."


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


def fully_convolutional(model: keras.Model) -> keras.Model:
    """An inference-only copy that classifies every position of a larger image (section 3.4, reference 41).

    The global pool becomes one of the window it had, and the fully connected layer behind it a 1x1
    convolution: each output is what the net says of the part of the image below it, without cutting it out.
    Of an image of the net's own size there is one position, with the net's own answer. BN is folded, and a
    mean image is scaled as the image is. Everything in float32.

    Shapes: (N, H, W, C) -> (N, h, w, classes), h being ceil(H/s) - ceil(H'/s) + 1 for a net made for H' and a
    total stride of s; the same for w.

    Raises:
        ValueError: the model is not Functional, has no global average pool over a map of known size, or has
            its channels first.
    """
    if not _is_functional(model):
        raise ValueError(_NOT_FUNCTIONAL.format(model.name))
    pools = [layer for layer in model.layers if isinstance(layer, keras.layers.GlobalAveragePooling2D)]
    if len(pools) != 1 or None in pools[0].input.shape[1:] or pools[0].data_format != "channels_last":
        raise ValueError(
            f"{model.name} cannot be made fully convolutional: that takes one global average pool, over a "
            "feature map of known size with its channels last."
        )
    window = pools[0].input.shape[1:3]

    def replace(layer, config):
        if layer is pools[0]:
            return keras.layers.AveragePooling2D(window, strides=1, name=layer.name, dtype="float32")
        if isinstance(layer, keras.layers.Dense):
            return keras.layers.Conv2D(
                layer.units,
                1,
                activation=layer.activation,
                use_bias=config["use_bias"],
                name=layer.name,
                dtype="float32",
            )
        return None

    image = keras.Input((None, None, model.inputs[0].shape[-1]), dtype="float32", name="image")
    inputs = keras.tree.map_structure(lambda _: image, model.input)
    return _folded(model, {"dtype": "float32"}, inputs, replace)


def _folded(
    model: keras.Model,
    changes: dict,
    inputs: object = None,
    replace: Callable[[keras.layers.Layer, dict], keras.layers.Layer | None] = lambda layer, config: None,
) -> keras.Model:
    """The copy, with these changes in the config of each layer and, if given, on these inputs.

    Args:
        replace: takes a layer and the config of its copy; gives another copy, which takes the same weights
            but for dimensions of 1, or None.
    """
    folded = _foldable(model)
    bypassed = set(folded.values())

    def clone(layer):
        # A net inside the net has layers with configs of their own.
        config = layer.get_config() if isinstance(layer, keras.Model) else {**layer.get_config(), **changes}
        if layer.name in folded:
            config["use_bias"] = True
        return replace(layer, config) or type(layer).from_config(config)

    def call(layer, *args, **kwargs):
        return args[0] if layer.name in bypassed else layer(*args, **kwargs)

    with room_to_recurse():
        copy = keras.models.clone_model(model, inputs, clone_function=clone, call_function=call)
    for layer in copy.layers:
        if not layer.weights:
            continue
        original = model.get_layer(layer.name)
        if layer.name in folded:
            weights = _folded_weights(original, model.get_layer(folded[layer.name]))
        else:
            weights = original.get_weights()
        shapes = [weight.shape for weight in layer.weights]
        layer.set_weights([np.reshape(value, shape) for value, shape in zip(weights, shapes, strict=True)])
    return copy


def zero_gamma(model: keras.Model, blocks: Collection[str] | None = None) -> None:
    """Set gamma of the last BN of residual branches to 0, so that each block begins as its shortcut.

    Goyal et al. 2017, section 5.1. For nets called as this package's; a plain net stays as it is.

    Args:
        blocks: names of the blocks (`conv2_block1`, ...); by default all.
    """
    names = [layer.name for layer in model.layers]
    for block in (name.removesuffix("_add") for name in names if name.endswith("_add")):
        if blocks is not None and block not in blocks:
            continue
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
