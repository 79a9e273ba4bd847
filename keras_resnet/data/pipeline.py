"""Batches for training and for tests: read, decode, augment, batch. Pixels stay uint8 up to the net.

What chance does to an image depends on the seed, the epoch and the image's index alone, and the order of an
epoch on the seed and the epoch: a run can stop after any step and go on with the next.
"""

import dataclasses
import functools
from collections.abc import Callable

import numpy as np
import tensorflow as tf

from keras_resnet.data import augment
from keras_resnet.data.bad_images import BadImages
from keras_resnet.data.decode import box_view
from keras_resnet.data.in_order import in_order, numbered, one_thread_an_operation
from keras_resnet.data.mix import Mixer
from keras_resnet.data.mixing import Mixing
from keras_resnet.data.shown import centre
from keras_resnet.data.source import Source, Split
from keras_resnet.data.view import View
from keras_resnet.errors import UserError

# Images of a split that are decoded once and stay in memory; others are read anew each epoch.
_IN_MEMORY = 2**30
_MEAN_IMAGES = 1024
_DECODED_AT_A_TIME = 256

# Streams of random numbers of one seed.
_ORDER, _IMAGE, _LIGHT, _BATCH = range(4)


@dataclasses.dataclass(frozen=True)
class Pipeline:
    """The images of a source as a net sees them.

    Args:
        source: what images.
        view: how they are seen.
        bad_images: what happens to those that cannot be decoded.
        seed: of everything random.
    """

    source: Source
    view: View
    bad_images: BadImages = dataclasses.field(default_factory=BadImages)
    seed: int = 0

    def mean(self, *, per_pixel: bool) -> np.ndarray:
        """What the net subtracts: the mean of each pixel (size, size, C) or of each channel (C,).

        Of all training images that are held in memory, or of 1,024 of the others, drawn at random.
        """
        if self._held(self.source.train):
            mean = self._training_images[0].numpy().mean(axis=0, dtype="float64")
        else:
            total, count = 0.0, 0
            batches = self._in_order(self.source.train, 128, drawn=_MEAN_IMAGES)
            with self.bad_images.told():
                for batch, _ in batches.as_numpy_iterator():
                    total = total + batch.sum(axis=0, dtype="float64")
                    count += len(batch)
            mean = total / count
        return (mean if per_pixel else mean.mean(axis=(0, 1))).astype("float32")

    def steps_per_epoch(self, batch_size: int) -> int:
        """Whole batches of an epoch: what is left over is another part of the images each time."""
        return self._images_of_an_epoch // batch_size

    def training_batches(
        self,
        batch_size: int,
        epochs: int,
        mean: np.ndarray,
        *,
        mixing: Mixing | None = None,
        first_step: int = 0,
        worker: int = 0,
        workers: int = 1,
    ) -> tf.data.Dataset:
        """Shuffled, augmented batches, newly at random each epoch: all of `epochs` epochs, one after another.

        Gives (images uint8 (n, size, size, C), labels int64 (n,)), or labels float32 (n, classes) with
        `mixing`, where n is batch_size / workers.

        Args:
            mean: what the net will subtract; padding shows it.
            mixing: of images and labels within a batch.
            first_step: number of batches that were already seen.
            worker, workers: which of how many that share each batch.

        Raises:
            UserError: there are fewer images than a batch has.
        """
        steps = self.steps_per_epoch(batch_size)
        if not steps:
            raise UserError(
                f"--batch_size={batch_size} is more than the {self._images_of_an_epoch} training images of "
                f"{self.source.name} that can be decoded; give that number or less."
            )
        first_epoch, done = divmod(first_step, steps)
        mixer = Mixer(mixing, len(self.source.class_names)) if mixing else None
        make = self._epoch_of_whole_images if self.view.whole else self._epoch_of_crops

        def epoch_batches(epoch):
            skipped = tf.where(epoch == first_epoch, tf.constant(done, tf.int64), 0)
            key = tf.cast(epoch, tf.int32)
            batches = make(key, _Part(batch_size, steps, skipped, worker, workers, mean))
            if mixer:
                batch_key = self._key(_BATCH, key) + tf.constant([worker, 0])
                batches = batches.enumerate(skipped).map(
                    lambda step, batch: mixer(
                        batch[0], batch[1], batch_key + tf.stack([0, tf.cast(step, tf.int32)])
                    ),
                    num_parallel_calls=tf.data.AUTOTUNE,
                )
            # Not fewer, as a damaged file would make them.
            return batches.apply(tf.data.experimental.assert_cardinality(steps - skipped))

        batches = tf.data.Dataset.range(first_epoch, epochs).flat_map(epoch_batches)
        return batches.prefetch(tf.data.AUTOTUNE).with_options(one_thread_an_operation())

    def evaluation_batches(self, batch_size: int, *, worker: int = 0, workers: int = 1) -> tf.data.Dataset:
        """All test images once, always in the same order: (images (n, size, size, C), labels (n,)).

        Args:
            batch_size: the most images of a batch.
            worker, workers: which of how many that share the images.
        """
        batches = self._in_order(self.source.test, batch_size, worker=worker, workers=workers)
        if self._held(self.source.test):
            batches = batches.cache()
        return batches.prefetch(tf.data.AUTOTUNE).with_options(one_thread_an_operation())

    def drawn_batches(self, split: Split, count: int, batch_size: int) -> tf.data.Dataset:
        """So many images of a split as tests see them, drawn at random, always the same: (images, labels).

        All of them, in their order, where the split has no more.
        """
        drawn = count if count < split.size else None
        return self._in_order(split, batch_size, drawn=drawn).with_options(one_thread_an_operation())

    def _key(self, stream: int, epoch: tf.Tensor) -> tf.Tensor:
        fold_in = tf.random.experimental.stateless_fold_in
        return fold_in(fold_in(tf.constant([self.seed, 0], tf.int32), stream), epoch)

    def _draws(self, epoch: tf.Tensor, count: int) -> tf.Tensor:
        """So many numbers of 0..1 for each training image, (images, count)."""
        return tf.random.stateless_uniform([self.source.train.size, count], self._key(_IMAGE, epoch))

    def _held(self, split: Split) -> bool:
        size = split.size * self.view.size**2 * self.source.channels
        return self.view.whole and size <= _IN_MEMORY

    @property
    def _images_of_an_epoch(self) -> int:
        """Those that can be decoded, as far as that is known beforehand."""
        return len(self._training_images[1]) if self._held(self.source.train) else self.source.train.size

    @functools.cached_property
    def _training_images(self) -> tuple[tf.Tensor, tf.Tensor]:
        """All training images and labels that can be decoded."""
        batches = self._in_order(self.source.train, _DECODED_AT_A_TIME)
        with self.bad_images.told():
            images, labels = zip(*batches, strict=True)
        with tf.device("CPU"):
            return tf.concat(images, axis=0), tf.concat(labels, axis=0)

    def _untouched(self, image: tf.Tensor) -> tf.Tensor:
        """An image as tests see it: whole, or its centre."""
        return centre(image, self.view.size, self.view.whole, self.source.channels)

    def _in_order(
        self, split: Split, batch_size: int, drawn: int | None = None, *, worker: int = 0, workers: int = 1
    ) -> tf.data.Dataset:
        """Batches of the images as tests see them, all of them or so many drawn at random."""
        batches = in_order(
            split,
            self._untouched,
            batch_size,
            self.bad_images,
            self.source.channels,
            drawn=drawn,
            worker=worker,
            workers=workers,
        )
        return batches.map(lambda places, indices, images, labels: (images, labels))

    def _epoch_of_crops(self, epoch: tf.Tensor, part: "_Part") -> tf.data.Dataset:
        """Crops at random places, some of them mirrored."""
        view, channels = self.view, self.source.channels
        paper = view.augmentation == "paper"
        choose = augment.paper_box if paper else augment.inception_box
        draws = self._draws(epoch, augment.PAPER_DRAWS if paper else augment.INCEPTION_DRAWS)
        lights = None
        if paper and channels == 3:
            normal = tf.random.stateless_normal([self.source.train.size, 3], self._key(_LIGHT, epoch))
            lights = augment.lighting(normal)

        def seen(index, image):
            own = draws[index]
            light = None if lights is None else lights[index]
            crop = box_view(image, lambda shape: choose(shape, view.size, own), view.size, channels, light)
            if not view.mirrored:
                return crop
            return tf.cond(own[-1] < 0.5, lambda: tf.reverse(crop, [1]), lambda: crop)

        return self._epoch(epoch, part, seen).map(lambda _, images, labels: (images, labels))

    def _epoch_of_whole_images(self, epoch: tf.Tensor, part: "_Part") -> tf.data.Dataset:
        """Whole images, each shifted at random, some of them mirrored."""
        view, draws = self.view, self._draws(epoch, augment.SHIFT_DRAWS)
        fill = tf.saturate_cast(tf.round(part.mean), tf.uint8)

        def shifted(indices, images, labels):
            moved = augment.pad_crop_mirror(
                images, view.padding, fill, tf.gather(draws, indices), mirror=view.mirrored
            )
            return moved, labels

        if not self._held(self.source.train):
            batches = self._epoch(epoch, part, lambda _, image: self._untouched(image))
            return batches.map(shifted, num_parallel_calls=tf.data.AUTOTUNE)
        images, labels = self._training_images
        order = tf.random.experimental.stateless_shuffle(tf.range(len(labels)), self._key(_ORDER, epoch))
        batches = tf.reshape(order[: part.steps * part.batch_size], [part.steps, part.batch_size])
        return tf.data.Dataset.from_tensor_slices(batches[part.skipped :, part.worker :: part.workers]).map(
            lambda indices: shifted(indices, tf.gather(images, indices), tf.gather(labels, indices)),
            num_parallel_calls=tf.data.AUTOTUNE,
        )

    def _epoch(self, epoch: tf.Tensor, part: "_Part", seen: Callable[..., tf.Tensor]) -> tf.data.Dataset:
        """Batches of (indices, images as `seen` makes them, labels), the order of the epoch's."""
        split, key = self.source.train, self._key(_ORDER, epoch)
        spares = self.bad_images.room(split) + part.batch_size

        def read(key, start, step=1):
            # Others again in place of images that are lost, so that every epoch has its steps.
            over = tf.maximum(start - split.size, (start - split.size) % step)
            return split.read(key, start, step).concatenate(split.read(None, over, step).take(spares))

        start = part.skipped * part.batch_size + part.worker
        images = (
            numbered(read(key, start, part.workers), start, part.workers)
            .map(
                lambda position, example: (position, example[0], seen(*example[:2]), example[2]),
                num_parallel_calls=tf.data.AUTOTUNE,
            )
            .ignore_errors()
        )
        batches = self.bad_images.checked(
            images.batch(part.batch_size // part.workers, drop_remainder=True),
            split,
            read,
            key,
            see=self._untouched,
            channels=self.source.channels,
            start=start,
            step=part.workers,
        )
        return batches.take(part.steps - part.skipped)


@dataclasses.dataclass(frozen=True)
class _Part:
    """Which batches of an epoch.

    Args:
        batch_size: over all workers.
        steps: of the whole epoch.
        skipped: number of batches at its start that were already seen.
        worker, workers: which of how many that share each batch.
        mean: what the net will subtract.
    """

    batch_size: int
    steps: int
    skipped: tf.Tensor
    worker: int
    workers: int
    mean: np.ndarray
