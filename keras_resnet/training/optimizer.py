"""The paper's optimiser."""

import keras
import tensorflow as tf


@keras.saving.register_keras_serializable("keras_resnet")
class CoupledSGD(keras.optimizers.SGD):
    """SGD with momentum whose weight decay is the gradient of an L2 penalty (section 3.4).

        gradient' = gradient + l2 * weight
        velocity' = momentum * velocity - learning_rate * gradient'
        weight'   = weight + velocity'

    Keras' own `weight_decay` shrinks the weight beside the momentum, which is another method as soon as
    there is momentum; a `kernel_regularizer` adds a term to the loss for each layer.

    Args:
        l2: the factor.
        decay: "all": every weight decays, those of BN and the biases too, as in the authors' framework;
            "kernels": those do not.
    """

    def __init__(
        self,
        learning_rate: float = 0.1,
        momentum: float = 0.9,
        l2: float = 1e-4,
        decay: str = "all",
        name: str = "coupled_sgd",
        **kwargs,
    ):
        super().__init__(learning_rate=learning_rate, momentum=momentum, name=name, **kwargs)
        self.l2 = l2
        self.decay = decay

    def update_step(self, gradient, variable, learning_rate):
        # Python operators, not keras.ops, and one kernel for velocity and weight: a net has hundreds of
        # variables, and every operation a variable has is traced, optimised and scheduled for each.
        gradient = tf.cast(gradient, variable.dtype)
        if self.decay == "all" or len(variable.shape) > 1:  # BN and biases have one dimension
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
        return {**super().get_config(), "l2": self.l2, "decay": self.decay}
