"""What a step measures of each image, for every engine: losses, errors, and the user's metrics."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import keras

from keras_resnet.errors import UserError
from keras_resnet.models.head import LOGITS, MULTI_LABEL, SIGMOID
from keras_resnet.training.losses import MIN_PROBABILITY

# Of the engine: tf.Tensor or jax.Array.
Tensor = Any
# A metric, here and in keras.metrics: (integer labels, probabilities) -> one value per image. The labels of a
# model of several labels are vectors.
Metric = Callable[[Tensor, Tensor], Tensor]


def metric_names(metrics: Mapping[str, Metric] | None) -> tuple[str, ...]:
    """Returns the names of what a step measures: the loss, the error and the user's metrics."""
    return ("loss", "error", *(metrics or ()))


def top1_error(labels: Tensor, probabilities: Tensor) -> Tensor:
    """Returns the top-1 error of each image: 0 if the most probable class is the label, else 1.

    Shapes: labels (N,), or (N, classes), of which the largest counts, and (N, classes) -> (N,).
    """
    predictions = keras.ops.argmax(probabilities, axis=-1)
    wrong = keras.ops.not_equal(keras.ops.cast(class_labels(labels), predictions.dtype), predictions)
    return keras.ops.cast(wrong, "float32")


def label_error(labels: Tensor, probabilities: Tensor) -> Tensor:
    """Returns the share of wrong labels of each image, where labels of a probability over 0.5 are predicted.

    Shapes: (N, classes), 0 or 1, or mixed and smoothed, and (N, classes) -> (N,).
    """
    wrong = keras.ops.not_equal(labels > 0.5, probabilities > 0.5)
    return keras.ops.mean(keras.ops.cast(wrong, "float32"), axis=-1)


def class_labels(labels: Tensor) -> Tensor:
    """Returns integer labels (N,): the labels themselves, or the largest class of each of (N, classes)."""
    return keras.ops.argmax(labels, axis=-1) if len(labels.shape) == 2 else labels


def training_losses(labels: Tensor, outputs: Tensor, logits: Tensor | None, head: str) -> Tensor:
    """Returns the loss of each image that is trained on, (N,): Keras', whose gradients are always finite.

    Of several labels, the sum of their binary cross-entropies: like the cross-entropy of a softmax, it moves
    the logit of each label by its own residual, however many labels there are, so that the same learning
    rates serve both.

    Args:
        labels: integers (N,) or probabilities (N, classes); for several labels the latter.
        outputs: of the model.
        logits: behind the outputs, where they are known.
        head: what the outputs are, as of `find_head`.
    """
    outputs = in_full_precision(outputs if logits is None else logits)
    if head == MULTI_LABEL:
        _check_vectors(labels)
        labels = keras.ops.cast(labels, outputs.dtype)
        mean = keras.losses.binary_crossentropy(labels, outputs, from_logits=logits is not None)
        return mean * labels.shape[-1]
    if head == SIGMOID:
        targets = labels[:, 1:] if len(labels.shape) == 2 else labels[:, None]
        targets = keras.ops.cast(targets, outputs.dtype)
        return keras.losses.binary_crossentropy(targets, outputs, from_logits=logits is not None)
    cross_entropy = keras.losses.sparse_categorical_crossentropy
    if len(labels.shape) == 2:
        cross_entropy = keras.losses.categorical_crossentropy
    return cross_entropy(labels, outputs, from_logits=logits is not None)


def image_weights(labels: Tensor, class_weight: Sequence[float]) -> Tensor:
    """Returns how often each image counts, (N,): the weight of its class.

    Shapes: labels (N,) or (N, classes), and class_weight (classes,).

    For labels that are probabilities (N, classes), as mixed and smoothed ones, it is the mean of the weights
    of all classes, in the label's shares.
    """
    weights = keras.ops.convert_to_tensor(class_weight, dtype="float32")
    if len(labels.shape) == 2:
        return keras.ops.matmul(keras.ops.cast(labels, "float32"), weights)
    return keras.ops.take(weights, labels)


def class_probabilities(outputs: Tensor, logits: Tensor | None, head: str) -> Tensor:
    """Returns the probability of each class, (N, classes), in float32 at least; arguments as above."""
    if head == SIGMOID:
        outputs = in_full_precision(outputs)
        return keras.ops.concatenate([1 - outputs, outputs], axis=1)
    if head == MULTI_LABEL:
        return in_full_precision(outputs)
    if logits is None:
        return in_full_precision(outputs)
    return keras.ops.softmax(in_full_precision(logits))


def reported_losses(labels: Tensor, outputs: Tensor, logits: Tensor | None, head: str) -> Tensor:
    """Returns the loss of each image that is not trained on, (N,), as history and evaluation report it.

    Arguments as above.
    """
    if head == MULTI_LABEL:
        _check_vectors(labels)
        return label_cross_entropy(labels, outputs, logits)
    probabilities = class_probabilities(outputs, logits, head)
    return cross_entropy(labels, log_probabilities(probabilities, logits, head))


def label_cross_entropy(labels: Tensor, outputs: Tensor, logits: Tensor | None) -> Tensor:
    """Returns the sum of the binary cross-entropies of the labels of each image; arguments as above.

    Shapes: (N, classes), (N, classes) and (N, classes) -> (N,).
    """
    if logits is None:
        outputs = in_full_precision(outputs)
        present = keras.ops.log(keras.ops.maximum(outputs, MIN_PROBABILITY))
        absent = keras.ops.log(keras.ops.maximum(1 - outputs, MIN_PROBABILITY))
    else:
        logits = in_full_precision(logits)
        present, absent = keras.ops.log_sigmoid(logits), keras.ops.log_sigmoid(-logits)
    labels = keras.ops.cast(labels, present.dtype)
    return -keras.ops.sum(labels * present + (1 - labels) * absent, axis=-1)


def _check_vectors(labels: Tensor) -> None:
    if len(labels.shape) != 2:
        raise UserError(
            "has one label for each image, and the model ends in a sigmoid for each label, of which an image "
            "may have several; use vectors of 0 and 1, (N, labels), or a model that ends in a softmax.",
            parameter="train_data",
        )


def log_probabilities(probabilities: Tensor, logits: Tensor | None, head: str) -> Tensor:
    """Returns the logarithm of the probability of each class, (N, classes), of `class_probabilities`.

    Of a softmax they are exact, however small a probability is.
    """
    if logits is None or head == SIGMOID:
        return keras.ops.log(keras.ops.maximum(probabilities, MIN_PROBABILITY))
    return keras.ops.log_softmax(in_full_precision(logits))


def cross_entropy(labels: Tensor, log_probabilities: Tensor) -> Tensor:
    """Returns the cross-entropy of each image: the loss that history and evaluation report.

    Shapes: integer labels (N,), or probabilities (N, classes), and (N, classes) -> (N,).
    """
    if len(labels.shape) == 2:
        # A label of 0 counts nothing, even where the logarithm is infinite.
        labels = keras.ops.cast(labels, log_probabilities.dtype)
        return -keras.ops.sum(keras.ops.where(labels == 0, 0.0, log_probabilities * labels), axis=-1)
    losses = -keras.ops.take_along_axis(log_probabilities, labels[:, None], axis=-1)[:, 0]
    # On a GPU, TensorFlow and JAX would return some value for a label out of range.
    in_range = (labels >= 0) & (labels < log_probabilities.shape[-1])
    return keras.ops.where(in_range, losses, float("nan"))


def logits_of(outputs: Tensor, head: str) -> Tensor | None:
    """Returns the logits behind the outputs of a model, where they are known.

    The loss of a probability that was rounded to 0 would have no gradient.
    """
    # On TensorFlow, Keras keeps those of a softmax or sigmoid with its result.
    return outputs if head == LOGITS else getattr(outputs, "_keras_logits", None)


def in_full_precision(x: Tensor) -> Tensor:
    """Casts half precision to float32."""
    wide = keras.backend.standardize_dtype(x.dtype) in ("float32", "float64")
    return x if wide else keras.ops.cast(x, "float32")


def sums(
    losses: Tensor,
    labels: Tensor,
    probabilities: Tensor,
    sample_weight: Tensor,
    metrics: Mapping[str, Metric],
    head: str,
) -> Tensor:
    """Returns the sum of each of `metric_names` over the images, and the number of images.

    The error is the top-1 error, or of several labels an image the share of wrong ones.

    Args:
        sample_weight: 1 for each image that counts, 0 for one that only fills up the batch, (N,).
        head: what the outputs are, as of `find_head`.
    """
    errors, targets = top1_error, class_labels(labels)
    if head == MULTI_LABEL:
        errors, targets = label_error, labels
    measured = [losses, errors(labels, probabilities)]
    measured += [metric(targets, probabilities) for metric in metrics.values()]
    values = keras.ops.stack([keras.ops.cast(values, "float32") for values in measured])
    # Not by multiplication: images that only fill up the batch may have any loss, even NaN.
    totals = keras.ops.sum(keras.ops.where(sample_weight > 0, values, 0.0), axis=1)
    return keras.ops.concatenate([totals, keras.ops.sum(sample_weight)[None]])


def class_counts(labels: Tensor, probabilities: Tensor, sample_weight: Tensor, head: str) -> Tensor:
    """Returns for each class its images, its predictions, and those that are both, (3 * classes,) float32.

    Labels of which an image may have several are predicted from a probability of 0.5 on.

    Args:
        sample_weight, head: as of `sums`.
    """
    classes = probabilities.shape[-1]
    if head == MULTI_LABEL:
        of_class, predicted = (keras.ops.cast(values > 0.5, "float32") for values in (labels, probabilities))
    else:
        predictions = keras.ops.argmax(probabilities, axis=-1)
        truth = keras.ops.cast(class_labels(labels), predictions.dtype)
        of_class, predicted = (keras.ops.one_hot(numbers, classes) for numbers in (truth, predictions))
    counted = keras.ops.stack([of_class, predicted, of_class * predicted])
    counted = keras.ops.sum(counted * keras.ops.cast(sample_weight, counted.dtype)[:, None], axis=1)
    return keras.ops.cast(keras.ops.reshape(counted, (-1,)), "float32")
