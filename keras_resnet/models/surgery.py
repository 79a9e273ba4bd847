"""Edits of a model that keep its function."""

import collections
from collections.abc import Collection, Iterable, Mapping
from typing import Any

import keras
import numpy as np

from keras_resnet.errors import UserError
from keras_resnet.models.batch_norm import BatchNormalization
from keras_resnet.models.copying import Copier
from keras_resnet.models.graph import Call, calls, check_graph, graphs
from keras_resnet.models.layer_copy import as_array, copy_layer, copy_state
from keras_resnet.weights.names import parse_layer_name

# Layers whose kernel has the output channels on its last axis, so that BN can be folded into it. Subclasses
# may do something else with the kernel.
_FOLDABLE = (keras.layers.Conv2D, keras.layers.Dense)
_BATCH_NORMS = (keras.layers.BatchNormalization, BatchNormalization)


def fold_batch_norm(model: keras.Model) -> keras.Model:
    """Returns an inference-only copy of a Functional model with each BN folded into the layer before.

    A BN that directly follows a convolution or fully connected layer is removed, and that layer gets the
    scaled kernel and a bias: the outputs in inference are the same, with fewer operations. A BN after
    anything else, or after a layer whose output has other uses, stays. The BNs of nested models are folded as
    well. The copy has its own weights. It is not equivalent for training, where the original normalizes by
    batch statistics.

    Raises:
        UserError: the model is not Functional, or has a layer that cannot be copied.
    """
    check_graph(model)
    return _Folder(model).copy(model)


def inference_copy(model: keras.Model) -> keras.Model:
    """Returns a copy as by `fold_batch_norm` that computes in float32, whatever policy the model has.

    Its input, called "image", is float32 as well: a Keras model that takes integers would truncate floats.
    For whole numbers the outputs are those of the model. Nested models become part of the graph. For models
    with one input.

    Raises:
        UserError: the model is not Functional, or has a layer that cannot be copied.
    """
    check_graph(model)
    # Nested as the model's own input is: a tensor, or a list of one.
    return _Folder(model, "float32", inline=True).copy(model, image_input(model, model.inputs[0].shape[1:]))


def fully_convolutional(model: keras.Model) -> keras.Model:
    """Returns an inference-only copy that classifies every position of a larger image (section 3.4).

    The global pool becomes a pool over windows of its former size, and the fully connected layer after it a
    1x1 convolution: each output is the model's prediction for the part of the image at that position. An
    image of the model's own size has one position, with the model's own output. BN is folded, and a mean
    image is resized to the image. Everything is computed in float32.

    Shapes: (N, H, W, C) -> (N, h, w, classes), where h = ceil(H/s) - ceil(H'/s) + 1 for a model with inputs
    of height H' and a total stride of s; likewise w.

    Raises:
        UserError: the model is not Functional, has no global average pool over a map of known size, has its
            channels first, or has a layer that cannot be copied.
    """
    check_graph(model)
    pools = [
        call
        for graph in graphs(model)
        for call in calls(graph)
        if isinstance(call.operation, keras.layers.GlobalAveragePooling2D)
    ]
    if (
        len(pools) != 1
        or None in pools[0].input_tensors[0].shape[1:]
        or pools[0].operation.data_format != "channels_last"
    ):
        raise UserError(
            "cannot be made fully convolutional: that takes one global average pool, over a feature map of "
            "known size with its channels last.",
            parameter="model",
            value=model.name,
        )
    image = image_input(model, (None, None, model.inputs[0].shape[-1]))
    return _DenseFolder(model, pools[0]).copy(model, image)


def image_input(model: keras.Model, shape: tuple) -> Any:
    """Returns a new float32 input called "image", nested as the input of a model with one input is."""
    image = keras.Input(shape, dtype="float32", name="image")
    return keras.tree.map_structure(lambda _: image, model.input)


class _Folder(Copier):
    """Copies a model with BN folded."""

    def __init__(self, model: keras.Model, dtype: str | None = None, *, inline: bool = False):
        super().__init__(dtype, inline=inline)
        self._folded = _find_foldable(model)
        self._bypassed = {id(bn) for bn in self._folded.values()}

    def changes(self, layer: keras.layers.Layer) -> Mapping[str, Any]:
        return {"use_bias": True} if id(layer) in self._folded else {}

    def call(self, operation: keras.Operation, copied: Any, args: Any, kwargs: Any) -> Any:
        return args[0] if id(operation) in self._bypassed else copied(*args, **kwargs)

    def load(self, layer: keras.layers.Layer, copied: keras.layers.Layer) -> None:
        if id(layer) in self._folded:
            _set_weights(copied, _folded_weights(layer, self._folded[id(layer)]))
        elif id(layer) not in self._bypassed:
            copy_state(layer, copied)


class _DenseFolder(_Folder):
    """Copies a classifier as a fully convolutional model, in float32 with BN folded."""

    def __init__(self, model: keras.Model, pool: Call):
        super().__init__(model, "float32", inline=True)
        self._pool = pool

    def make(self, layer: Any) -> keras.layers.Layer:
        common = {"name": layer.name, "dtype": "float32"}
        if layer is self._pool.operation:
            window = self._pool.input_tensors[0].shape[1:3]
            return keras.layers.AveragePooling2D(window, strides=1, **common)
        if type(layer) is keras.layers.Softmax:  # over the classes, which are no longer on axis 1
            return keras.layers.Softmax(**common)
        if type(layer) is keras.layers.Dense and not layer.quantization_mode:
            use_bias = layer.use_bias or id(layer) in self._folded
            return keras.layers.Conv2D(
                layer.units, 1, activation=layer.activation, use_bias=use_bias, **common
            )
        return copy_layer(layer, self.dtype, self.changes(layer))

    def load(self, layer: keras.layers.Layer, copied: keras.layers.Layer) -> None:
        if type(copied) is keras.layers.Conv2D and type(layer) is keras.layers.Dense:
            folded = self._folded.get(id(layer))
            weights = (as_array(weight) for weight in (layer.kernel, layer.bias) if weight is not None)
            _set_weights(copied, weights if folded is None else _folded_weights(layer, folded))
        else:
            super().load(layer, copied)


def zero_gamma(model: keras.Model, blocks: Collection[str] | None = None) -> None:
    """Sets gamma of the last BN of each residual branch to 0, so that each block starts as its shortcut.

    Goyal et al. 2017, section 5.1. Of a pre-activation block, whose branch ends in a convolution, it is the
    kernel: behind a gamma of 0 the ReLU would let no gradient through. For models with this package's layer
    names; a plain model is not changed.

    Args:
        blocks: names of the blocks (`conv2_block1`, ...); by default all.
    """
    last: dict[str, keras.layers.Layer] = {}  # layer with weights of each block's branch
    for layer in model.layers:
        name = parse_layer_name(layer.name)
        if name and name.index and name.block_name and name.kind in ("conv", "bn"):
            last[name.block_name] = layer
    for block in residual_blocks(model):
        if blocks is None or block in blocks:
            layer = last[block]
            weight = layer.gamma if isinstance(layer, keras.layers.BatchNormalization) else layer.kernel
            weight.assign(keras.ops.zeros(weight.shape))


def residual_blocks(model: keras.Model) -> tuple[str, ...]:
    """Returns the names of the blocks that have a shortcut: `conv2_block1`, ..."""
    sums = (layer.name for layer in model.layers if isinstance(layer, keras.layers.Add))
    return tuple(name.block_name for name in map(parse_layer_name, sums) if name and name.block_name)


def _find_foldable(model: keras.Model) -> dict[int, Any]:
    """Returns each BN to fold, by the id of the layer that it is folded into."""
    uses: collections.Counter[int] = collections.Counter()
    call_counts: collections.Counter[int] = collections.Counter()
    producers: dict[int, Call] = {}
    found = [call for graph in graphs(model) for call in calls(graph)]
    for call in found:
        call_counts[id(call.operation)] += 1
        uses.update(map(id, call.input_tensors))
        producers.update((id(tensor), call) for tensor in call.outputs)
    for graph in graphs(model):
        uses.update(map(id, graph.outputs))
    pairs = {}
    for call in found:
        bn = call.operation
        if type(bn) not in _BATCH_NORMS or bn.renorm or not _is_inference(call):
            continue
        tensor = call.input_tensors[0]
        before = producers.get(id(tensor))
        if (
            before is not None
            and type(before.operation) in _FOLDABLE
            and before.operation.activation is keras.activations.linear
            and not before.operation.quantization_mode
            and uses[id(tensor)] == call_counts[id(bn)] == call_counts[id(before.operation)] == 1
            and _normalizes_channels(bn, before)
        ):
            pairs[id(before.operation)] = bn
    return pairs


def _is_inference(call: Call) -> bool:
    """Whether a BN is called on a tensor alone, and not, say, with `training=True` or a mask."""
    arguments = call.arguments
    others = [*arguments.args[1:], *arguments.kwargs.values()]
    return len(call.input_tensors) == 1 and all(value is None or value is False for value in others)


def _normalizes_channels(bn: Any, before: Call) -> bool:
    rank = len(before.outputs[0].shape)
    channels_first = getattr(before.operation, "data_format", None) == "channels_first"
    return bn.axis % rank == (1 if channels_first else rank - 1)


def _folded_weights(layer: Any, bn: Any) -> tuple[np.ndarray, np.ndarray]:
    """Returns gamma * (W x + b - mean) / sqrt(variance + epsilon) + beta as a kernel and a bias."""
    mean, variance = _array(bn.moving_mean), _array(bn.moving_variance)
    scale = (_array(bn.gamma) if bn.scale else 1) / np.sqrt(variance + bn.epsilon)
    shift = _array(bn.beta) if bn.center else 0
    bias = _array(layer.bias) if layer.use_bias else 0
    return _array(layer.kernel) * scale, (bias - mean) * scale + shift


def _set_weights(layer: Any, values: Iterable[np.ndarray]) -> None:
    """Sets a kernel and a bias, of the same shapes but for dimensions of 1."""
    for weight, value in zip((layer.kernel, layer.bias), values, strict=False):
        weight.assign(np.reshape(value, weight.shape))


def _array(weight: Any) -> np.ndarray:
    return as_array(weight).astype("float64")
