"""Edits of a model that keep its function."""

from collections.abc import Callable, Collection

import keras
import numpy as np

from keras_resnet._utils.recursion import raised_recursion_limit
from keras_resnet.errors import UserError
from keras_resnet.weights.names import parse_layer_name

# Layers whose kernel has the output channels on its last axis, so that BN can be folded into it.
_FOLDABLE = (keras.layers.Conv2D, keras.layers.Dense)


def fold_batch_norm(model: keras.Model) -> keras.Model:
    """Returns an inference-only copy of a flat Functional model with each BN folded into the layer before.

    A BN that directly follows a convolution or fully connected layer is removed, and that layer gets the
    scaled kernel and a bias: the outputs in inference are the same, with fewer operations. A BN after
    anything else, or after a layer whose output has other uses, stays. The copy has its own weights. It is
    not equivalent for training, where the original normalizes by batch statistics.

    Raises:
        UserError: the model is not Functional.
    """
    return _fold(model, {})


def inference_copy(model: keras.Model) -> keras.Model:
    """Returns a copy as by `fold_batch_norm` that computes in float32, whatever policy the model has.

    Its input, called "image", is float32 as well: a Keras model that takes integers would truncate floats.
    For models with one input.

    Raises:
        UserError: the model is not Functional.
    """
    _check_functional(model)
    image = keras.Input(model.inputs[0].shape[1:], dtype="float32", name="image")
    # Nested as the model's own input is: a tensor, or a list of one.
    return _fold(model, {"dtype": "float32"}, keras.tree.map_structure(lambda _: image, model.input))


def fully_convolutional(model: keras.Model) -> keras.Model:
    """Returns an inference-only copy that classifies every position of a larger image (section 3.4).

    The global pool becomes a pool over windows of its former size, and the fully connected layer after it a
    1x1 convolution: each output is the model's prediction for the part of the image at that position. An
    image of the model's own size has one position, with the model's own output. BN is folded, and a mean
    image is resized to the image. Everything is computed in float32.

    Shapes: (N, H, W, C) -> (N, h, w, classes), where h = ceil(H/s) - ceil(H'/s) + 1 for a model with inputs
    of height H' and a total stride of s; likewise w.

    Raises:
        UserError: the model is not Functional, has no global average pool over a map of known size, or has
            its channels first.
    """
    _check_functional(model)
    pools = [layer for layer in model.layers if isinstance(layer, keras.layers.GlobalAveragePooling2D)]
    if len(pools) != 1 or None in pools[0].input.shape[1:] or pools[0].data_format != "channels_last":
        raise UserError(
            "cannot be made fully convolutional: that takes one global average pool, over a feature map of "
            "known size with its channels last.",
            parameter="model",
            value=model.name,
        )
    window = pools[0].input.shape[1:3]

    def replace(layer, config):
        if layer is pools[0]:
            return keras.layers.AveragePooling2D(window, strides=1, name=layer.name, dtype="float32")
        if isinstance(layer, keras.layers.Softmax):  # over the classes, which are no longer on axis 1
            return keras.layers.Softmax(name=layer.name, dtype="float32")
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
    return _fold(model, {"dtype": "float32"}, inputs, replace)


def _fold(
    model: keras.Model,
    changes: dict,
    inputs: object = None,
    replace: Callable[[keras.layers.Layer, dict], keras.layers.Layer | None] = lambda layer, config: None,
) -> keras.Model:
    """Returns the copy.

    Args:
        changes: to the config of each layer.
        inputs: to build the copy upon; by default new ones like the model's.
        replace: takes a layer and the config of its copy; returns a different layer, whose weights have the
            same shapes but for dimensions of 1, or None for the usual copy.
    """
    folded = _find_foldable(model)
    bypassed = set(folded.values())

    def clone(layer):
        # Nested models have layers with configs of their own.
        config = layer.get_config() if isinstance(layer, keras.Model) else {**layer.get_config(), **changes}
        if layer.name in folded:
            config["use_bias"] = True
        return replace(layer, config) or type(layer).from_config(config)

    def call(layer, *args, **kwargs):
        return args[0] if layer.name in bypassed else layer(*args, **kwargs)

    with raised_recursion_limit():
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
    """Sets gamma of the last BN of each residual branch to 0, so that each block starts as its shortcut.

    Goyal et al. 2017, section 5.1. For models with this package's layer names; a plain model is not changed.

    Args:
        blocks: names of the blocks (`conv2_block1`, ...); by default all.
    """
    residual: set[str] = set()
    branches: dict[str, dict[int, keras.layers.Layer]] = {}  # the BN layers of each block, by index
    for layer in model.layers:
        name = parse_layer_name(layer.name)
        if name is None or name.block_name is None or (blocks is not None and name.block_name not in blocks):
            continue
        if name.kind == "add":
            residual.add(name.block_name)
        elif name.kind == "bn" and name.index:
            branches.setdefault(name.block_name, {})[name.index] = layer
    for block in residual:
        gamma = branches[block][max(branches[block])].gamma
        gamma.assign(keras.ops.zeros_like(gamma))


def _find_foldable(model: keras.Model) -> dict[str, str]:
    """Returns the name of each BN to fold, by the name of the layer that it is folded into."""
    _check_functional(model)
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
        producer = producers.get(id(bn.input))
        if (
            isinstance(producer, _FOLDABLE)
            and producer.activation is keras.activations.linear
            and users[id(bn.input)] == 1
            and _normalizes_channels(bn, producer)
        ):
            pairs[producer.name] = bn.name
    return pairs


def _check_functional(model: keras.Model) -> None:
    if not getattr(model, "inputs", None) or isinstance(model, keras.Sequential):
        raise UserError(
            "is not a Functional model; make it one with keras.Model(inputs, outputs).",
            parameter="model",
            value=model.name,
        )


def _normalizes_channels(bn: keras.layers.BatchNormalization, producer: keras.layers.Layer) -> bool:
    rank = len(producer.output.shape)
    channels_first = getattr(producer, "data_format", None) == "channels_first"
    return bn.axis % rank == (1 if channels_first else rank - 1)


def _folded_weights(
    layer: keras.layers.Layer, bn: keras.layers.BatchNormalization
) -> tuple[np.ndarray, np.ndarray]:
    """Returns gamma * (W x + b - mean) / sqrt(variance + epsilon) + beta as a kernel and a bias."""
    mean, variance = _array(bn.moving_mean), _array(bn.moving_variance)
    scale = (_array(bn.gamma) if bn.scale else 1) / np.sqrt(variance + bn.epsilon)
    shift = _array(bn.beta) if bn.center else 0
    bias = _array(layer.bias) if layer.use_bias else 0
    return _array(layer.kernel) * scale, (bias - mean) * scale + shift


def _array(weight: keras.Variable) -> np.ndarray:
    return keras.ops.convert_to_numpy(weight).astype("float64")
