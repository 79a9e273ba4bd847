"""A model traced block by block: equal blocks are traced once and called many times."""

import itertools
from collections.abc import Collection, Sequence
from typing import Any

import keras
import tensorflow as tf

from keras_resnet._utils.recursion import raised_recursion_limit
from keras_resnet.models.layers import ZeroPaddingShortcut
from keras_resnet.weights.names import parse_layer_name, stage_of

# Layers that are a function of their inputs and weights alone. Others, such as dropout with its random state,
# are called as Keras calls them, and so is synchronized batch norm, which communicates with other devices.
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
    """Shares the layers and weights of another model, and is traced in less time.

    Training it trains the other model.

    Keras calls a model layer by layer, and TensorFlow traces, differentiates and optimizes each call, which
    takes minutes for a model of 1202 layers. Here a block is a function of its input and its weights, and
    blocks with equal layers and shapes share one function, so that depth only adds calls. Layers are trained
    or frozen as they are at construction.

    Args:
        model: a flat Functional model with one input and one output. Layers not named like those of this
            package are called one by one.
        rematerialize: stages (`conv2`, ...) whose blocks recompute their inner activations for the gradients
            instead of keeping them: about 1.3 times the work, and a fraction of the memory.
    """

    def __init__(self, model: keras.Model, rematerialize: Collection[str] = ()):
        with raised_recursion_limit():
            super().__init__(model.inputs, model.outputs, name=model.name)
        self._walk = _Walk(self, rematerialize)

    def call(self, inputs, training=None, mask=None):
        return self._walk(inputs, bool(training))


class _Walk:
    """Computes a model from input to output: its blocks, and the layers between them."""

    def __init__(self, model: keras.Model, rematerialize: Collection[str]):
        (self._input,), (self._output,) = model.inputs, model.outputs
        self._parts: list[keras.Operation | _Call] = []
        functions: dict[Any, tf.types.experimental.PolymorphicFunction] = {}
        # A layer may belong to other models too, where it has other inputs.
        nodes = itertools.chain.from_iterable(model._nodes_by_depth.values())
        self._nodes = {id(node.operation): node for node in nodes}
        # Not the layers alone: those of a user may have operations between them, such as x / 255.
        operations = [one for one in model.operations if not isinstance(one, keras.layers.InputLayer)]
        for name, group in itertools.groupby(operations, _block_of):
            members = tuple(group)
            if name is None or not all(map(_is_pure, members)):
                self._parts.extend(members)
                continue
            recompute = stage_of(members[0].name) in rematerialize
            block = _Block(members)
            function = functions.setdefault((recompute, block.kind()), block.as_function(recompute))
            self._parts.append(_Call(block, function))

    def __call__(self, image: tf.Tensor, training: bool) -> tf.Tensor:
        # As Keras does it for a Functional model: uint8 images become what the first layer takes.
        values = {id(self._input): tf.cast(image, self._input.dtype)}
        for part in self._parts:
            if isinstance(part, _Call):
                values[id(part.block.output)] = part(values[id(part.block.input)], training)
            else:
                _run(self._nodes[id(part)], values)
        return values[id(self._output)]


class _Block:
    """Consecutive layers that together have one input and one output."""

    def __init__(self, layers: Sequence[keras.layers.Layer]):
        self._layers = layers
        self.output = layers[-1].output
        inside = {id(layer.output) for layer in layers}
        read = (tensor for layer in layers for tensor in keras.tree.flatten(layer.input))
        (self.input,) = {id(tensor): tensor for tensor in read if id(tensor) not in inside}.values()
        self.trainable = [weight for layer in layers for weight in layer.trainable_variables]
        self.others = [weight for layer in layers for weight in layer.non_trainable_variables]
        # Those that training updates: the averages of batch norm, unless it is frozen.
        self.moving = [
            weight for layer in layers if layer.trainable for weight in layer.non_trainable_variables
        ]

    def kind(self) -> str:
        """Returns a string that is equal for blocks that compute the same function.

        It includes what is frozen, by the layers' configs: that decides the order of the weights and the mode
        of batch norm.
        """
        positions = {id(self.input): -1} | {id(layer.output): i for i, layer in enumerate(self._layers)}
        parts = [str(self.input.shape)]
        for layer in self._layers:
            sources = [positions[id(tensor)] for tensor in keras.tree.flatten(layer.input)]
            config = {key: value for key, value in layer.get_config().items() if key != "name"}
            parts.append(f"{type(layer).__name__} {sources} {layer.output.shape} {config}")
        return "\n".join(parts)

    def as_function(self, rematerialize: bool) -> tf.types.experimental.PolymorphicFunction:
        """Returns (input, trainable weights, other weights, training) -> (output, updated averages)."""

        def call(x, trainable, others, training):
            weights = zip(self.trainable + self.others, (*trainable, *others), strict=True)
            with keras.StatelessScope(state_mapping=list(weights)) as scope:
                values = {id(self.input): x}
                for layer in self._layers:
                    # Explicitly: Keras' call context is gone when a gradient recomputes the block.
                    if isinstance(layer, keras.layers.BatchNormalization):
                        _call_layer(layer, values, training=training)
                    else:
                        _call_layer(layer, values)
            return values[id(self.output)], [scope.get_current_value(weight) for weight in self.moving]

        def call_recomputed(x, trainable, others, training):
            # Without the flag, which is not a tensor to differentiate by.
            return tf.recompute_grad(lambda x, trainable, others: call(x, trainable, others, training))(
                x, trainable, others
            )

        return tf.function(call_recomputed if rematerialize else call, autograph=False)


class _Call:
    """A block called through the function that it shares with equal blocks."""

    def __init__(self, block: _Block, function: tf.types.experimental.PolymorphicFunction):
        self.block = block
        self._function = function

    def __call__(self, x: tf.Tensor, training: bool) -> tf.Tensor:
        trainable, others = (
            [tf.convert_to_tensor(weight) for weight in weights]
            for weights in (self.block.trainable, self.block.others)
        )
        y, updated = self._function(x, trainable, others, training)
        if training:
            for weight, value in zip(self.block.moving, updated, strict=True):
                weight.assign(value)
        return y


def _call_layer(layer: keras.layers.Layer, values: dict[int, tf.Tensor], **arguments: Any) -> None:
    inputs = keras.tree.map_structure(lambda tensor: values[id(tensor)], layer.input)
    values[id(layer.output)] = layer(inputs, **arguments)


def _run(node: Any, values: dict[int, tf.Tensor]) -> None:
    """Calls a layer or operation with all that it was called with when the model was built."""
    inputs, options = node.arguments.fill_in(values)
    results = keras.tree.flatten(node.operation(*inputs, **options))
    values.update(zip(map(id, node.output_tensors), results, strict=True))


def _block_of(layer: keras.Operation) -> str | None:
    name = parse_layer_name(layer.name)
    return name.block_name if name else None


def _is_pure(layer: keras.layers.Layer) -> bool:
    return isinstance(layer, _PURE) and not getattr(layer, "synchronized", False)
