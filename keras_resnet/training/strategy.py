"""Where training runs: one device, or every GPU of the machine."""

import functools
from typing import Any

import keras
import tensorflow as tf


class _Mirrored(tf.distribute.MirroredStrategy):
    """MirroredStrategy for Keras' fit, where the last batch may be shared out unequally."""

    def reduce(self, reduce_op: Any, value: Any, axis: int | None) -> Any:
        # Before it trains, Keras takes the mean over devices of a whole batch, only to learn its shapes,
        # and fails where the devices' shares differ in size. One share tells the shapes as well.
        if isinstance(value, tuple):
            return tf.nest.map_structure(lambda share: self.experimental_local_results(share)[0], value)
        return super().reduce(reduce_op, value, axis)


def make_strategy(*devices: str) -> tf.distribute.Strategy:
    """MirroredStrategy over several devices; TensorFlow's default strategy for one.

    Args:
        devices: names of the devices; by default every visible GPU.
    """
    devices = devices or tuple(device.name for device in tf.config.list_logical_devices("GPU"))
    return _mirrored(devices) if len(devices) > 1 else tf.distribute.get_strategy()


@functools.cache
def _mirrored(devices: tuple[str, ...]) -> tf.distribute.Strategy:
    # Once a process: TensorFlow numbers the collective operations of each strategy from the same start, and
    # those of two strategies over the same devices are taken for one another.
    return _Mirrored(list(devices))


def synchronize_batch_norm(model: keras.Model) -> None:
    """Take batch statistics over all devices' images, not over each device's own as the paper did.

    To be called before the model is trained for the first time.
    """
    for layer in model.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.synchronized = True
