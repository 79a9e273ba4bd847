import numpy as np
import pytest
from sklearn import metrics

from keras_resnet.evaluation.metrics import confusion_matrix, wilson


@pytest.mark.parametrize(
    ("hits", "count", "interval"),
    [
        # Newcombe 1998, "Two-sided confidence intervals for the single proportion", Table I, method 3.
        (81, 263, (0.2553, 0.3662)),
        (15, 148, (0.0624, 0.1605)),
        (0, 20, (0.0000, 0.1611)),
        (1, 29, (0.0061, 0.1718)),
    ],
)
def test_wilsons_interval_is_the_published_one(hits, count, interval):
    assert wilson(hits, count) == pytest.approx(interval, abs=5e-5)


def test_nothing_to_count_is_refused():
    for hits, count in ((0, 0), (3, 2), (-1, 5)):
        with pytest.raises(ValueError, match="hits must be from 0"):
            wilson(hits, count)


def test_confusion_matrix_is_scikit_learns():
    random = np.random.default_rng(0)
    labels, predictions = random.integers(0, 4, (2, 500))
    np.testing.assert_array_equal(
        confusion_matrix(labels, predictions, 4), metrics.confusion_matrix(labels, predictions)
    )
