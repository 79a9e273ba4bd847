"""The logarithms of probabilities that the loss of history and evaluation is made of, and where they end."""

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import tensorflow as tf

# Where a model's file gives probabilities alone: the smallest normal float32. Below it is 0, as int8 files
# give, whose loss is infinite.
MIN_PROBABILITY = float(np.finfo("float32").tiny)


def log_probabilities(outputs: "tf.Tensor") -> "tf.Tensor":
    """Returns the logarithms of a model's probabilities, inside the graph that computes them.

    Of a model that ends in a softmax they are exact, however small a probability is, for they are those of
    the softmax's logits; of another they are cut off at `MIN_PROBABILITY`.

    Shapes: (N, classes) -> (N, classes).
    """
    import tensorflow as tf

    operation = None if tf.executing_eagerly() else outputs.op
    if operation is not None and operation.type == "Softmax":
        return tf.nn.log_softmax(operation.inputs[0])
    return tf.math.log(tf.maximum(outputs, MIN_PROBABILITY))


def floored_log(probabilities: np.ndarray) -> np.ndarray:
    """Returns the logarithms of probabilities whose logits are unknown, cut off at `MIN_PROBABILITY`."""
    return np.log(np.maximum(probabilities, MIN_PROBABILITY))
