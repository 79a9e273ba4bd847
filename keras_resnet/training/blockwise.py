"""A model traced block by block: equal blocks are traced once and called many times."""

import itertools
from collections.abc import Callable, Collection, Sequence
from typing import Any

import keras

from keras_resnet._utils.recursion import raised_recursion_limit
from keras_resnet.models.graph import Call, calls, run
from keras_resnet.models.layers import ZeroPaddingShortcut
from keras_resnet.weights.names import STEM, parse_layer_name, stage_of

# Layers that are a function of their inputs and weights alone. Others, such as dropout with its random state,
# are called as Keras calls them, and so is synchronized batch norm, which communicates with other devices.
_PURE = (
    keras.layers.Activation,
    keras.layers.Add,
    keras.layers.BatchNormalization,
    keras.layers.Conv2D,
    keras.layers.Dense,
    keras.layers.MaxPooling2D,
    keras.layers.ReLU,
    keras.layers.ZeroPadding2D,
    ZeroPaddingShortcut,
)


# (input, trainable weights, other weights, training) -> (output, updated averages)
_Function = Callable[[Any, Sequence[Any], Sequence[Any], bool], tuple[Any, list[Any]]]


# Convolutions, and the sums of which the statistics of batch norm are made, which are few numbers.
_KEPT_BY_JAX = ("conv_general_dilated", "dot_general", "reduce_sum")


class BlockwiseModel(keras.Model):
    """Shares the layers and weights of another model, and is traced in less time.

    Training it trains the other model.

    Keras calls a model layer by layer, and the engine traces, differentiates and optimizes each call, which
    takes minutes for a model of 1202 layers. Here a block is a function of its input and its weights, and
    blocks with equal layers and shapes share one function, so that depth only adds calls. Layers are trained
    or frozen as they are at construction.

    Args:
        model: a flat Functional model with one input and one output. Layers not named like those of this
            package are called one by one.
        rematerialize: stages (`conv2`, ...) whose blocks recompute their inner activations for the gradients
            instead of keeping them: about 1.3 times the work, and a fraction of the memory.
        frugal: the other blocks keep the outputs of convolutions alone, as of `is_frugal`.
    """

    def __init__(self, model: keras.Model, rematerialize: Collection[str] = (), frugal: bool = False):
        with raised_recursion_limit():
            super().__init__(model.inputs, model.outputs, name=model.name)
        self._walk = _Walk(self, rematerialize, frugal)

    def call(self, inputs, training=None, mask=None):
        return self._walk(inputs, bool(training))


class _Walk:
    """Computes a model from input to output: its blocks, and the layers between them."""

    def __init__(self, model: keras.Model, rematerialize: Collection[str], frugal: bool):
        (self._input,), (self._output,) = model.inputs, model.outputs
        self._parts: list[Call | _BlockCall] = []
        functions: dict[Any, _Function] = {}
        for name, group in itertools.groupby(calls(model), lambda call: _block_of(call.operation)):
            members = tuple(group)
            if name is None or not all(_is_pure(call.operation) for call in members):
                self._parts.extend(members)
                continue
            recompute = stage_of(members[0].operation.name) in rematerialize
            block = _Block(members)
            function = functions.setdefault((recompute, block.kind()), block.as_function(recompute, frugal))
            self._parts.append(_BlockCall(block, function))

    def __call__(self, image: Any, training: bool) -> Any:
        # As Keras does it for a Functional model: uint8 images become what the first layer takes.
        values = {id(self._input): keras.ops.cast(image, self._input.dtype)}
        for part in self._parts:
            if isinstance(part, _BlockCall):
                values[id(part.block.output)] = part(values[id(part.block.input)], training)
            else:
                run(part, values, training=training)
        return values[id(self._output)]


class _Block:
    """Consecutive layers that together have one input and one output."""

    def __init__(self, members: Sequence[Call]):
        self._calls = members
        self.output = members[-1].outputs[0]
        layers = [call.operation for call in members]
        inside = {id(call.outputs[0]) for call in members}
        read = (tensor for call in members for tensor in call.input_tensors)
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
        positions = {id(self.input): -1} | {id(call.outputs[0]): i for i, call in enumerate(self._calls)}
        parts = [str(self.input.shape)]
        for call in self._calls:
            layer, options = call.operation, call.arguments.kwargs
            sources = [positions[id(tensor)] for tensor in call.input_tensors]
            config = {key: value for key, value in layer.get_config().items() if key != "name"}
            parts.append(f"{type(layer).__name__} {sources} {options} {call.outputs[0].shape} {config}")
        return "\n".join(parts)

    def as_function(self, rematerialize: bool, frugal: bool) -> _Function:
        """Returns (input, trainable weights, other weights, training) -> (output, updated averages)."""

        def compute(x, trainable, others, training):
            weights = zip(self.trainable + self.others, (*trainable, *others), strict=True)
            with keras.StatelessScope(state_mapping=list(weights)) as scope:
                values = {id(self.input): x}
                for call in self._calls:
                    run(call, values, training=training)
            return values[id(self.output)], [scope.get_current_value(weight) for weight in self.moving]

        if keras.backend.backend() == "jax":
            return _shared_jax(compute, rematerialize, frugal)
        return _shared_tf(self._frugal(compute) if frugal and not rematerialize else compute, rematerialize)

    def _frugal(self, compute: _Function) -> _Function:
        """Makes the function keep less for its gradients where it trains."""
        from keras_resnet.training.recompute import Recomputation

        trained = Recomputation(self._calls, self.input, self.trainable, self.others, self.moving)

        def train(x, trainable, others, training):
            # The gradients of inference are those of one image, as for explanations.
            return trained(x, trainable, others) if training else compute(x, trainable, others, training)

        return train


def _tensor(weight: keras.Variable) -> Any:
    if keras.backend.backend() == "jax":
        return weight.value
    import tensorflow as tf

    return tf.convert_to_tensor(weight)  # not a tf.Variable, for each of which a function would be traced


def _shared_tf(compute: _Function, rematerialize: bool) -> _Function:
    import tensorflow as tf

    def recompute(x, trainable, others, training):
        # Without the flag, which is not a tensor to differentiate by.
        return tf.recompute_grad(lambda x, trainable, others: compute(x, trainable, others, training))(
            x, trainable, others
        )

    return tf.function(recompute if rematerialize else compute, autograph=False)


def _shared_jax(compute: _Function, rematerialize: bool, frugal: bool) -> _Function:
    import jax

    training = 3
    shared = jax.jit(compute, static_argnums=training)
    if not (rematerialize or frugal):
        return shared
    # `jax.checkpoint` and not Keras' RematScope, whose convolutions end in "Array has been deleted".
    policy = None if rematerialize else lambda primitive, *_, **__: primitive.name in _KEPT_BY_JAX
    return jax.checkpoint(shared, static_argnums=training, policy=policy)


class _BlockCall:
    """A block called through the function that it shares with equal blocks."""

    def __init__(self, block: _Block, function: _Function):
        self.block = block
        self._function = function

    def __call__(self, x: Any, training: bool) -> Any:
        trainable, others = (
            [_tensor(weight) for weight in weights] for weights in (self.block.trainable, self.block.others)
        )
        y, updated = self._function(x, trainable, others, training)
        if training:
            for weight, value in zip(self.block.moving, updated, strict=True):
                weight.assign(value)
        return y


def _block_of(layer: keras.Operation) -> str | None:
    """Returns the block that a layer belongs to; the stem and its pool are one too."""
    name = parse_layer_name(layer.name)
    if layer.name.startswith("pool1_"):
        return STEM
    return (name.block_name or name.stage) if name else None


def _is_pure(layer: keras.layers.Layer) -> bool:
    return isinstance(layer, _PURE) and not getattr(layer, "synchronized", False)
