"""Gradients of a block from the outputs of its convolutions: what is cheap is computed again, not kept.

TensorFlow keeps what the gradient of each operation needs: the inputs of batch norm and of max pooling, and
the output of ReLU, which is the input of the next convolution. Most of these numbers follow from the outputs
of the convolutions by a few operations each. So a block keeps its input, its output, which the next one keeps
anyway, the statistics of the batch, and the outputs of its convolutions but for those that are cheap.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any

import keras
import tensorflow as tf

from keras_resnet.models.batch_norm import BatchNormalization
from keras_resnet.models.graph import Call, run

# Convolutions of at most so many multiply-adds per output are computed again: in ResNet-50 those that widen
# 64 and 128 channels, almost half of the numbers that convolutions put out for 4% of a step's multiply-adds.
_CHEAP = 128

# From the gradient of a call's output to those of its inputs, and then of the layer's trainable weights.
_Gradient = Callable[[Any], Sequence[Any]]


def keeps_output(layer: keras.Operation) -> bool:
    """Whether the output of a layer inside a block is kept for the gradients."""
    return (
        isinstance(layer, keras.layers.Conv2D | keras.layers.Dense)
        and math.prod(layer.kernel.shape[:-1]) > _CHEAP
    )


class Recomputation:
    """The function of a block in training, with gradients that compute again what is not kept.

    Args:
        members: the calls of the block's layers in the order of computation; each has one output that
            depends on its inputs and weights alone.
        source: the block's input in the model.
        trainable, others: the variables of the layers.
        moving: those of the others that training updates.
    """

    def __init__(
        self,
        members: Sequence[Call],
        source: keras.KerasTensor,
        trainable: Sequence[keras.Variable],
        others: Sequence[keras.Variable],
        moving: Sequence[keras.Variable],
    ):
        self._calls, self._source = members, id(source)
        self._trainable, self._others, self._moving = trainable, others, moving

    def __call__(self, x: Any, trainable: Sequence[Any], others: Sequence[Any]) -> tuple[Any, list[Any]]:
        """Returns the output of the last call, and the updates, for values of input and variables."""

        @tf.custom_gradient
        def compute(x, *weights):
            with self._scope(weights) as scope:
                values = {self._source: x}
                kept = [_run_and_keep(call, values) for call in self._calls]
                updated = [scope.get_current_value(variable) for variable in self._moving]
            last = self._calls[-1]
            y = values[id(last.outputs[0])]
            if _is_relu(last.operation):
                kept[-1] = [y]

            def gradient(dy, *_):
                # Not before dy is there: else every block would compute again as soon as it has computed.
                with tf.control_dependencies([dy]):
                    x_, kept_ = tf.nest.map_structure(tf.identity, (x, kept))
                with self._scope(weights) as scope:
                    return self._differentiate(x_, kept_, dy, scope)

            return (y, *updated), gradient

        y, *updated = compute(x, *trainable, *others)
        return y, updated

    def _scope(self, weights: Sequence[Any]) -> keras.StatelessScope:
        return keras.StatelessScope(
            state_mapping=list(zip((*self._trainable, *self._others), weights, strict=True))
        )

    def _differentiate(
        self, x: Any, kept: Sequence[list[Any]], dy: Any, scope: keras.StatelessScope
    ) -> list[Any]:
        """Returns the gradients of the input and of all variables; None of those that are not trained."""
        values = {self._source: x}
        pairs = [
            (call, _run_again(call, values, own, scope)) for call, own in zip(self._calls, kept, strict=True)
        ]
        of_tensors = {id(self._calls[-1].outputs[0]): dy}
        of_variables: dict[int, Any] = {}
        for call, gradient in reversed(pairs):
            found = gradient(of_tensors.pop(id(call.outputs[0])))
            for tensor, more in zip(call.input_tensors, found, strict=False):
                before = of_tensors.get(id(tensor))
                of_tensors[id(tensor)] = more if before is None else before + more
            variables = call.operation.trainable_variables
            of_variables.update(zip(map(id, variables), found[len(call.input_tensors) :], strict=True))
        return [
            of_tensors[self._source],
            *(of_variables[id(variable)] for variable in self._trainable),
            *(None for _ in self._others),
        ]


def _run_and_keep(call: Call, values: dict[int, Any]) -> list[Any]:
    """Computes a call, adds its output to the values, and returns what `_run_again` needs of it."""
    layer, output = call.operation, id(call.outputs[0])
    x = values[id(call.input_tensors[0])]
    if _keeps_statistics(layer, x):
        values[output], (mean, variance, *_) = layer.fused(x, batch_statistics=True)
        return [mean, variance]
    run(call, values, training=True)
    return [values[output]] if keeps_output(layer) else []


def _run_again(call: Call, values: dict[int, Any], kept: list[Any], scope: keras.StatelessScope) -> _Gradient:
    """Adds a call's output to the values, as it was, and returns its gradient.

    TensorFlow prunes operations whose results nothing reads, and the gradient of a convolution does not read
    its output: where that is kept, the convolution is not computed again.
    """
    layer, output = call.operation, id(call.outputs[0])
    inputs = [values[id(tensor)] for tensor in call.input_tensors]
    if _keeps_statistics(layer, inputs[0]):
        values[output], gradient = _normalize_again(layer, inputs[0], kept, scope)
        return gradient
    weights = [scope.get_current_value(variable) for variable in layer.trainable_variables]
    with tf.GradientTape(watch_accessed_variables=False) as tape:
        tape.watch([*inputs, *weights])
        run(call, values, training=True)
    y = values[output]
    if kept:
        (values[output],) = kept
    if _is_relu(layer):
        # Its gradient reads its output, the kept one where there is one.
        return lambda dy: [tf.raw_ops.ReluGrad(gradients=dy, features=values[output])]
    return lambda dy: tape.gradient(y, [*inputs, *weights], dy, unconnected_gradients="zero")


def _normalize_again(
    layer: BatchNormalization, x: Any, kept: list[Any], scope: keras.StatelessScope
) -> tuple[Any, _Gradient]:
    """Normalizes by the statistics that were kept, as in inference, with the gradients of training."""
    mean, variance = kept
    gamma, beta = (scope.get_current_value(variable) for variable in (layer.gamma, layer.beta))
    y, *_ = tf.raw_ops.FusedBatchNormV3(
        x=x, scale=gamma, offset=beta, mean=mean, variance=variance, epsilon=layer.epsilon, is_training=False
    )

    def gradient(dy):
        dx, dgamma, dbeta, *_ = tf.raw_ops.FusedBatchNormGradV3(
            y_backprop=dy,
            x=x,
            scale=gamma,
            reserve_space_1=mean,
            reserve_space_2=variance,
            reserve_space_3=tf.constant([], tf.float32),  # a GPU's; oneDNN would fill it for the ReLU
            epsilon=layer.epsilon,
            is_training=True,
        )
        return [dx, dgamma, dbeta]

    return y, gradient


def _keeps_statistics(layer: keras.Operation, x: Any) -> bool:
    """Whether the fused kernel normalizes by statistics of the batch that can be read from what it returns.

    A GPU's kernel returns the variance in a form of its own. There, and where there is no kernel, batch norm
    is called again as a whole.
    """
    return (
        isinstance(layer, BatchNormalization)
        and layer.trainable
        and layer.can_be_fused(x)
        and not tf.config.list_logical_devices("GPU")
    )


def _is_relu(layer: keras.Operation) -> bool:
    return isinstance(layer, keras.layers.Activation) and layer.activation is keras.activations.relu
