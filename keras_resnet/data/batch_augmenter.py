"""Augmentation of whole batches by Keras' own layers, with stateless random numbers."""

import keras
import tensorflow as tf

from keras_resnet.data.batch_augment import BatchAugment

# Fraction of an image's area that random erasing covers: the paper's.
_ERASED_AREA = (0.02, 0.33)


class BatchAugmenter:
    """Augments batches of images and labels as a `BatchAugment` says.

    Args:
        batch_augment: the settings.
        classes: number of classes.
    """

    def __init__(self, batch_augment: BatchAugment, classes: int):
        self._settings, self._classes = batch_augment, classes
        self._seeds = _Seeds()
        # Layers that change images alone, and those that mix images and labels.
        self._image_layers, self._mix_layers = [], []
        if batch_augment.randaugment:
            self._image_layers.append(
                keras.layers.RandAugment(factor=batch_augment.randaugment, dtype="float32")
            )
        if batch_augment.random_erasing:
            share = (batch_augment.random_erasing, batch_augment.random_erasing)
            self._image_layers.append(keras.layers.RandomErasing(share, scale=_ERASED_AREA, dtype="float32"))
        if batch_augment.mixup:
            self._mix_layers.append(keras.layers.MixUp(alpha=batch_augment.mixup, dtype="float32"))
        if batch_augment.cutmix:
            alpha = (batch_augment.cutmix, batch_augment.cutmix)
            self._mix_layers.append(keras.layers.CutMix(factor=alpha, dtype="float32"))
        for layer in (*self._image_layers, *self._mix_layers):
            layer.generator = self._seeds
            # What Keras asks where it has another backend than the images' TensorFlow.
            layer._backend_generators = {"tensorflow": self._seeds}

    def __call__(self, images: tf.Tensor, labels: tf.Tensor, key: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Augments a batch.

        Shapes: (N, H, W, C) uint8, (N,) or multi-label (N, classes) -> (N, H, W, C) uint8, (N, classes)
            float32.

        Args:
            key: two integers from which all random numbers derive.
        """
        self._seeds.start(key)
        smoothing, states = self._settings.label_smoothing, self._classes
        if len(labels.shape) == 2:
            labels, states = tf.cast(labels, tf.float32), 2  # each label is one of two classes: there or not
        else:
            labels = tf.one_hot(labels, self._classes)
        labels = labels * (1 - smoothing) + smoothing / states
        if not self._image_layers and not self._mix_layers:
            return images, labels
        shape = images.shape
        mixed = tf.cast(images, tf.float32)
        for layer in self._image_layers:
            mixed = layer(mixed)
        branches = [lambda layer=layer: _mix(layer, mixed, labels) for layer in self._mix_layers]
        if len(branches) == 2:
            mixed, labels = tf.cond(tf.random.stateless_uniform([], self._seeds.next()) < 0.5, *branches)
        elif branches:
            mixed, labels = branches[0]()
        return tf.ensure_shape(tf.saturate_cast(tf.round(mixed), tf.uint8), shape), labels


class _Seeds(keras.random.SeedGenerator):
    """Derives the seeds of Keras' layers from a key; their own depend on how many were drawn before."""

    def __init__(self):
        super().__init__(seed=0)

    def start(self, key: tf.Tensor) -> None:
        self._key, self._count = key, 0

    def next(self, ordered: bool = True) -> tf.Tensor:
        self._count += 1
        return tf.random.experimental.stateless_fold_in(self._key, self._count)


def _mix(layer: keras.layers.Layer, images: tf.Tensor, labels: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    mixed = layer({"images": images, "labels": labels})
    return mixed["images"], mixed["labels"]
