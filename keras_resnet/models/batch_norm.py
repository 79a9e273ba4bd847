"""Batch normalization as one operation, where the backend has one."""

import math
from typing import Any

import keras


@keras.saving.register_keras_serializable("keras_resnet")
class BatchNormalization(keras.layers.BatchNormalization):
    """Computes Keras' BatchNormalization by TensorFlow's fused kernel where that is possible.

    Variables, arguments, outputs and gradients are those of the stock layer, which takes a dozen operations
    and casts half types up and down. The fused kernel normalizes float16 and bfloat16 images with float32
    statistics. Falls back to the stock layer on other backends, for anything but feature maps with channels
    last, and for synchronized, masked or renormalizing layers.
    """

    def call(self, inputs, training=None, mask=None):
        if mask is None and self._is_float64_on_jax(inputs):
            return self._call_in_float64(inputs, bool(training) and self.trainable)
        if mask is not None or not self.can_be_fused(inputs):
            return super().call(inputs, training=training, mask=mask)
        return self.fused(inputs, bool(training) and self.trainable)[0]

    def fused(self, inputs: Any, batch_statistics: bool) -> tuple[Any, list[Any]]:
        """Normalizes by the fused kernel, and updates the moving averages if by the batch's statistics.

        Returns:
            The result (N, H, W, C), and what the kernel of the gradients needs besides the inputs.
        """
        import tensorflow as tf  # reached on the TensorFlow backend only

        mean, variance = self.moving_mean, self.moving_variance
        if batch_statistics:
            # The kernel updates the moving averages too, but with a variance that has Bessel's correction,
            # n / (n - 1), which the stock layer's has not. Applying it to the old average before the kernel
            # and removing it from the result leaves an average without it.
            correction = _bessel(inputs)
            variance = variance * correction
        y, mean, variance, *reserved = tf.raw_ops.FusedBatchNormV3(
            x=inputs,
            scale=tf.convert_to_tensor(self.gamma),
            offset=tf.convert_to_tensor(self.beta),
            mean=tf.convert_to_tensor(mean),
            variance=tf.convert_to_tensor(variance),
            epsilon=self.epsilon,
            exponential_avg_factor=1 - self.momentum if batch_statistics else 1.0,
            is_training=batch_statistics,
        )
        if batch_statistics:
            self.moving_mean.assign(mean)
            self.moving_variance.assign(variance * (1 / correction))
        return y, reserved

    def _call_in_float64(self, inputs, batch_statistics):
        # Not by keras.ops, which round to float32 here.
        axes = tuple(axis for axis in range(inputs.ndim) if axis != self.axis % inputs.ndim)
        mean, variance = self.moving_mean.value, self.moving_variance.value
        if batch_statistics:
            mean, variance = inputs.mean(axes), inputs.var(axes)
            for average, value in ((self.moving_mean, mean), (self.moving_variance, variance)):
                average.assign(average.value * self.momentum + value * (1 - self.momentum))
        return keras.ops.batch_normalization(
            inputs, mean, variance, self.axis, self.beta, self.gamma, self.epsilon
        )

    def _is_float64_on_jax(self, inputs) -> bool:
        """Whether this is what the stock layer rounds to float32, on JAX alone."""
        return (
            keras.backend.backend() == "jax"
            and keras.backend.standardize_dtype(inputs.dtype) == self.compute_dtype == "float64"
            and not self.renorm
        )

    def can_be_fused(self, inputs: Any) -> bool:
        """Whether the fused kernel computes what the layer does to these inputs."""
        return (
            keras.backend.backend() == "tensorflow"
            and len(inputs.shape) == 4
            and self.axis in (-1, 3)
            and self.scale
            and self.center
            and not self.synchronized
            and not self.renorm
            and self.variable_dtype == "float32"
            and keras.backend.standardize_dtype(inputs.dtype) in ("float32", "float16", "bfloat16")
        )


def _bessel(inputs):
    """Returns n / (n - 1) for n = N * H * W: a number where the shape is static, else a scalar tensor."""
    import tensorflow as tf

    known = inputs.shape[:3]
    if None not in known:
        n = math.prod(known)
        return n / max(n - 1, 1)
    n = tf.cast(tf.reduce_prod(tf.shape(inputs)[:3]), tf.float32)
    return n / tf.maximum(n - 1, 1)
