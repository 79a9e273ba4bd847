"""Averages predictions over views of an image: crops, or all positions at several scales (section 3.4)."""

import collections
import functools
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from keras_resnet.data.input_spec import TestViews
from keras_resnet.errors import UserError, first_line
from keras_resnet.inference.images import to_channels
from keras_resnet.inference.keras_file import KerasPredictFn
from keras_resnet.inference.predictor import Predictor
from keras_resnet.inference.reading import PredictFn
from keras_resnet.models.head import probability_model
from keras_resnet.models.surgery import fully_convolutional
from keras_resnet.training.losses import floored_log

# Pixels that a fully convolutional model takes at a time: its activations are a hundred times as many
# numbers.
_MAX_PIXELS = 4 * 2**20

# Takes one kind of views of n images, as `iterate_views` yields them; returns (n, classes) float32.
ViewsPredictFn = Callable[[Any], np.ndarray]
# As that, and returns their logarithms, too.
ViewsScoreFn = Callable[[Any], tuple[np.ndarray, np.ndarray]]


def make_predict_fn(predictor: Predictor, views: TestViews, *, hflip: bool = True) -> ViewsPredictFn:
    """Returns a function from the views of n images to the model's probabilities, (n, classes) float32.

    Args:
        hflip: whether "ten_crop" and "multi_scale" average over horizontally flipped views as well, as in the
            paper.

    Raises:
        UserError: "multi_scale" needs a Keras model that can be made fully convolutional, and this is none.
    """
    channels = predictor.spec.channels
    if views.kind == "center":
        return _with_channels(predictor.predict_fn, channels)
    if views.kind == "ten_crop":
        return _average_crops(_with_channels(predictor.predict_fn, channels), hflip)
    size = predictor.spec.size
    if predictor.model is None:
        raise UserError(
            f"needs a model that takes images of any size, and {predictor.path} takes {size}x{size}; use the "
            "Keras model, or the run.",
            parameter="views",
            value=views.kind,
        )
    try:
        dense = dense_predict_fn(predictor.model, hflip=hflip)
    except (ValueError, TypeError) as error:
        # Whatever Keras raises for a model of another kind.
        raise UserError(
            f"cannot be used with {predictor.path}: {first_line(error)}.", parameter="views", value=views.kind
        ) from error
    return _average_scales(_with_channels(dense, channels))


def make_score_fn(predictor: Predictor, views: TestViews, *, hflip: bool = True) -> ViewsScoreFn:
    """Returns the function of `make_predict_fn` with the logarithms of the probabilities, for the loss.

    Raises:
        UserError: as of `make_predict_fn`.
    """
    function, channels = predictor.predict_fn, predictor.spec.channels
    if views.kind == "center" and isinstance(function, KerasPredictFn):
        return lambda images: function.score(to_channels(images, channels))
    predict = make_predict_fn(predictor, views, hflip=hflip)

    def score_views(images):
        probabilities = predict(images)
        return probabilities, floored_log(probabilities)

    return score_views


def dense_predict_fn(model: keras.Model, *, hflip: bool = True) -> PredictFn:
    """Returns a function from images of any one size to probabilities, averaged over all positions.

    Shapes: (N, H, W, C) uint8 or float32, plain pixels -> (N, classes) float32.

    Args:
        model: made for images of a fixed size, which is the smallest that the function takes.
        hflip: whether to average over the horizontally flipped images as well.

    Raises:
        ValueError: as of `fully_convolutional`.
    """
    dense_model = fully_convolutional(probability_model(model))

    # One graph for all sizes and numbers of images.
    any_images = tf.TensorSpec((None, None, None, model.inputs[0].shape[-1]), tf.float32)

    @functools.partial(tf.function, input_signature=[any_images], autograph=False)
    def graph(images):
        if hflip:
            images = tf.concat([images, tf.reverse(images, [2])], axis=0)
        probabilities = tf.reduce_mean(dense_model(images, training=False), axis=[1, 2])
        return tf.reduce_mean(tf.split(probabilities, 2 if hflip else 1), axis=0)

    return lambda images: graph(tf.constant(images, tf.float32)).numpy()


def _with_channels(predict: PredictFn, channels: int) -> PredictFn:
    return lambda images: predict(to_channels(images, channels))


def _average_crops(predict: PredictFn, hflip: bool) -> ViewsPredictFn:
    def average(crops):
        count, number = crops.shape[:2]
        flat = crops.reshape(count * number, *crops.shape[2:])
        flips = [flat, flat[:, :, ::-1]] if hflip else [flat]
        probabilities = np.mean([predict(images) for images in flips], axis=0)
        return probabilities.reshape(count, number, -1).mean(axis=1)

    return average


def _average_scales(predict: PredictFn) -> ViewsPredictFn:
    def average(scales):
        return sum(map(of_one_scale, scales)) / len(scales)

    def of_one_scale(images):
        # Images of equal shape go through the model together.
        by_shape = collections.defaultdict(list)
        for place, image in enumerate(images):
            by_shape[image.shape].append(place)
        rows: list[Any] = [None] * len(images)
        for (height, width, _), places in by_shape.items():
            batch_size = max(1, _MAX_PIXELS // (height * width))
            for start in range(0, len(places), batch_size):
                batch = places[start : start + batch_size]
                for place, row in zip(batch, predict(np.stack([images[i] for i in batch])), strict=True):
                    rows[place] = row
        return np.stack(rows)

    return average
