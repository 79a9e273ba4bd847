"""The views of an image that tests average over, and the images of a split in those views."""

import dataclasses
import itertools
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from keras_resnet.data.dataset import Split
from keras_resnet.data.decode_errors import DecodeErrors
from keras_resnet.data.images import augment
from keras_resnet.data.images.decode import decode_crop, decode_scale
from keras_resnet.data.images.pillow import preprocess_image
from keras_resnet.data.input_spec import InputSpec, TestViews
from keras_resnet.data.streams import iterate_once, one_thread_per_op

# One kind of view of n images, uint8: (n, size, size, C) for "center"; (n, 5, size, size, C) for "ten_crop",
# whose other five are these flipped; for "multi_scale" a list of n images (h, w, C) for each scale.
Views = np.ndarray | list[list[np.ndarray]]


class Batch(NamedTuple):
    """Some images of a split.

    Args:
        done: number of images of the split up to the end of this batch, including those left out.
        indices: of the images in their split.
        views: for each of the requested kinds.
        labels: of the images.
    """

    done: int
    indices: np.ndarray
    views: tuple[Views, ...]
    labels: np.ndarray


def transform_image(image: tf.Tensor, spec: InputSpec) -> tf.Tensor:
    """Prepares one image for a model, as validation does.

    Shapes: an encoded file, () string, or pixels (H, W, C) uint8 -> (size, size, C) uint8. Files are decoded
        to the spec's channels; pixels keep theirs.

    Raises:
        tf.errors.InvalidArgumentError: the image cannot be decoded or is too large.
    """
    channels = _channels(image, spec)
    size, squash = spec.size, spec.crop_mode == "squash"
    if squash and image.dtype == tf.uint8 and image.shape == (size, size, channels):
        return image  # already the model's input
    if spec.is_published:
        return _published_image(image, dataclasses.replace(spec, channels=channels))
    box = augment.squash if squash else augment.center_crop
    return decode_crop(image, lambda shape: box(shape, size), size, channels)


def _published_image(image: tf.Tensor, spec: InputSpec) -> tf.Tensor:
    """Prepares an image with Pillow, whose exact pixels TensorFlow's resizing does not give."""

    def transform(value):
        # Eagerly, TensorFlow passes the contents of a file as an array without dimensions.
        return preprocess_image(
            value.item() if isinstance(value, np.ndarray) and not value.ndim else value, spec
        )

    pixels = tf.numpy_function(transform, [image], tf.uint8, stateful=False)
    return tf.ensure_shape(pixels, (spec.size, spec.size, spec.channels))


def five_crops(image: tf.Tensor, spec: InputSpec) -> tf.Tensor:
    """Returns the corners and the center of an image resized to a shorter side of 256, for an input of 224.

    Shapes: as of `transform_image` -> (5, size, size, C) uint8: top left, top right, bottom left, bottom
        right, center.
    """
    size, channels = spec.size, _channels(image, spec)
    scaled = decode_scale(image, spec.shorter_side, channels)
    down, across = tf.unstack(tf.shape(scaled)[:2] - size)
    corners = [(0, 0), (0, across), (down, 0), (down, across), (down // 2, across // 2)]
    return tf.stack(
        [tf.ensure_shape(scaled[y : y + size, x : x + size], (size, size, channels)) for y, x in corners]
    )


def make_views(image: tf.Tensor, views: TestViews) -> tf.Tensor | tuple[tf.Tensor, ...]:
    """Returns the views of one image, an encoded file or pixels."""
    if views.kind == "center":
        return transform_image(image, views.spec)
    if views.kind == "ten_crop":
        return five_crops(image, views.spec)
    channels = _channels(image, views.spec)
    return tuple(decode_scale(image, scale, channels) for scale in views.scales)


def iterate_views(
    split: Split, views: Sequence[TestViews], batch_size: int, decode_errors: DecodeErrors, start: int = 0
) -> Iterator[Batch]:
    """Yields the images of a split, each once, always in the same order.

    Args:
        start: number of images at the beginning that are left out.

    Raises:
        UserError: as of `DecodeErrors`.
    """
    varying = any(view.kind == "multi_scale" for view in views)
    # tf.data cannot batch images of several shapes.
    batches = iterate_once(
        split,
        lambda image: tuple(make_views(image, view) for view in views),
        1 if varying else batch_size,
        decode_errors,
        max(view.spec.channels for view in views),
        start=start,
    )
    batches = batches.prefetch(tf.data.AUTOTUNE).with_options(one_thread_per_op()).as_numpy_iterator()
    with decode_errors.translate():
        while parts := list(itertools.islice(batches, batch_size if varying else 1)):
            yield _concatenate(parts, views)


def _channels(image: tf.Tensor, spec: InputSpec) -> int:
    return spec.channels if image.dtype == tf.string else image.shape[-1]


def _concatenate(parts: list, views: Sequence[TestViews]) -> Batch:
    joined: list[Views] = []
    for number, view in enumerate(views):
        values = [value[number] for _, _, value, _ in parts]
        if view.kind == "multi_scale":
            joined.append(
                [[image for batch in scale for image in batch] for scale in zip(*values, strict=True)]
            )
        else:
            joined.append(np.concatenate(values))
    positions, indices, labels = (np.concatenate([part[field] for part in parts]) for field in (0, 1, 3))
    return Batch(int(positions[-1]) + 1, indices, tuple(joined), labels)
