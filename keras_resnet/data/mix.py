"""Modern augmentation of whole batches, by Keras' own layers with stateless random numbers."""

import keras
import tensorflow as tf

from keras_resnet.data.mixing import Mixing

# Share of an image that random erasing takes: the paper's.
_ERASED = (0.02, 0.33)


class Mixer:
    """Does what a `Mixing` says.

    Args:
        mixing: what.
        classes: number of classes.
    """

    def __init__(self, mixing: Mixing, classes: int):
        self._mixing, self._classes = mixing, classes
        self._seeds = _Seeds()
        # On images alone, then on images and labels.
        self._layers, self._mixers = [], []
        if mixing.randaugment:
            self._layers.append(keras.layers.RandAugment(factor=mixing.randaugment, dtype="float32"))
        if mixing.random_erasing:
            share = (mixing.random_erasing, mixing.random_erasing)
            self._layers.append(keras.layers.RandomErasing(share, scale=_ERASED, dtype="float32"))
        if mixing.mixup:
            self._mixers.append(keras.layers.MixUp(alpha=mixing.mixup, dtype="float32"))
        if mixing.cutmix:
            alpha = (mixing.cutmix, mixing.cutmix)
            self._mixers.append(keras.layers.CutMix(factor=alpha, dtype="float32"))
        for layer in (*self._layers, *self._mixers):
            layer.generator = self._seeds

    def __call__(self, images: tf.Tensor, labels: tf.Tensor, key: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """A batch and its labels, mixed.

        Shapes: (N, H, W, C) uint8, (N,) -> (N, H, W, C) uint8, (N, classes) float32.

        Args:
            key: two integers that all randomness comes from.
        """
        self._seeds.start(key)
        labels = tf.one_hot(labels, self._classes)
        smoothing = self._mixing.label_smoothing
        labels = labels * (1 - smoothing) + smoothing / self._classes
        if not self._layers and not self._mixers:
            return images, labels
        shape = images.shape
        mixed = tf.cast(images, tf.float32)
        for layer in self._layers:
            mixed = layer(mixed)
        branches = [lambda mixer=mixer: _call(mixer, mixed, labels) for mixer in self._mixers]
        if len(branches) == 2:
            mixed, labels = tf.cond(tf.random.stateless_uniform([], self._seeds.next()) < 0.5, *branches)
        elif branches:
            mixed, labels = branches[0]()
        return tf.ensure_shape(tf.saturate_cast(tf.round(mixed), tf.uint8), shape), labels


class _Seeds(keras.random.SeedGenerator):
    """Gives Keras' layers seeds derived from a key, where their own would depend on what was drawn before."""

    def __init__(self):
        super().__init__(seed=0)

    def start(self, key: tf.Tensor) -> None:
        self._key, self._drawn = key, 0

    def next(self, ordered: bool = True) -> tf.Tensor:
        self._drawn += 1
        return tf.random.experimental.stateless_fold_in(self._key, self._drawn)


def _call(mixer: keras.layers.Layer, images: tf.Tensor, labels: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    mixed = mixer({"images": images, "labels": labels})
    return mixed["images"], mixed["labels"]
