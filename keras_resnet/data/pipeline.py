"""Batches for training and validation: read, decode, augment, batch. Pixels stay uint8 until the model.

The random choices for an image depend only on the seed, the epoch and the image's index, and the order of an
epoch only on the seed and the epoch: training can stop after any step and resume with the next.
"""

import dataclasses
import functools
from collections.abc import Callable

import numpy as np
import tensorflow as tf

from keras_resnet.data.batch_augment import BatchAugment
from keras_resnet.data.batch_augmenter import BatchAugmenter
from keras_resnet.data.dataset import Dataset, Split
from keras_resnet.data.decode_errors import DecodeErrors
from keras_resnet.data.image_arrays import ImageArrays
from keras_resnet.data.images import augment
from keras_resnet.data.images.decode import decode_resize_box
from keras_resnet.data.images.trivial_augment import TRIVIAL_AUGMENT_UNIFORMS, trivial_augment
from keras_resnet.data.input_spec import InputTransform
from keras_resnet.data.streams import enumerate_stream, iterate_once, one_thread_per_op
from keras_resnet.data.test_views import transform_image
from keras_resnet.errors import UserError

# Squashed images of a split up to this many bytes are decoded once and cached in memory; others are read
# again in each epoch.
_MAX_CACHED_BYTES = 2**30
# Images from which the mean is estimated where they are not cached.
_MEAN_IMAGES = 1024
_CACHE_BATCH = 256

# Independent streams of random numbers derived from one seed.
_ORDER, _IMAGE, _LIGHT, _BATCH, _TURN, _TRIVIAL = range(6)


@dataclasses.dataclass(frozen=True)
class Pipeline:
    """The images of a dataset as batches for a model.

    Args:
        dataset: the images.
        transform: how they are cropped and augmented.
        decode_errors: what happens to images that cannot be decoded.
        seed: seed for all random numbers: order and augmentation.

    Raises:
        UserError: the dataset's images have other channels than the model's input.
    """

    dataset: Dataset
    transform: InputTransform
    decode_errors: DecodeErrors = dataclasses.field(default_factory=DecodeErrors)
    seed: int = 0

    def __post_init__(self):
        if self.dataset.channels != self.transform.spec.channels:
            raise UserError(
                f"has images of {self.dataset.channels} channels, and the model takes "
                f"{self.transform.spec.channels}.",
                parameter="dataset",
                value=self.dataset.name,
            )

    def mean(self, *, per_pixel: bool) -> np.ndarray:
        """Computes the mean of the training images, float32: of each pixel (size, size, C) or channel (C,).

        All training images count where they are cached in memory, else 1,024 of them, drawn at random.
        """
        if self._is_cached(self.dataset.train):
            mean = self._cached_train[0].numpy().mean(axis=0, dtype="float64")
        else:
            total, count = 0.0, 0
            batches = self._iterate_once(self.dataset.train, 128, num_samples=_MEAN_IMAGES)
            with self.decode_errors.translate():
                for batch, _ in batches.as_numpy_iterator():
                    total = total + batch.sum(axis=0, dtype="float64")
                    count += len(batch)
            mean = total / count
        return (mean if per_pixel else mean.mean(axis=(0, 1))).astype("float32")

    def steps_per_epoch(self, batch_size: int) -> int:
        """Returns the number of full batches in an epoch; the images left over differ from epoch to epoch."""
        return self._images_per_epoch // batch_size

    def train_batches(
        self,
        batch_size: int,
        epochs: int,
        mean: np.ndarray,
        *,
        batch_augment: BatchAugment | None = None,
        first_step: int = 0,
        worker: int = 0,
        workers: int = 1,
    ) -> tf.data.Dataset:
        """Returns the shuffled, augmented batches of epochs 0..epochs-1, one epoch after another.

        Batches are (images uint8 (n, size, size, C), labels int64 (n,)) with n = batch_size / workers and
        the size of the transform's spec, or its `train_size`; with `batch_augment`, and of a multi-label
        dataset, labels are float32 (n, classes).

        Args:
            mean: mean that the model subtracts, of each pixel or of each channel; padding is filled with it.
            batch_augment: augmentation of the images and labels of a batch together.
            first_step: number of batches, from the first epoch on, that are left out.
            worker: number of this worker, 0..workers-1.
            workers: number of workers that share each batch.

        Raises:
            UserError: a batch has more images than the dataset.
        """
        steps = self.steps_per_epoch(batch_size)
        if not steps:
            raise UserError(
                f"is more than the {self._images_per_epoch} training images of {self.dataset.name} that can "
                "be decoded; use that number or fewer.",
                parameter="batch_size",
                value=batch_size,
            )
        first_epoch, done = divmod(first_step, steps)
        augmenter = BatchAugmenter(batch_augment, len(self.dataset.class_names)) if batch_augment else None
        make = self._squashed_epoch if self._squash else self._cropped_epoch

        def epoch_batches(epoch):
            skipped = tf.where(epoch == first_epoch, tf.constant(done, tf.int64), 0)
            key = tf.cast(epoch, tf.int32)
            batches = make(key, _Part(batch_size, steps, skipped, worker, workers, mean))
            if augmenter:
                batch_key = self._key(_BATCH, key) + tf.constant([worker, 0])
                batches = batches.enumerate(skipped).map(
                    lambda step, batch: augmenter(
                        batch[0], batch[1], batch_key + tf.stack([0, tf.cast(step, tf.int32)])
                    ),
                    num_parallel_calls=tf.data.AUTOTUNE,
                )
            # A damaged file must not shorten an epoch unnoticed.
            return batches.apply(tf.data.experimental.assert_cardinality(steps - skipped))

        batches = tf.data.Dataset.range(first_epoch, epochs).flat_map(epoch_batches)
        return batches.prefetch(tf.data.AUTOTUNE).with_options(one_thread_per_op())

    def cached_arrays(self, mean: np.ndarray) -> ImageArrays | None:
        """The training images with the order and the crops of `train_batches`; None where that is impossible.

        They have to be cached, and not turned or otherwise changed, which TensorFlow does.

        Args:
            mean: as of `train_batches`.
        """
        if not self._is_cached(self.dataset.train) or self.transform.optional:
            return None

        def draw(epoch: int) -> tuple[np.ndarray, np.ndarray]:
            key = tf.constant(epoch, tf.int32)
            uniforms = self._uniforms(key, augment.CROP_FLIP_UNIFORMS)
            return self._cached_order(key).numpy(), uniforms.numpy()

        images, labels = (array.numpy() for array in self._cached_train)
        transform = self.transform
        return ImageArrays(images, labels, transform.padding, transform.hflip, fill=mean, draw=draw)

    def _cached_order(self, epoch: tf.Tensor) -> tf.Tensor:
        order = tf.range(len(self._cached_train[1]))
        return tf.random.experimental.stateless_shuffle(order, self._key(_ORDER, epoch))

    def validation_batches(self, batch_size: int, *, worker: int = 0, workers: int = 1) -> tf.data.Dataset:
        """Returns the validation images, each once and always in the same order.

        Batches are (images uint8 (n, size, size, C), labels int64 (n,)).

        Args:
            batch_size: most images of a batch.
            worker: number of this worker, 0..workers-1.
            workers: number of workers that share the images.
        """
        batches = self._iterate_once(self.dataset.validation, batch_size, worker=worker, workers=workers)
        if self._is_cached(self.dataset.validation):
            batches = batches.cache()
        return batches.prefetch(tf.data.AUTOTUNE).with_options(one_thread_per_op())

    def sample_batches(self, split: Split, num_samples: int, batch_size: int) -> tf.data.Dataset:
        """Returns images of a split, prepared as for validation, drawn at random but always the same ones.

        All images, in order, where the split has no more than `num_samples`. Batches are (images, labels).
        """
        drawn = num_samples if num_samples < split.size else None
        return self._iterate_once(split, batch_size, num_samples=drawn).with_options(one_thread_per_op())

    @property
    def _squash(self) -> bool:
        return self.transform.spec.crop_mode == "squash"

    def _key(self, stream: int, epoch: tf.Tensor) -> tf.Tensor:
        fold_in = tf.random.experimental.stateless_fold_in
        return fold_in(fold_in(tf.constant([self.seed, 0], tf.int32), stream), epoch)

    def _uniforms(self, epoch: tf.Tensor, count: int, stream: int = _IMAGE) -> tf.Tensor:
        """Draws `count` uniform numbers, 0..1, for each training image: (images, count)."""
        return tf.random.stateless_uniform([self.dataset.train.size, count], self._key(stream, epoch))

    def _optional_augmentation(
        self, epoch: tf.Tensor, mean: np.ndarray
    ) -> Callable[[tf.Tensor, tf.Tensor], tf.Tensor] | None:
        """Returns what turns and augments cropped images, from their indices and them; None for nothing."""
        transform = self.transform
        if not transform.optional:
            return None
        turns = self._uniforms(epoch, augment.TURN_UNIFORMS, _TURN)
        draws = self._uniforms(epoch, TRIVIAL_AUGMENT_UNIFORMS, _TRIVIAL)
        channel_mean = mean.mean(axis=(0, 1)) if mean.ndim == 3 else mean
        fill = tf.saturate_cast(tf.round(channel_mean), tf.uint8)

        def apply(indices, images):
            changed = augment.random_turn(
                images, tf.gather(turns, indices), vflip=transform.vflip, rotate90=transform.rotate90
            )
            if transform.trivial_augment:
                changed = trivial_augment(changed, tf.gather(draws, indices), fill)
            return tf.ensure_shape(changed, images.shape)

        return apply

    def _is_cached(self, split: Split) -> bool:
        spec = self.transform.spec
        return self._squash and split.size * spec.size**2 * spec.channels <= _MAX_CACHED_BYTES

    @property
    def _images_per_epoch(self) -> int:
        """Number of training images that can be decoded, as far as that is known beforehand."""
        return len(self._cached_train[1]) if self._is_cached(self.dataset.train) else self.dataset.train.size

    @functools.cached_property
    def _cached_train(self) -> tuple[tf.Tensor, tf.Tensor]:
        """All training images and labels that can be decoded."""
        batches = self._iterate_once(self.dataset.train, _CACHE_BATCH)
        with self.decode_errors.translate():
            images, labels = zip(*batches, strict=True)
        with tf.device("CPU"):
            return tf.concat(images, axis=0), tf.concat(labels, axis=0)

    def _transform_image(self, image: tf.Tensor) -> tf.Tensor:
        return transform_image(image, self.transform.spec)

    def _iterate_once(
        self,
        split: Split,
        batch_size: int,
        num_samples: int | None = None,
        *,
        worker: int = 0,
        workers: int = 1,
    ) -> tf.data.Dataset:
        batches = iterate_once(
            split,
            self._transform_image,
            batch_size,
            self.decode_errors,
            self.transform.spec.channels,
            num_samples=num_samples,
            worker=worker,
            workers=workers,
        )
        return batches.map(lambda positions, indices, images, labels: (images, labels))

    def _cropped_epoch(self, epoch: tf.Tensor, part: "_Part") -> tf.data.Dataset:
        """Returns the batches of an epoch of random crops, flipped at random (section 3.4)."""
        transform, channels, hflip = self.transform, self.transform.spec.channels, self.transform.hflip
        size = transform.train_size or transform.spec.size
        paper = transform.augmentation == "paper"
        choose = augment.scale_jitter_box if paper else augment.random_resized_crop_box
        uniforms = self._uniforms(
            epoch, augment.SCALE_JITTER_UNIFORMS if paper else augment.RESIZED_CROP_UNIFORMS
        )
        lights = None
        if paper and channels == 3:
            normal = tf.random.stateless_normal([self.dataset.train.size, 3], self._key(_LIGHT, epoch))
            lights = augment.lighting(normal)

        def crop_and_flip(index, image):
            own = uniforms[index]
            light = None if lights is None else lights[index]
            crop = decode_resize_box(image, lambda shape: choose(shape, size, own), size, channels, light)
            if not hflip:
                return crop
            return tf.cond(own[-1] < 0.5, lambda: tf.reverse(crop, [1]), lambda: crop)

        batches = self._epoch(epoch, part, crop_and_flip)
        further = self._optional_augmentation(epoch, part.mean)
        if further is None:
            return batches.map(lambda _, images, labels: (images, labels))
        return batches.map(
            lambda indices, images, labels: (further(indices, images), labels),
            num_parallel_calls=tf.data.AUTOTUNE,
        )

    def _squashed_epoch(self, epoch: tf.Tensor, part: "_Part") -> tf.data.Dataset:
        """Returns the batches of an epoch of padded random crops, flipped at random (section 4.2)."""
        transform, uniforms = self.transform, self._uniforms(epoch, augment.CROP_FLIP_UNIFORMS)
        fill = tf.saturate_cast(tf.round(part.mean), tf.uint8)
        further = self._optional_augmentation(epoch, part.mean)

        def crop_and_flip(indices, images, labels):
            crops = augment.random_crop_flip(
                images, transform.padding, fill, tf.gather(uniforms, indices), hflip=transform.hflip
            )
            return (crops if further is None else further(indices, crops)), labels

        if not self._is_cached(self.dataset.train):
            batches = self._epoch(epoch, part, lambda _, image: self._transform_image(image))
            return batches.map(crop_and_flip, num_parallel_calls=tf.data.AUTOTUNE)
        images, labels = self._cached_train
        order = self._cached_order(epoch)
        batches = tf.reshape(order[: part.steps * part.batch_size], [part.steps, part.batch_size])
        return tf.data.Dataset.from_tensor_slices(batches[part.skipped :, part.worker :: part.workers]).map(
            lambda indices: crop_and_flip(indices, tf.gather(images, indices), tf.gather(labels, indices)),
            num_parallel_calls=tf.data.AUTOTUNE,
        )

    def _epoch(self, epoch: tf.Tensor, part: "_Part", transform: Callable[..., tf.Tensor]) -> tf.data.Dataset:
        """Returns batches (indices, transformed images, labels) in the order of the epoch.

        Args:
            transform: takes the index and the image.
        """
        split, key = self.dataset.train, self._key(_ORDER, epoch)
        spares = self.decode_errors.max_skipped(split) + part.batch_size

        def read(key, start, step=1):
            # Other images once more replace those that are lost, so that no epoch lacks a step.
            over = tf.maximum(start - split.size, (start - split.size) % step)
            return split.read(key, start, step).concatenate(split.read(None, over, step).take(spares))

        start = part.skipped * part.batch_size + part.worker
        images = (
            enumerate_stream(read(key, start, part.workers), start, part.workers)
            .map(
                lambda position, example: (position, example[0], transform(*example[:2]), example[2]),
                num_parallel_calls=tf.data.AUTOTUNE,
            )
            .ignore_errors()
        )
        batches = self.decode_errors.detect_gaps(
            images.batch(part.batch_size // part.workers, drop_remainder=True),
            split,
            read,
            key,
            transform=self._transform_image,
            channels=self.transform.spec.channels,
            start=start,
            step=part.workers,
        )
        return batches.take(part.steps - part.skipped)


@dataclasses.dataclass(frozen=True)
class _Part:
    """Which batches of an epoch.

    Args:
        batch_size: over all workers.
        steps: number of steps in the epoch.
        skipped: number of steps at its start that are left out.
        worker: number of this worker.
        workers: number of workers that share each batch.
        mean: mean that the model subtracts.
    """

    batch_size: int
    steps: int
    skipped: tf.Tensor
    worker: int
    workers: int
    mean: np.ndarray
