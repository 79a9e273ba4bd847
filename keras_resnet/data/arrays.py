"""A split that lies in memory."""

from typing import TYPE_CHECKING

from keras_resnet.data.order import ordered
from keras_resnet.data.source import Split

if TYPE_CHECKING:
    import numpy as np
    import tensorflow as tf


def split_of_arrays(name: str, images: "np.ndarray", labels: "np.ndarray") -> Split:
    """Images (N, H, W, C) uint8 and labels (N,) as a split."""

    def read(key: "tf.Tensor | None", start: "tf.Tensor | int" = 0, step: int = 1) -> "tf.data.Dataset":
        import tensorflow as tf

        pixels, classes = tf.constant(images), tf.constant(labels, tf.int64)
        return tf.data.Dataset.from_tensor_slices(ordered(len(images), key)[start::step]).map(
            lambda index: (index, pixels[index], classes[index])
        )

    return Split(name, len(images), read, lambda index: f"image {index} of {name}")
