"""Writes SavedModels, for servers: they need only TensorFlow, and take files and images of any size."""

import functools
import os
import pathlib
from collections.abc import Sequence

import keras
import tensorflow as tf

from keras_resnet._utils.atomic import atomic_write
from keras_resnet._utils.recursion import raised_recursion_limit
from keras_resnet.data.dataset import MAX_PIXELS
from keras_resnet.data.images import augment
from keras_resnet.data.images.decode import crop_batch, decode, decode_crop
from keras_resnet.data.images.graph_formats import GRAPH
from keras_resnet.data.input_spec import InputSpec
from keras_resnet.export.config import check_on_decode_error
from keras_resnet.export.resources import resources
from keras_resnet.inference.sidecars import write_sidecars
from keras_resnet.inference.spec import Classifier
from keras_resnet.models.surgery import inference_copy

_TOP = 5


def export_saved_model(
    model: keras.Model,
    path: str | os.PathLike,
    *,
    class_names: Sequence[str] = (),
    spec: InputSpec | None = None,
    on_decode_error: str = "error",
    thresholds: Sequence[float] = (),
) -> None:
    """Writes a classifier as a SavedModel folder, with batch normalization folded into the convolutions.

    It has two signatures, for batches of at least one image. `serving_default` takes `images`, (N, H, W, C)
    float32, pixels 0..255: those of the model's size as they are, others resized and cropped as `spec` says.
    `serve_bytes` takes `image_bytes`, (N,) strings, the contents of JPEG, PNG, GIF, BMP (of 8, 24 or 32 bits
    a pixel) or WebP files (without animations), each resized and cropped. Both return `probabilities`
    (N, classes), and for the five likeliest classes, or fewer, `classes` (N, 5), their names, and `scores`
    (N, 5). A signature has one type of pixels; in Python the function `serve` takes uint8 as well.

    Args:
        model: takes plain pixels, 0..255, of 1 or 3 channels and one size.
        class_names: in the order of the outputs; by default "0", "1", ...
        spec: how its images are prepared; by default as of `Classifier`.
        thresholds: of a model of several labels an image, as of `Classifier`; written to
            `assets.extra/thresholds.json`.
        on_decode_error: what a file that cannot be decoded does to a call of `serve_bytes`: "error": it
            fails, with the index of the file; "nan": the file's numbers are NaN and its names empty.

    Raises:
        UserError: an argument has no such value.
    """
    check_on_decode_error(on_decode_error)
    classifier = Classifier(model, class_names, spec, thresholds)
    with raised_recursion_limit():
        folded = inference_copy(classifier.model)
        server = _Server(classifier, folded, on_decode_error)
        shape = (None, None, None, classifier.spec.channels)
        of_floats, _ = (
            server.serve.get_concrete_function(tf.TensorSpec(shape, dtype, "images"))
            for dtype in (tf.float32, tf.uint8)
        )
        of_files = server.serve_bytes.get_concrete_function(tf.TensorSpec((None,), tf.string, "image_bytes"))
        server.resources = resources(folded, of_floats)
        with atomic_write(path) as written:
            signatures = {"serving_default": of_floats, "serve_bytes": of_files}
            tf.saved_model.save(server, os.fspath(written), signatures)
            extra = pathlib.Path(written, "assets.extra")
            extra.mkdir()
            write_sidecars(extra, classifier.class_names, classifier.spec, classifier.thresholds)


class _Server(tf.Module):
    """Prepares images, runs the model, and names the likeliest classes."""

    def __init__(self, classifier: Classifier, folded: keras.Model, on_decode_error: str):
        super().__init__()
        # Not as an attribute itself, or Keras' objects would be saved as well.
        self._predict = functools.partial(folded, training=False)
        self._names, self._on_decode_error = classifier.class_names, on_decode_error
        self._spec, self._size, self._channels = (
            classifier.spec,
            classifier.spec.size,
            classifier.spec.channels,
        )
        box = augment.squash if self._spec.crop_mode == "squash" else augment.center_crop
        self._box = functools.partial(box, size=self._size)

    @tf.function
    def serve(self, images):
        """Classifies pixels, (N, H, W, C) of any type."""
        images = tf.cast(images, tf.float32)
        not_empty = tf.debugging.assert_positive(
            tf.shape(images)[0], "images is empty; a batch needs at least one"
        )
        # Before the model, whose operations would fail as well, with other messages.
        with tf.control_dependencies([not_empty]):
            images = tf.identity(images)
        fits = tf.reduce_all(tf.shape(images)[1:3] == self._size)
        images = tf.cond(fits, lambda: images, lambda: self._prepare_pixels(images))
        return self._outputs(images)

    @tf.function
    def serve_bytes(self, image_bytes):
        """Classifies the contents of files, (N,) strings."""
        count = tf.size(image_bytes, tf.int64)
        not_empty = tf.debugging.assert_positive(
            count, "image_bytes is empty; a batch needs at least one file"
        )
        with tf.control_dependencies([not_empty]):
            image_bytes = tf.identity(image_bytes)

        # Decoded in parallel; those that fail are missing afterwards.
        files = tf.data.Dataset.from_tensor_slices(image_bytes).enumerate()
        decoded = files.map(
            lambda index, contents: (index, self._prepare_file(contents)), num_parallel_calls=tf.data.AUTOTUNE
        ).ignore_errors()
        # With an image of zeros at the end, since an empty batch cannot be taken out.
        shape = (self._size, self._size, self._channels)
        decoded = decoded.concatenate(tf.data.Dataset.from_tensors((count, tf.zeros(shape, tf.uint8))))
        indices, images = decoded.batch(count + 1).get_single_element()
        indices, images = indices[:-1], images[:-1]
        good = tf.scatter_nd(indices[:, tf.newaxis], tf.ones_like(indices, tf.bool), [count])
        first_bad = tf.argmin(tf.cast(good, tf.int32))
        if self._on_decode_error == "error":
            message = [
                "image_bytes[",
                first_bad,
                "] cannot be decoded: it is damaged, too large, an animation in WebP, a BMP of an unusual "
                "kind, or no JPEG, PNG, GIF, BMP or WebP file",
            ]
            with tf.control_dependencies([tf.debugging.Assert(tf.reduce_all(good), message)]):
                images = tf.identity(images)
        images = tf.scatter_nd(indices[:, tf.newaxis], images, [count, *shape])
        outputs = self._outputs(tf.cast(images, tf.float32))
        if self._on_decode_error == "error":
            return outputs
        return {
            name: tf.where(good[:, tf.newaxis], output, "" if output.dtype == tf.string else float("nan"))
            for name, output in outputs.items()
        }

    def _prepare_pixels(self, images):
        """Resizes and crops images of any size, (N, H, W, C) float32."""
        if self._spec.is_published:
            return _published_crop(images, self._spec)
        return crop_batch(images, self._box, self._size)

    def _prepare_file(self, contents):
        """Decodes, resizes and crops one file, (size, size, C) uint8."""
        if self._spec.is_published:
            pixels = tf.cast(decode(contents, self._channels, GRAPH), tf.float32)
            return tf.cast(_published_crop(pixels[tf.newaxis], self._spec)[0], tf.uint8)
        return decode_crop(contents, self._box, self._size, self._channels, GRAPH)

    def _outputs(self, images):
        images = tf.ensure_shape(images, (None, self._size, self._size, self._channels))
        probabilities = self._predict(images)
        scores, best = tf.math.top_k(probabilities, min(_TOP, len(self._names)))
        classes = tf.gather(tf.constant(self._names), best)
        return {"probabilities": probabilities, "classes": classes, "scores": scores}


def _published_crop(images: tf.Tensor, spec: InputSpec) -> tf.Tensor:
    """Resizes and crops as `weights.eval_transform` does, up to one gray level.

    Shapes: (N, H, W, C) float32 -> (N, size, size, C) float32, whole numbers of 0..255.
    """
    shape = tf.cast(tf.shape(images)[1:3], tf.float64)
    resized = tf.floor(spec.shorter_side * shape / tf.reduce_min(shape))
    # A line of pixels becomes as long as it is narrow.
    fits = tf.debugging.assert_less_equal(
        tf.reduce_prod(resized),
        tf.constant(MAX_PIXELS, tf.float64),
        "too many pixels when resized",
    )
    with tf.control_dependencies([fits]):
        resized = tf.cast(resized, tf.int32)
    images = tf.image.resize(images, resized, spec.interpolation, antialias=True)
    # TensorFlow rounds halves to the even number, as Python does.
    top, left = tf.unstack(tf.cast(tf.round((resized - spec.size) / 2), tf.int32))
    images = images[:, top : top + spec.size, left : left + spec.size]
    return tf.clip_by_value(tf.round(images), 0.0, 255.0)
