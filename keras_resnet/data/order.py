"""In which order the parts of a dataset come."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import tensorflow as tf


def ordered(count: int, key: "tf.Tensor | None") -> "tf.Tensor":
    """0..count-1, int64: as they are for None, else in an order that depends on the two integers alone."""
    import tensorflow as tf

    indices = tf.range(count, dtype=tf.int64)
    return indices if key is None else tf.random.experimental.stateless_shuffle(indices, key)
