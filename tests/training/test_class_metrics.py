"""Metrics in which every class counts the same, against scikit-learn's."""

import warnings

import numpy as np
import pytest
from sklearn import metrics

from keras_resnet.training.class_metrics import class_metrics, confusion_metrics


@pytest.mark.parametrize(
    ("present", "predicted"),
    [
        (range(5), range(5)),
        ((0, 2, 3), range(5)),
        (range(5), (1, 4)),
        ((1, 2), (2, 3)),
        ((0,), (0,)),
        ((0,), (1,)),
    ],
    ids=str,
)
def test_they_are_those_of_scikit_learn(present, predicted):
    """With classes that have no images, no predictions, or neither."""
    random = np.random.default_rng(0)
    truth, predictions = random.choice(list(present), 200), random.choice(list(predicted), 200)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        expected = {
            "macro_f1": metrics.f1_score(truth, predictions, average="macro"),
            "balanced_accuracy": metrics.balanced_accuracy_score(truth, predictions),
        }
    confusion = metrics.confusion_matrix(truth, predictions, labels=range(5))
    assert confusion_metrics(confusion) == pytest.approx(expected)
    hits = truth[truth == predictions]
    counts = [np.bincount(numbers, minlength=5) for numbers in (truth, predictions, hits)]
    assert class_metrics(*counts) == pytest.approx(expected)
