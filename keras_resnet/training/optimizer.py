"""The paper's optimizer."""

import keras
import tensorflow as tf


@keras.saving.register_keras_serializable("keras_resnet")
class CoupledSGD(keras.optimizers.SGD):
    """SGD with momentum whose weight decay is the gradient of an L2 penalty (section 3.4).

        gradient' = gradient + l2 * weight
        velocity' = momentum * velocity - learning_rate * gradient'
        weight'   = weight + velocity'

    Keras' own `weight_decay` is decoupled from the momentum, which is another method as soon as there is
    momentum; a `kernel_regularizer` adds a loss term for each layer.

    Args:
        l2: the decay factor.
        weight_decay_on: "all" decays every weight, those of batch norm and the biases too, as the authors'
            framework does; "kernels" leaves those out.
    """

    def __init__(
        self,
        learning_rate: float = 0.1,
        momentum: float = 0.9,
        l2: float = 1e-4,
        weight_decay_on: str = "all",
        name: str = "coupled_sgd",
        **kwargs,
    ):
        super().__init__(learning_rate=learning_rate, momentum=momentum, name=name, **kwargs)
        self.l2 = l2
        self.weight_decay_on = weight_decay_on
        self.learning_rate_changes = 0

    @property
    def learning_rate(self):
        """The learning rate; `learning_rate_changes` counts how often it was set, to the same value too."""
        return keras.optimizers.SGD.learning_rate.fget(self)

    @learning_rate.setter
    def learning_rate(self, value):
        self.learning_rate_changes += 1
        keras.optimizers.SGD.learning_rate.fset(self, value)

    def update_step(self, gradient, variable, learning_rate):
        # Python operators, not keras.ops, and one kernel for velocity and weight: a model has hundreds of
        # variables, and each operation is traced, optimized and scheduled for every one of them.
        gradient = tf.cast(gradient, variable.dtype)
        if (
            self.weight_decay_on == "all" or len(variable.shape) > 1
        ):  # batch norm and biases have one dimension
            gradient += self.l2 * variable
        if not self.momentum or self.nesterov:
            super().update_step(gradient, variable, learning_rate)
            return
        velocity = self.momentums[self._get_variable_index(variable)]
        tf.raw_ops.ResourceApplyKerasMomentum(
            var=variable.handle,
            accum=velocity.value.handle,
            lr=tf.cast(learning_rate, variable.dtype),
            grad=gradient,
            momentum=self.momentum,
        )

    def get_config(self):
        return {**super().get_config(), "l2": self.l2, "weight_decay_on": self.weight_decay_on}
