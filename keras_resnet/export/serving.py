"""A SavedModel, for servers: needs TensorFlow alone, takes pictures as they come."""

import functools
import json
import os
import pathlib
from collections.abc import Sequence

import keras
import tensorflow as tf

from keras_resnet.data import augment
from keras_resnet.data.decode import crop_batch, crop_view
from keras_resnet.evaluation.classifier import Classifier
from keras_resnet.evaluation.opened import LABELS, PREPROCESSING, labels_text
from keras_resnet.export.exports import UNDECODABLE
from keras_resnet.files import atomic
from keras_resnet.models.deep import room_to_recurse
from keras_resnet.models.surgery import inference_copy

_TOP = 5


def saved_model(
    model: keras.Model,
    path: str | os.PathLike,
    *,
    class_names: Sequence[str] = (),
    whole: bool = True,
    undecodable: str = "error",
) -> None:
    """Write a classifier as a SavedModel folder, with BN folded into the convolutions.

    Two signatures, for a batch of at least one: `serving_default` takes `images`, (N, H, W, C) float32,
    pixels 0..255; those of the net's own size are taken as they are, others are resized and cut as in tests.
    `serve_bytes` takes `image_bytes`, (N,) strings, files as JPEG or PNG, each seen as in tests. Both give
    `probabilities` (N, classes), and the best five (or fewer) `classes` (N, 5), their names, and `scores`
    (N, 5). A signature has one type; in Python the function `serve` takes pixels of uint8 as well.

    Args:
        model: takes plain pixels 0..255 of 1 or 3 channels and one size.
        class_names: in the order of the outputs; by default "0", "1", ...
        whole: whether the net was trained on whole images or on their centres (256/224 of its input).
        undecodable: what a file that cannot be decoded does to `serve_bytes`: "error", the call fails with
            its index; "nan", its numbers are NaN and its names empty.

    Raises:
        ValueError: an argument is not one of these.
    """
    if undecodable not in UNDECODABLE:
        raise ValueError(f"undecodable must be one of {', '.join(UNDECODABLE)}; got {undecodable!r}.")
    classifier = Classifier(model, tuple(class_names), whole)
    with room_to_recurse():
        server = _Server(classifier, undecodable)
        shape = (None, None, None, classifier.channels)
        of_floats, _ = (
            server.serve.get_concrete_function(tf.TensorSpec(shape, dtype, "images"))
            for dtype in (tf.float32, tf.uint8)
        )
        of_files = server.serve_bytes.get_concrete_function(tf.TensorSpec((None,), tf.string, "image_bytes"))
        with atomic(path) as written:
            signatures = {"serving_default": of_floats, "serve_bytes": of_files}
            tf.saved_model.save(server, os.fspath(written), signatures)
            extra = pathlib.Path(written, "assets.extra")
            extra.mkdir()
            (extra / PREPROCESSING).write_text(json.dumps(classifier.preprocessing) + "\n")
            (extra / LABELS).write_text(labels_text(classifier.class_names), encoding="utf-8")


class _Server(tf.Module):
    """The net between pictures and named answers."""

    def __init__(self, classifier: Classifier, undecodable: str):
        super().__init__()
        net = inference_copy(classifier.net)
        self.weights = [weight.value for weight in net.weights]
        # Not as an attribute itself, or Keras' objects would be saved as well.
        self._net = functools.partial(net, training=False)
        self._names, self._undecodable = classifier.class_names, undecodable
        self._size, self._channels = classifier.size, classifier.channels
        self._choose = functools.partial(
            augment.whole if classifier.whole else augment.centre_crop, size=self._size
        )

    @tf.function
    def serve(self, images):
        """Pixels, (N, H, W, C) of any type."""
        images = tf.cast(images, tf.float32)
        some = tf.debugging.assert_positive(
            tf.shape(images)[0], "images is empty; a batch needs at least one"
        )
        # Before the net, whose operations would fail as well, each in words of its own.
        with tf.control_dependencies([some]):
            images = tf.identity(images)
        fits = tf.reduce_all(tf.shape(images)[1:3] == self._size)
        images = tf.cond(fits, lambda: images, lambda: crop_batch(images, self._choose, self._size))
        return self._answers(images)

    @tf.function
    def serve_bytes(self, image_bytes):
        """Files, (N,) strings."""
        count = tf.size(image_bytes, tf.int64)
        some = tf.debugging.assert_positive(count, "image_bytes is empty; a batch needs at least one file")
        with tf.control_dependencies([some]):
            image_bytes = tf.identity(image_bytes)

        def decoded(index, contents):
            return index, crop_view(contents, self._choose, self._size, self._channels)

        # Decoded side by side; what fails is missing afterwards.
        files = tf.data.Dataset.from_tensor_slices(image_bytes).enumerate()
        pictures = files.map(decoded, num_parallel_calls=tf.data.AUTOTUNE).ignore_errors()
        # An image of zeros more than there are files: a batch of none cannot be taken out.
        shape = (self._size, self._size, self._channels)
        pictures = pictures.concatenate(tf.data.Dataset.from_tensors((count, tf.zeros(shape, tf.uint8))))
        indices, images = pictures.batch(count + 1).get_single_element()
        indices, images = indices[:-1], images[:-1]
        good = tf.scatter_nd(indices[:, tf.newaxis], tf.ones_like(indices, tf.bool), [count])
        first_bad = tf.argmin(tf.cast(good, tf.int32))
        if self._undecodable == "error":
            message = [
                "image_bytes[",
                first_bad,
                "] cannot be decoded: it is damaged, too large, or no JPEG, PNG, GIF, BMP or WebP file",
            ]
            with tf.control_dependencies([tf.debugging.Assert(tf.reduce_all(good), message)]):
                images = tf.identity(images)
        images = tf.scatter_nd(indices[:, tf.newaxis], images, [count, *shape])
        answers = self._answers(tf.cast(images, tf.float32))
        if self._undecodable == "error":
            return answers
        return {
            name: tf.where(good[:, tf.newaxis], answer, "" if answer.dtype == tf.string else float("nan"))
            for name, answer in answers.items()
        }

    def _answers(self, images):
        images = tf.ensure_shape(images, (None, self._size, self._size, self._channels))
        probabilities = self._net(images)
        scores, best = tf.math.top_k(probabilities, min(_TOP, len(self._names)))
        classes = tf.gather(tf.constant(self._names), best)
        return {"probabilities": probabilities, "classes": classes, "scores": scores}
