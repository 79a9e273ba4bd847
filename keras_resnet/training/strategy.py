"""Where training runs: one device, or every GPU of the machine."""

import keras
import tensorflow as tf


def make_strategy(devices: list[str] | None = None) -> tf.distribute.Strategy:
    """MirroredStrategy over several devices; TensorFlow's default strategy for one.

    Args:
        devices: names of the devices; by default every visible GPU.
    """
    if devices is None:
        devices = [device.name for device in tf.config.list_logical_devices("GPU")]
    return tf.distribute.MirroredStrategy(devices) if len(devices) > 1 else tf.distribute.get_strategy()


def synchronize_batch_norm(model: keras.Model) -> None:
    """Take batch statistics over all devices' images, not over each device's own as the paper did.

    To be called before the model is trained for the first time.
    """
    for layer in model.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.synchronized = True
