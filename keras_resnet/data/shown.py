"""The views of an image that a test shows, and the images of a split as several nets see them."""

import itertools
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from keras_resnet.data.augment import centre_crop
from keras_resnet.data.augment import whole as all_of_it
from keras_resnet.data.bad_images import BadImages
from keras_resnet.data.decode import crop_view, scaled_view
from keras_resnet.data.in_order import in_order, one_thread_an_operation
from keras_resnet.data.source import Split
from keras_resnet.data.view import Views, shorter_side

# What `Views` show of n images, uint8: (n, size, size, C) at the centre; (n, 5, size, size, C) of ten crops,
# the other five being their mirror images; a list of n images (h, w, C) for each of several scales.
Shown = np.ndarray | list[list[np.ndarray]]


class Batch(NamedTuple):
    """Some images of a split.

    Args:
        done: how many images of the split were seen with this batch, those that could not be decoded too.
        indices: of the images.
        shown: by each of the views.
        labels: of the images.
    """

    done: int
    indices: np.ndarray
    shown: tuple[Shown, ...]
    labels: np.ndarray


def centre(image: tf.Tensor, size: int, whole: bool, channels: int) -> tf.Tensor:
    """All of an image squeezed into a square, or its centre, (size, size, C) uint8.

    Args:
        image: an encoded file or pixels.
    """
    if whole and image.dtype == tf.uint8 and image.shape == (size, size, channels):
        return image  # pixels of the net's own size, which need no work
    choose = all_of_it if whole else centre_crop
    return crop_view(image, lambda shape: choose(shape, size), size, channels)


def five_crops(image: tf.Tensor, size: int, channels: int) -> tf.Tensor:
    """The corners and the centre of an image whose shorter side is 256 for size 224.

    (5, size, size, C) uint8: top left, top right, bottom left, bottom right, centre.
    """
    scaled = scaled_view(image, shorter_side(size), channels)
    down, across = tf.unstack(tf.shape(scaled)[:2] - size)
    corners = [(0, 0), (0, across), (down, 0), (down, across), (down // 2, across // 2)]
    return tf.stack(
        [tf.ensure_shape(scaled[y : y + size, x : x + size], (size, size, channels)) for y, x in corners]
    )


def show(image: tf.Tensor, views: Views) -> tf.Tensor | tuple[tf.Tensor, ...]:
    """What the views show of one image, an encoded file or pixels."""
    channels = views.channels if image.dtype == tf.string else image.shape[-1]
    if views.kind == "center":
        return centre(image, views.size, views.whole, channels)
    if views.kind == "ten_crop":
        return five_crops(image, views.size, channels)
    return tuple(scaled_view(image, side, channels) for side in views.sides)


def shown_images(
    split: Split, views: Sequence[Views], batch_size: int, bad_images: BadImages, start: int = 0
) -> Iterator[Batch]:
    """All images of a split once, in an order that is always the same.

    Args:
        start: how many of them were already seen.

    Raises:
        UserError: as of `BadImages`.
    """
    varying = any(view.kind == "multi_scale" for view in views)
    # Images of several shapes make no batch of tf.data's.
    batches = in_order(
        split,
        lambda image: tuple(show(image, view) for view in views),
        1 if varying else batch_size,
        bad_images,
        max(view.channels for view in views),
        start=start,
    )
    batches = batches.prefetch(tf.data.AUTOTUNE).with_options(one_thread_an_operation()).as_numpy_iterator()
    with bad_images.told():
        while ones := list(itertools.islice(batches, batch_size if varying else 1)):
            yield _together(ones, views)


def _together(ones: list, views: Sequence[Views]) -> Batch:
    """Several batches as one."""
    shown: list[Shown] = []
    for place, view in enumerate(views):
        of_view = [seen[place] for _, _, seen, _ in ones]
        if view.kind == "multi_scale":
            shown.append(
                [[image for batch in scale for image in batch] for scale in zip(*of_view, strict=True)]
            )
        else:
            shown.append(np.concatenate(of_view))
    places, indices, labels = (np.concatenate([one[part] for one in ones]) for part in (0, 1, 3))
    return Batch(int(places[-1]) + 1, indices, tuple(shown), labels)
