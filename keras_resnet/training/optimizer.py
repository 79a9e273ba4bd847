"""The paper's optimizer."""

import keras


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
        velocity = self.velocity(variable)
        if keras.backend.backend() != "tensorflow" or velocity is None or self.nesterov:
            weight, updated = self.updated(gradient, variable, velocity, learning_rate)
            self.assign(variable, weight)
            if velocity is not None:
                self.assign(velocity, updated)
            return
        import tensorflow as tf

        # Not before the gradient is there: else a step starts with the decay of all weights, a copy of them.
        with tf.control_dependencies([gradient]):
            decayed = self._decayed(gradient, variable)
        # One kernel for velocity and weight: a model has hundreds of variables, and each operation is traced,
        # optimized and scheduled for every one of them.
        tf.raw_ops.ResourceApplyKerasMomentum(
            var=variable.handle,
            accum=velocity.value.handle,
            lr=tf.cast(learning_rate, variable.dtype),
            grad=decayed,
            momentum=self.momentum,
        )

    def updated(self, gradient, weight, velocity, learning_rate):
        """Returns a weight and its velocity after a step, as values; the latter is None without momentum."""
        learning_rate = keras.ops.cast(learning_rate, weight.dtype)
        step = learning_rate * self._decayed(gradient, weight)
        if velocity is None:
            return weight - step, None
        velocity = self.momentum * velocity - step
        return weight + (self.momentum * velocity - step if self.nesterov else velocity), velocity

    def velocity(self, variable: keras.Variable) -> keras.Variable | None:
        """Returns the velocity of a weight, or None without momentum."""
        return self.momentums[self._get_variable_index(variable)] if self.momentum else None

    def _decayed(self, gradient, weight):
        # Python operators, not keras.ops: fewer operations are traced.
        gradient = keras.ops.cast(gradient, weight.dtype)
        # Batch norm and biases have one dimension.
        if self.weight_decay_on == "all" or len(weight.shape) > 1:
            gradient += self.l2 * weight
        return gradient

    def get_config(self):
        return {**super().get_config(), "l2": self.l2, "weight_decay_on": self.weight_decay_on}
