"""What `train` takes as data: arrays or batches, checked, with labels of one shape."""

import dataclasses
import sys
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

import keras
import numpy as np

from keras_resnet.data.image_arrays import UNIFORMS, ImageArrays
from keras_resnet.errors import UserError
from keras_resnet.models.head import MULTI_LABEL, count_classes, find_head
from keras_resnet.training.input import ResumableData, check_divisible

if TYPE_CHECKING:
    import tensorflow as tf

_VALIDATION_BATCH = 256


def as_batches(
    data: Any,
    model: keras.Model,
    parameter: str,
    batch_size: int = _VALIDATION_BATCH,
) -> "ResumableData | Iterable":
    """Returns data as batches (images, labels): labels are integers (N,), or probabilities (N, classes).

    A model with a sigmoid for each of several labels takes the latter alone, 1 for each label of an image.

    Args:
        data: `ResumableData` as it is, batches as tf.data, or a pair of arrays (or what NumPy makes arrays
            of), whose images come in another order in every epoch for `train_data`, as of `ImageArrays`.
        model: that takes the images.
        parameter: "train_data" or "validation_data".
        batch_size: for arrays.

    Raises:
        UserError: the data have another form, or do not fit the model.
    """
    if isinstance(data, ResumableData):
        return data
    if _is_dataset(data):
        return _checked_batches(data, model, parameter)
    arrays = data if isinstance(data, ImageArrays) and parameter == "train_data" else None
    images, labels = _checked_arrays((arrays.images, arrays.labels) if arrays else data, parameter)
    classes = count_classes(model)
    _check_range(labels, classes, parameter)
    _check_form(images.shape, images.dtype, labels.shape, labels.dtype, model, parameter, classes)
    if labels.ndim == 2:
        labels = labels.astype("float32")
    if parameter == "validation_data":
        return _Slices(images, labels, batch_size)
    _check_count(len(images), batch_size)
    arrays = arrays or ImageArrays(images, labels)
    return _shuffled(dataclasses.replace(arrays, images=images, labels=labels), batch_size)


def _is_dataset(data: Any) -> bool:
    # Whoever has one has imported TensorFlow, which need not be installed.
    tensorflow = sys.modules.get("tensorflow")
    return tensorflow is not None and isinstance(data, tensorflow.data.Dataset)


def _checked_batches(data: "tf.data.Dataset", model: keras.Model, parameter: str) -> "tf.data.Dataset":
    import tensorflow as tf

    spec = data.element_spec
    if not isinstance(spec, tuple) or not all(isinstance(part, tf.TensorSpec) for part in spec):
        raise UserError("must yield pairs (images, labels).", parameter=parameter)
    _check_length(len(spec), parameter)
    labels = spec[1]
    shapes = [None if part.shape.rank is None else tuple(part.shape) for part in spec]
    dtypes = [np.dtype(part.dtype.as_numpy_dtype) for part in spec]
    classes = count_classes(model)
    _check_form(shapes[0], dtypes[0], shapes[1], dtypes[1], model, parameter, classes)
    if labels.shape.rank == 2 and labels.dtype.is_integer:
        if labels.shape[1] == 1:
            return data.map(lambda x, y: (x, y[:, 0]))
        return data.map(lambda x, y: (x, tf.cast(y, tf.float32)))
    return data


_Shape = tuple[int | None, ...] | None


def _check_form(
    image_shape: _Shape,
    image_dtype: np.dtype,
    label_shape: _Shape,
    label_dtype: np.dtype,
    model: keras.Model,
    parameter: str,
    classes: int,
) -> None:
    """Checks that a model takes such batches; None stands for sizes and ranks that are unknown."""
    expected = tuple(model.inputs[0].shape)
    if image_shape is not None and not _matches(image_shape[1:], expected[1:]):
        advice = "; it yields single images: use .batch(n)" if _matches(image_shape, expected[1:]) else ""
        raise UserError(
            f"has images of shape {image_shape}, and {model.name} takes {expected}{advice}.",
            parameter=parameter,
        )
    if not _is_number(image_dtype):
        raise UserError(f"has images of {image_dtype.name}; they must be numbers.", parameter=parameter)
    integers = label_dtype.kind in "iu"
    if label_shape is None or len(label_shape) == 1:
        fits = integers
    elif len(label_shape) == 2 and label_shape[1] == 1 and integers:
        fits = True
    else:
        fits = len(label_shape) == 2 and label_shape[1] in (None, classes) and _is_number(label_dtype)
    if find_head(model) == MULTI_LABEL:
        vectors = label_shape is None or (len(label_shape) == 2 and label_shape[1] in (None, classes))
        if not vectors or not _is_number(label_dtype):
            raise UserError(
                f"must have vectors of 0 and 1 of shape (N, {classes}) as labels, for {model.name} ends in a "
                f"sigmoid for each label, of which an image may have several; got {label_shape} of "
                f"{label_dtype.name}. With one label for each image, end the model in a softmax.",
                parameter=parameter,
            )
        return
    if not fits:
        raise UserError(
            f"must have integer labels of shape (N,) or (N, 1), or one-hot labels of shape (N, {classes}); "
            f"got {label_shape} of {label_dtype.name}.",
            parameter=parameter,
        )


def _matches(shape: tuple[int | None, ...], expected: tuple[int | None, ...]) -> bool:
    return len(shape) == len(expected) and all(
        None in pair or pair[0] == pair[1] for pair in zip(shape, expected, strict=True)
    )


def _is_number(dtype: np.dtype) -> bool:
    # ml_dtypes' bfloat16 is of kind V.
    return dtype.kind in "iuf" or dtype.name == "bfloat16"


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


class _Slices:
    """Batches of arrays in their order, the last one smaller."""

    def __init__(self, images: np.ndarray, labels: np.ndarray, batch_size: int):
        self._arrays, self._batch_size = (images, labels), batch_size

    def __iter__(self) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        images, labels = self._arrays
        for start in range(0, len(images), self._batch_size):
            rows = slice(start, start + self._batch_size)
            yield images[rows], labels[rows]


def _check_count(count: int, batch_size: int) -> None:
    if count < batch_size:
        raise UserError(
            f"is more than the {count} images of train_data; change the recipe's by "
            f"dataclasses.replace(recipe, batch_size={count}).",
            parameter="batch_size",
            value=batch_size,
        )


def _shuffled(arrays: ImageArrays, batch_size: int) -> ResumableData:
    """Batches by tf.data, or for an engine that keeps the arrays on its devices."""

    def batches(first_step: int, worker: int, workers: int) -> "tf.data.Dataset":
        check_divisible(batch_size, workers)
        import tensorflow as tf

        from keras_resnet.data.images.augment import random_crop_flip

        # On the CPU and outside of any graph, which cannot hold more than 2 GB.
        with tf.init_scope(), tf.device("CPU"):
            pixels, classes = tf.constant(arrays.images), tf.constant(arrays.labels)
            fill = tf.constant(arrays.fill_pixels()) if arrays.augments else None

        def gather(rows, uniforms):
            images = tf.gather(pixels, rows)
            if arrays.augments:
                images = random_crop_flip(images, arrays.padding, fill, uniforms, hflip=arrays.hflip)
            return images, tf.gather(classes, rows)

        share = batch_size // workers
        rows = tf.data.Dataset.from_generator(
            lambda: arrays.rows(batch_size, first_step, worker, workers),
            output_signature=(
                tf.TensorSpec([share], tf.int32),
                tf.TensorSpec([share, UNIFORMS], tf.float32),
            ),
        )
        return rows.map(gather, num_parallel_calls=tf.data.AUTOTUNE).prefetch(tf.data.AUTOTUNE)

    return ResumableData(len(arrays.images) // batch_size, batches, arrays=lambda: arrays)
