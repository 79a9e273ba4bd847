"""How batches reach the steps: each worker's share, from any step on, augmented as the recipe says."""

import dataclasses
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from keras_resnet.data.batch_augment import BatchAugment
from keras_resnet.data.image_arrays import ImageArrays
from keras_resnet.errors import UserError
from keras_resnet.training.cluster import WorkerInfo
from keras_resnet.training.recipes import Recipe

if TYPE_CHECKING:
    import tensorflow as tf

    from keras_resnet.training.engines import Engine


@dataclasses.dataclass(frozen=True)
class ResumableData:
    """Training batches as a function of the first step, so that a run can resume anywhere.

    Args:
        steps_per_epoch: number of batches per epoch.
        batches: (first step, index of this worker, number of workers) -> this worker's share of each batch
            from that step to the end of the training: (images, labels).
        batch_augment: what `batches` has already applied; `train` applies the recipe's where this is None.
        arrays: returns the same images, order and crops, for an engine that keeps images on its devices; None
            if they are read from files.
        advice: returns what would make the images come faster, for a training that waits for them.
    """

    steps_per_epoch: int
    batches: Callable[[int, int, int], Any]
    batch_augment: BatchAugment | None = None
    arrays: Callable[[], ImageArrays | None] = lambda: None
    advice: Callable[[], str] | None = None


def as_resumable_data(data: "ResumableData | tf.data.Dataset", batch_size: int) -> ResumableData:
    """Turns one epoch of batches (images, labels) into `ResumableData`; a smaller last batch is left out.

    Resuming inside an epoch skips the batches that were already used, and each of several workers takes its
    share of its own copy of a batch. Both are exact if the dataset yields the same batches in every pass and
    on every worker.

    Args:
        batch_size: the recipe's, over all workers.

    Raises:
        UserError: the number of batches is unknown, or they have another size.
    """
    if isinstance(data, ResumableData):
        return data
    import tensorflow as tf

    steps = int(data.cardinality())
    if steps < 1:
        raise UserError(
            f"has no known number of batches, or none (its cardinality is {steps}); set the number by "
            "dataset.apply(tf.data.experimental.assert_cardinality(n)).",
            parameter="train_data",
        )
    size = next(int(labels.shape[0]) for _, labels in data.take(1))
    check_batch_size(size, batch_size)
    full_batches = data.filter(lambda _, labels: tf.shape(labels)[0] == size)
    steps -= any(labels.shape[0] != size for _, labels in data.skip(steps - 1))

    def batches(first_step, worker, workers):
        check_divisible(size, workers)
        return (
            full_batches.repeat()
            .skip(first_step % steps)
            .map(lambda images, labels: (images[worker::workers], labels[worker::workers]))
            .prefetch(tf.data.AUTOTUNE)
        )

    return ResumableData(steps, batches)


def check_divisible(batch_size: int, workers: int) -> None:
    """Refuses a batch that cannot be divided among the workers.

    Raises:
        UserError: it cannot.
    """
    if batch_size % workers:
        raise UserError(
            f"must be a multiple of the number of workers, {workers}.",
            parameter="batch_size",
            value=batch_size,
        )


def check_batch_size(found: int, batch_size: int) -> None:
    """Refuses batches of another size than the recipe's.

    Raises:
        UserError: with what to change.
    """
    if found != batch_size:
        raise UserError(
            f"train_data has batches of {found} images; change one of them, the recipe's by "
            f"dataclasses.replace(recipe, batch_size={found}).",
            parameter="batch_size",
            value=batch_size,
        )


def data_for_steps(
    data: ResumableData, engine: "Engine", recipe: Recipe, num_classes: int, seed: int
) -> tuple[ResumableData, ImageArrays | None]:
    """Returns the batches of an engine's steps, and the images that it keeps on its devices, or None.

    Rows of these and their random numbers are then in the batches in the place of images and labels.

    Args:
        num_classes, seed: as of `with_batch_augment`.

    Raises:
        UserError: as `with_batch_augment`.
    """
    # Where images of a batch are mixed, which is TensorFlow's work, tf.data reads them.
    arrays = data.arrays() if engine.keeps_arrays and not recipe.batch_augment else None
    if arrays is None:
        return with_batch_augment(data, recipe.batch_augment, num_classes, seed), None
    size = recipe.batch_size

    def batches(first_step, worker, workers):
        check_divisible(size, workers)
        return arrays.rows(size, first_step, worker, workers)

    return ResumableData(data.steps_per_epoch, batches), arrays


def with_batch_augment(
    data: ResumableData, batch_augment: BatchAugment, num_classes: int, seed: int
) -> ResumableData:
    """Returns the data with the recipe's augmentation applied, by `data` itself or else here.

    Random numbers depend on the seed, the step and the worker alone, so that a resumed run draws the same.

    Args:
        batch_augment: the recipe's.
        num_classes: size of the label vectors, the number of the model's outputs.

    Raises:
        UserError: the data has another augmentation applied, or cannot take this one.
    """
    applied = data.batch_augment or BatchAugment()
    if applied == batch_augment:
        return data
    if applied:
        raise UserError(
            f"train_data has already applied {applied}; use the same in the recipe and in the data.",
            parameter="batch_augment",
            value=batch_augment,
        )
    _check_augmentable(data.batches(0, 0, 1).element_spec, batch_augment)
    import tensorflow as tf

    from keras_resnet.data.batch_augmenter import BatchAugmenter

    augmenter = BatchAugmenter(batch_augment, num_classes)

    def batches(first_step, worker, workers):
        worker_key = tf.constant([seed, worker], tf.int32)

        def augment(step, batch):
            images, labels = batch
            labels = tf.cast(labels, tf.int64)
            # One-hot vectors of labels out of range would be all zeros, and train without an error.
            in_range = tf.reduce_all((labels >= 0) & (labels < num_classes))
            check = tf.debugging.Assert(in_range, [f"labels must be 0..{num_classes - 1}, and are", labels])
            with tf.control_dependencies([check]):
                labels = tf.identity(labels)
            key = tf.random.experimental.stateless_fold_in(worker_key, tf.cast(step, tf.int32))
            return augmenter(images, labels, key)

        share = data.batches(first_step, worker, workers)
        augmented = share.enumerate(first_step).map(augment, num_parallel_calls=tf.data.AUTOTUNE)
        return augmented.prefetch(tf.data.AUTOTUNE)

    return ResumableData(data.steps_per_epoch, batches, batch_augment, advice=data.advice)


def _check_augmentable(spec: "tuple[tf.TensorSpec, tf.TensorSpec]", batch_augment: BatchAugment) -> None:
    images, labels = spec
    if labels.shape.rank not in (None, 1) or not labels.dtype.is_integer:
        raise UserError(
            f"needs integer class labels of shape (N,), and train_data has {labels.dtype.name} labels of "
            f"shape {tuple(labels.shape)}; use integer labels, or a recipe without batch_augment.",
            parameter="batch_augment",
            value=batch_augment,
        )
    changes_pixels = dataclasses.replace(batch_augment, label_smoothing=0.0)
    if changes_pixels and images.dtype.name != "uint8":
        raise UserError(
            f"changes uint8 pixels, and train_data has {images.dtype.name} images; use uint8 images, or "
            "label_smoothing alone, which takes any.",
            parameter="batch_augment",
            value=batch_augment,
        )


class EvaluationData:
    """Every image once, over all workers, in batches of one size that are filled up with images of weight 0.

    Args:
        batches: (images, integer labels), this worker's, of any sizes.
        worker: which worker this is.
        devices: number of devices of this worker.
    """

    def __init__(self, batches: Iterable, worker: WorkerInfo, devices: int):
        self._batches, self._worker, self._devices = batches, worker, devices
        self._size = 0

    def __iter__(self) -> Iterator[tuple[Any, Any, np.ndarray]]:
        """Yields (images, labels, sample_weight).

        With several workers it never ends, for all must take the same number of steps: after the last images
        come batches of weight 0.

        Raises:
            UserError: there are no images.
        """
        images = labels = None
        for images, labels in self._batches:
            count = len(labels)
            self._size = max(self._size, -(-count // self._devices) * self._devices)
            missing = self._size - count
            sample_weight = np.repeat(np.array([1, 0], "float32"), [count, missing])
            if missing:
                yield _pad(images, missing), _pad(labels, missing), sample_weight
            else:
                yield images, labels, sample_weight
        if images is None or labels is None:
            raise UserError("has no images; at least one is needed.", parameter="validation_data")
        while self._worker.workers > 1:
            first = (np.repeat(np.asarray(part[:1]), self._size, axis=0) for part in (images, labels))
            yield next(first), next(first), np.zeros(self._size, "float32")


def _pad(part: Any, missing: int) -> np.ndarray:
    """Appends the first image or label again: it is certain to be one that the model can take."""
    part = np.asarray(part)
    return np.concatenate([part, np.repeat(part[:1], missing, axis=0)])
