"""Evaluates models of several labels an image."""

import dataclasses
import time

import numpy as np
import tensorflow as tf

from keras_resnet.data.dataset import Split
from keras_resnet.data.decode_errors import DecodeErrors
from keras_resnet.data.input_spec import TestViews
from keras_resnet.data.test_views import iterate_views
from keras_resnet.errors import UserError
from keras_resnet.evaluation.multi_label import MultiLabelScores, multi_label_scores
from keras_resnet.inference.images import to_channels
from keras_resnet.inference.predictor import Predictor

_BATCH = 256


@dataclasses.dataclass(frozen=True)
class MultiLabelEvaluation:
    """The result of evaluating a model of several labels an image.

    Args:
        scores: all figures.
        images_per_second: throughput of the model alone, without reading and decoding.
    """

    scores: MultiLabelScores
    images_per_second: float


def evaluate_multi_label(
    predictor: Predictor, split: Split, decode_errors: DecodeErrors | None = None
) -> MultiLabelEvaluation:
    """Evaluates a model on images with vectors of labels, at the thresholds of the model.

    Labels and probabilities of all images are kept in memory.

    Args:
        split: of a multi-label dataset of the model's classes.
        decode_errors: what happens to images that cannot be decoded; by default the first one raises.

    Raises:
        UserError: the model or the images have one class an image, or an image cannot be decoded.
    """
    if predictor.thresholds is None:
        raise UserError(
            "gives each image one class, and not several labels; use evaluate.",
            parameter="predictor",
            value=predictor.path,
        )
    image, labels = split.read(None).element_spec[1:]
    classes = len(predictor.class_names)
    if labels.shape.as_list() != [classes]:
        raise UserError(
            f"has no vectors of {classes} labels, as the model.", parameter="split", value=split.name
        )
    if image.dtype != tf.string and image.shape[-1] not in (1, predictor.spec.channels):
        raise UserError(
            f"has images of {image.shape[-1]} channels, and the model takes {predictor.spec.channels}.",
            parameter="split",
            value=split.name,
        )
    truth, probabilities, seconds = [], [], 0.0
    views = (TestViews("center", predictor.spec),)
    for batch in iterate_views(split, views, _BATCH, decode_errors or DecodeErrors()):
        pixels = to_channels(np.asarray(batch.views[0]), predictor.spec.channels)
        start = time.perf_counter()
        found = predictor.predict_fn(pixels)
        seconds += time.perf_counter() - start
        if not np.isfinite(found).all():
            raise UserError(
                "it gives NaN or infinite probabilities for an image; leave it out, or train it again.",
                parameter="predictor",
                value=predictor.path,
            )
        truth.append(batch.labels)
        probabilities.append(found)
    if not truth:
        raise UserError("has no images to evaluate on.", parameter="split", value=split.name)
    scores = multi_label_scores(np.concatenate(truth), np.concatenate(probabilities), predictor.thresholds)
    return MultiLabelEvaluation(scores, scores.images / seconds)
