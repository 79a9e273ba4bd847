"""What `train` takes as data: arrays or batches, checked, with labels of one shape."""

from collections.abc import Iterator
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from keras_resnet.errors import UserError
from keras_resnet.models.head import count_classes
from keras_resnet.training.input import ResumableData

_VALIDATION_BATCH = 256


def as_batches(
    data: Any, model: keras.Model, parameter: str, batch_size: int = _VALIDATION_BATCH
) -> ResumableData | tf.data.Dataset:
    """Returns data as batches (images, labels): labels are integers (N,), or probabilities (N, classes).

    Args:
        data: `ResumableData` as it is, batches as tf.data, or a pair of arrays (or what NumPy makes arrays
            of), whose images come in another order in every epoch for `train_data`.
        model: that takes the images.
        parameter: "train_data" or "validation_data".
        batch_size: for arrays.

    Raises:
        UserError: the data have another form, or do not fit the model.
    """
    if isinstance(data, ResumableData):
        return data
    if not isinstance(data, tf.data.Dataset):
        images, labels = _checked_arrays(data, parameter)
        _check_range(labels, count_classes(model), parameter)
        if parameter == "train_data":
            return _shuffled(images, labels, model, batch_size)
        data = _slices(images, labels).batch(batch_size)
    return _checked_batches(data, model, parameter)


def _checked_batches(data: tf.data.Dataset, model: keras.Model, parameter: str) -> tf.data.Dataset:
    spec = data.element_spec
    if not isinstance(spec, tuple) or not all(isinstance(part, tf.TensorSpec) for part in spec):
        raise UserError("must yield pairs (images, labels).", parameter=parameter)
    _check_length(len(spec), parameter)
    images, labels = spec
    expected = model.inputs[0].shape
    if images.shape.rank is not None and not images.shape[1:].is_compatible_with(expected[1:]):
        advice = ""
        if images.shape.is_compatible_with(expected[1:]):
            advice = "; it yields single images: use .batch(n)"
        raise UserError(
            f"has images of shape {tuple(images.shape)}, and {model.name} takes {tuple(expected)}{advice}.",
            parameter=parameter,
        )
    if not (images.dtype.is_floating or images.dtype.is_integer):
        raise UserError(f"has images of {images.dtype.name}; they must be numbers.", parameter=parameter)
    classes = count_classes(model)
    if labels.shape.rank == 2 and labels.shape[1] == 1 and labels.dtype.is_integer:
        return data.map(lambda x, y: (x, y[:, 0]))
    if labels.shape.rank == 2 and labels.shape[1] in (None, classes):
        if labels.dtype.is_floating:
            return data
        if labels.dtype.is_integer:
            return data.map(lambda x, y: (x, tf.cast(y, tf.float32)))
    if labels.shape.rank in (None, 1) and labels.dtype.is_integer:
        return data
    raise UserError(
        f"must have integer labels of shape (N,) or (N, 1), or one-hot labels of shape (N, {classes}); got "
        f"{tuple(labels.shape)} of {labels.dtype.name}.",
        parameter=parameter,
    )


def _check_length(length: int, parameter: str) -> None:
    if length == 3:
        raise UserError(
            "has a third part, as fit takes for sample weights, which this training does not use; leave it "
            "out, and repeat images that are to count more.",
            parameter=parameter,
        )
    if length != 2:
        raise UserError(f"must be pairs (images, labels); got {length} parts.", parameter=parameter)


def _checked_arrays(data: Any, parameter: str) -> tuple[np.ndarray, np.ndarray]:
    if isinstance(data, Iterator) or not isinstance(data, tuple | list):
        raise UserError(
            "must be a tf.data.Dataset of batches (images, labels), or a pair of arrays; got a "
            f"{type(data).__name__}. tf.data.Dataset.from_generator makes a dataset of a generator, and "
            ".apply(tf.data.experimental.assert_cardinality(n)) says its number of batches.",
            parameter=parameter,
        )
    _check_length(len(data), parameter)
    try:
        images, labels = (np.asarray(part) for part in data)
    except (TypeError, ValueError) as error:
        raise UserError("must be arrays: images of one size, and labels.", parameter=parameter) from error
    if images.dtype.kind not in "iuf":
        raise UserError(
            f"must have images of numbers, all of one size; got {images.dtype}.", parameter=parameter
        )
    if not images.ndim or not labels.ndim or len(images) != len(labels) or not len(images):
        raise UserError(
            f"must have as many labels as images, and one at least; got {labels.shape} and {images.shape}.",
            parameter=parameter,
        )
    if labels.ndim == 2 and labels.shape[1] == 1:
        labels = labels[:, 0]
    if labels.ndim == 1 and labels.dtype.kind == "f" and (labels == np.round(labels)).all():
        labels = labels.astype("int64")
    return images, labels


def _check_range(labels: np.ndarray, classes: int, parameter: str) -> None:
    if labels.ndim == 1 and labels.dtype.kind in "iu" and not 0 <= labels.min() <= labels.max() < classes:
        raise UserError(
            f"has labels from {labels.min()} to {labels.max()}, and the model has {classes} classes, which "
            "count from 0.",
            parameter=parameter,
        )


def _slices(images: np.ndarray, labels: np.ndarray) -> tf.data.Dataset:
    # On the CPU and outside of any graph, which cannot hold more than 2 GB.
    with tf.init_scope(), tf.device("CPU"):
        return tf.data.Dataset.from_tensor_slices((images, labels))


def _shuffled(images: np.ndarray, labels: np.ndarray, model: keras.Model, batch_size: int) -> ResumableData:
    """Batches in an order that the number of the epoch alone decides, so that a training resumes anywhere."""
    count = len(images)
    steps = count // batch_size
    if not steps:
        raise UserError(
            f"is more than the {count} images of train_data; change the recipe's by "
            f"dataclasses.replace(recipe, batch_size={count}).",
            parameter="batch_size",
            value=batch_size,
        )
    with tf.init_scope(), tf.device("CPU"):
        pixels, classes = tf.constant(images), tf.constant(labels)

    def batches(first_step: int, worker: int, workers: int) -> tf.data.Dataset:
        def of_epoch(epoch: tf.Tensor) -> tf.data.Dataset:
            key = tf.stack([tf.constant(0, tf.int64), epoch])
            order = tf.random.experimental.stateless_shuffle(tf.range(count), key)[: steps * batch_size]
            return tf.data.Dataset.from_tensor_slices(tf.reshape(order, (steps, batch_size)))

        epochs = tf.data.Dataset.range(first_step // steps, np.iinfo("int32").max).flat_map(of_epoch)
        share = epochs.skip(first_step % steps).map(lambda rows: rows[worker::workers])
        gathered = share.map(lambda rows: (tf.gather(pixels, rows), tf.gather(classes, rows)))
        return _checked_batches(gathered, model, "train_data").prefetch(tf.data.AUTOTUNE)

    batches(0, 0, 1)  # refuses arrays that do not fit the model
    return ResumableData(steps, batches)
