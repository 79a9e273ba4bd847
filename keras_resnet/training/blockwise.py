"""A net traced block by block: equal blocks are traced once and called many times."""

import itertools
import re
from collections.abc import Collection, Sequence
from typing import Any

import keras
import tensorflow as tf

from keras_resnet.models.deep import room_to_recurse
from keras_resnet.models.layers import ZeroPaddingShortcut

_BLOCK = re.compile(r"([a-z]+\d+_block\d+)_")
# Layers that are a function of their inputs and weights alone. Others, as dropout with its random state,
# are called as Keras calls them, and so is synchronized BN, which talks to other devices.
_PURE = (
    keras.layers.Activation,
    keras.layers.Add,
    keras.layers.BatchNormalization,
    keras.layers.Conv2D,
    keras.layers.Dense,
    keras.layers.ReLU,
    keras.layers.ZeroPadding2D,
    ZeroPaddingShortcut,
)


class BlockwiseModel(keras.Model):
    """The layers and weights of another net, traced otherwise: train this one, and that one is trained.

    Keras calls a net layer by layer, and TensorFlow traces, differentiates and optimises each of the calls:
    for minutes, of a net of 1202 layers. Here a block is a function of its input and its weights, and blocks
    of equal layers and shapes share one function: what depth adds is a call. Layers are trained or frozen as
    they are when this is made.

    Args:
        net: a flat Functional model with one input and one output. Layers not named as in this package's
            nets are called one by one.
        rematerialized: stages (`conv2`, ...) whose blocks compute their inner activations again for the
            gradients, instead of keeping them: about 1.3 times the work, and a fraction of the memory.
    """

    def __init__(self, net: keras.Model, rematerialized: Collection[str] = ()):
        with room_to_recurse():
            super().__init__(net.inputs, net.outputs, name=net.name)
        self._walk = _Walk(net, rematerialized)

    def call(self, inputs, training=None, mask=None):
        return self._walk(inputs, bool(training))


class _Walk:
    """From the input to the output of a net, over its blocks and the layers between them."""

    def __init__(self, net: keras.Model, rematerialized: Collection[str]):
        (self._input,), (self._output,) = net.inputs, net.outputs
        self._parts: list[keras.layers.Layer | _Call] = []
        functions: dict[Any, tf.types.experimental.PolymorphicFunction] = {}
        layers = [layer for layer in net.layers if not isinstance(layer, keras.layers.InputLayer)]
        for name, group in itertools.groupby(layers, _block_of):
            members = tuple(group)
            if name is None or not all(map(_is_pure, members)):
                self._parts.extend(members)
                continue
            again = name.partition("_")[0] in rematerialized
            block = _Block(members)
            function = functions.setdefault((again, block.kind()), block.as_function(again))
            self._parts.append(_Call(block, function))

    def __call__(self, image: tf.Tensor, training: bool) -> tf.Tensor:
        values = {id(self._input): image}
        for part in self._parts:
            if isinstance(part, _Call):
                values[id(part.block.output)] = part(values[id(part.block.input)], training)
            else:
                _call_layer(part, values)
        return values[id(self._output)]


class _Block:
    """Layers with one input and one output between them."""

    def __init__(self, layers: Sequence[keras.layers.Layer]):
        self._layers = layers
        self.output = layers[-1].output
        inside = {id(layer.output) for layer in layers}
        read = (tensor for layer in layers for tensor in keras.tree.flatten(layer.input))
        (self.input,) = {id(tensor): tensor for tensor in read if id(tensor) not in inside}.values()
        self.trainable = [weight for layer in layers for weight in layer.trainable_variables]
        self.others = [weight for layer in layers for weight in layer.non_trainable_variables]
        # Of the others those that training moves: BN's averages, but for a frozen BN.
        self.moving = [
            weight for layer in layers if layer.trainable for weight in layer.non_trainable_variables
        ]

    def kind(self) -> str:
        """Equal for blocks that compute the same function of their input and weights.

        What is frozen is a part of it, by the layers' configs: it sorts the weights, and says what BN does.
        """
        places = {id(self.input): -1} | {id(layer.output): i for i, layer in enumerate(self._layers)}
        parts = [str(self.input.shape)]
        for layer in self._layers:
            sources = [places[id(tensor)] for tensor in keras.tree.flatten(layer.input)]
            config = {key: value for key, value in layer.get_config().items() if key != "name"}
            parts.append(f"{type(layer).__name__} {sources} {layer.output.shape} {config}")
        return "\n".join(parts)

    def as_function(self, rematerialized: bool) -> tf.types.experimental.PolymorphicFunction:
        """(input, trainable weights, other weights, training) -> output, moving weights afterwards."""

        def call(x, trainable, others, training):
            weights = zip(self.trainable + self.others, (*trainable, *others), strict=True)
            with keras.StatelessScope(state_mapping=list(weights)) as scope:
                values = {id(self.input): x}
                for layer in self._layers:
                    # Said aloud: Keras' call context is gone when a gradient computes the block again.
                    if isinstance(layer, keras.layers.BatchNormalization):
                        _call_layer(layer, values, training=training)
                    else:
                        _call_layer(layer, values)
            return values[id(self.output)], [scope.get_current_value(weight) for weight in self.moving]

        def call_again(x, trainable, others, training):
            # The flag is no tensor to differentiate by.
            return tf.recompute_grad(lambda x, trainable, others: call(x, trainable, others, training))(
                x, trainable, others
            )

        return tf.function(call_again if rematerialized else call, autograph=False)


class _Call:
    """A block called through the function it shares with its equals."""

    def __init__(self, block: _Block, function: tf.types.experimental.PolymorphicFunction):
        self.block = block
        self._function = function

    def __call__(self, x: tf.Tensor, training: bool) -> tf.Tensor:
        trainable, others = (
            [tf.convert_to_tensor(weight) for weight in weights]
            for weights in (self.block.trainable, self.block.others)
        )
        y, moved = self._function(x, trainable, others, training)
        if training:
            for weight, value in zip(self.block.moving, moved, strict=True):
                weight.assign(value)
        return y


def _call_layer(layer: keras.layers.Layer, values: dict[int, tf.Tensor], **arguments: Any) -> None:
    inputs = keras.tree.map_structure(lambda tensor: values[id(tensor)], layer.input)
    values[id(layer.output)] = layer(inputs, **arguments)


def _block_of(layer: keras.layers.Layer) -> str | None:
    match = _BLOCK.match(layer.name)
    return match and match[1]


def _is_pure(layer: keras.layers.Layer) -> bool:
    return isinstance(layer, _PURE) and not getattr(layer, "synchronized", False)
