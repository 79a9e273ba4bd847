"""A net's answer to several views of an image: crops, or every position at several scales (section 3.4)."""

import collections
import functools
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from keras_resnet.data.view import Views
from keras_resnet.errors import UserError
from keras_resnet.evaluation.opened import OpenedModel
from keras_resnet.models.surgery import fully_convolutional

# Pixels that a fully convolutional net sees at a time: what it makes of them is a hundred times as much.
_PIXELS = 4 * 2**20

# From `Shown`; which of its kinds, the views decide.
Answer = Callable[[Any], np.ndarray]


def answering(model: OpenedModel, views: Views, *, mirrored: bool = True) -> Answer:
    """A function from what the views show of n images to the net's probabilities, (n, classes) float32.

    Args:
        mirrored: whether "ten_crop" and "multi_scale" are seen mirrored as well, as in the paper.

    Raises:
        UserError: "multi_scale" of a file whose images have one size, or of a net that cannot be made so.
    """
    if views.kind == "center":
        return _in_colour(model.probabilities, model.channels)
    if views.kind == "ten_crop":
        return _over_crops(_in_colour(model.probabilities, model.channels), mirrored)
    if model.net is None:
        raise UserError(
            f"--views=multi_scale needs a net that takes images of any size, and {model.path} is made for "
            f"{model.size}x{model.size}; give the Keras model, or the run."
        )
    try:
        dense = dense_answers(model.net, mirrored=mirrored)
    except (ValueError, TypeError) as error:
        # Of somebody else's net, whatever Keras makes of it.
        raise UserError(f"--views=multi_scale cannot be had of {model.path}: {error}") from error
    return _over_scales(_in_colour(dense, model.channels))


def dense_answers(model: keras.Model, *, mirrored: bool = True) -> Callable[[np.ndarray], np.ndarray]:
    """A function from images of any one size to the net's probabilities, averaged over all positions.

    Shapes: (N, H, W, C) uint8 or float32, plain pixels -> (N, classes) float32.

    Args:
        model: a net for images of a fixed size, which are the smallest the function takes.
        mirrored: whether the images are seen mirrored as well.

    Raises:
        ValueError: as of `fully_convolutional`.
    """
    net = fully_convolutional(model)

    # One graph for all sizes and numbers of images.
    any_images = tf.TensorSpec((None, None, None, model.inputs[0].shape[-1]), tf.float32)

    @functools.partial(tf.function, input_signature=[any_images], autograph=False)
    def answers(images):
        if mirrored:
            images = tf.concat([images, tf.reverse(images, [2])], axis=0)
        probabilities = tf.reduce_mean(net(images, training=False), axis=[1, 2])
        return tf.reduce_mean(tf.split(probabilities, 2 if mirrored else 1), axis=0)

    return lambda images: answers(tf.constant(images, tf.float32)).numpy()


def in_colour(images: np.ndarray, channels: int) -> np.ndarray:
    """Images (..., 1 or C) for a net of C channels: grey ones three times for a net of colours."""
    return np.broadcast_to(images, (*images.shape[:-1], channels))


def _in_colour(answers: Answer, channels: int) -> Answer:
    return lambda images: answers(in_colour(images, channels))


def _over_crops(probabilities: Callable[[np.ndarray], np.ndarray], mirrored: bool) -> Answer:
    def answer(crops):
        count, number = crops.shape[:2]
        flat = crops.reshape(count * number, *crops.shape[2:])
        sides = [flat, flat[:, :, ::-1]] if mirrored else [flat]
        given = np.mean([probabilities(side) for side in sides], axis=0)
        return given.reshape(count, number, -1).mean(axis=1)

    return answer


def _over_scales(answers: Callable[[np.ndarray], np.ndarray]) -> Answer:
    def answer(scales):
        return sum(map(of_scale, scales)) / len(scales)

    def of_scale(images):
        # Images of one shape together.
        places = collections.defaultdict(list)
        for place, image in enumerate(images):
            places[image.shape].append(place)
        given: list[Any] = [None] * len(images)
        for (height, width, _), found in places.items():
            at_once = max(1, _PIXELS // (height * width))
            for first in range(0, len(found), at_once):
                some = found[first : first + at_once]
                for place, row in zip(some, answers(np.stack([images[i] for i in some])), strict=True):
                    given[place] = row
        return np.stack(given)

    return answer
