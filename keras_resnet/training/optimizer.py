"""The paper's optimiser."""

import keras


@keras.saving.register_keras_serializable("keras_resnet")
class CoupledSGD(keras.optimizers.SGD):
    """SGD with momentum whose weight decay is the gradient of an L2 penalty (section 3.4).

        gradient' = gradient + l2 * weight
        velocity' = momentum * velocity - learning_rate * gradient'
        weight'   = weight + velocity'

    Keras' own `weight_decay` shrinks the weight beside the momentum, which is another method as soon as
    there is momentum; a `kernel_regularizer` adds a term to the loss for each layer. Every weight decays,
    those of BN and the biases too, as in the authors' framework.
    """

    def __init__(
        self,
        learning_rate: float = 0.1,
        momentum: float = 0.9,
        l2: float = 1e-4,
        name: str = "coupled_sgd",
        **kwargs,
    ):
        super().__init__(learning_rate=learning_rate, momentum=momentum, name=name, **kwargs)
        self.l2 = l2

    def update_step(self, gradient, variable, learning_rate):
        gradient = keras.ops.add(gradient, keras.ops.multiply(variable, self.l2))
        super().update_step(gradient, variable, learning_rate)

    def get_config(self):
        return {**super().get_config(), "l2": self.l2}
