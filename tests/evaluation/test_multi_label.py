import numpy as np
import pytest
from helpers.errors import refused
from sklearn import metrics

from keras_resnet.evaluation.multi_label import (
    average_precision,
    best_threshold,
    best_thresholds,
    multi_label_scores,
    predict_labels,
)


def _predictions(images=300, classes=5, seed=0, levels=None):
    """Labels of several frequencies, and probabilities that tell something of them."""
    random = np.random.default_rng(seed)
    truth = (random.random((images, classes)) < np.linspace(0.05, 0.7, classes)).astype("float32")
    probabilities = np.clip(0.3 * truth + 0.7 * random.random((images, classes)), 0, 1)
    if levels:
        probabilities = np.round(probabilities * levels) / levels
    return truth, probabilities.astype("float32")


@pytest.mark.parametrize("levels", [None, 4, 256], ids=["distinct", "mostly equal", "int8"])
def test_scores_are_those_of_scikit_learn(levels):
    truth, probabilities = _predictions(levels=levels)
    thresholds = (0.3, 0.4, 0.5, 0.6, 0.7)
    scores = multi_label_scores(truth, probabilities, thresholds)
    assert scores.images == 300
    assert scores.mean_average_precision == pytest.approx(
        metrics.average_precision_score(truth, probabilities, average="macro")
    )
    predicted = probabilities >= np.float32(thresholds)
    expected = metrics.precision_recall_fscore_support(truth, predicted, zero_division=0)
    for name, values in zip(("precision", "recall", "f1", "positives"), expected, strict=True):
        assert [getattr(label, name) for label in scores.labels] == pytest.approx(values)
    assert scores.macro_f1 == pytest.approx(metrics.f1_score(truth, predicted, average="macro"))
    assert scores.label_error == pytest.approx(metrics.hamming_loss(truth, predicted))
    if levels is None:
        losses = [metrics.log_loss(*columns) for columns in zip(truth.T, probabilities.T, strict=True)]
        assert scores.loss == pytest.approx(np.sum(losses), rel=1e-5)


def test_a_label_that_no_image_has_does_not_count():
    truth, probabilities = _predictions()
    truth[:, 0] = 0
    scores = multi_label_scores(truth, probabilities, (1.0, *[0.5] * 4))
    assert scores.labels[0].average_precision is None
    expected = metrics.average_precision_score(truth[:, 1:], probabilities[:, 1:], average="macro")
    assert scores.mean_average_precision == pytest.approx(expected)
    # As in history: neither its images nor its predictions are there.
    predicted = probabilities[:, 1:] >= 0.5
    assert scores.macro_f1 == pytest.approx(metrics.f1_score(truth[:, 1:], predicted, average="macro"))
    empty = multi_label_scores(np.zeros((3, 2)), np.zeros((3, 2), "float32"), (0.5, 0.5))
    assert np.isnan(empty.mean_average_precision)
    assert empty.label_error == 0


@pytest.mark.parametrize("levels", [None, 8])
def test_the_threshold_has_the_largest_f1_of_all(levels):
    truth, probabilities = _predictions(levels=levels, seed=1)
    for own, scores in zip(truth.T, probabilities.T, strict=True):
        threshold = best_threshold(own, scores)
        every = [metrics.f1_score(own, scores >= limit) for limit in np.unique(scores)]
        assert metrics.f1_score(own, scores >= threshold) == pytest.approx(max(every))
        # Between two images, so that a file that rounds otherwise predicts the same.
        assert threshold not in scores
    assert best_thresholds(truth, probabilities)[1] == best_threshold(truth[:, 1], probabilities[:, 1])


def test_thresholds_at_the_ends():
    assert best_threshold(np.zeros(3), np.float32([0.1, 0.2, 0.3])) == 0.5
    assert best_threshold(np.ones(2), np.float32([0.2, 0.8])) == pytest.approx(0.1)
    assert best_threshold(np.array([0, 1]), np.float32([0.2, 0.8])) == pytest.approx(0.5)
    assert average_precision(np.array([1, 0]), np.float32([0.2, 0.8])) == 0.5
    assert average_precision(np.array([0, 0]), np.float32([0.2, 0.8])) is None
    probabilities = np.float32([[0.5, 0.1], [0.49, 0.9]])
    assert predict_labels(probabilities, (0.5, 0.9)).tolist() == [[True, False], [False, True]]


def test_models_of_the_other_kind_are_refused():
    from keras_resnet.data.input_spec import InputSpec
    from keras_resnet.data.sources.arrays import split_from_arrays
    from keras_resnet.evaluation.evaluator import evaluate
    from keras_resnet.evaluation.multi_label_evaluator import evaluate_multi_label
    from keras_resnet.inference.predictor import Predictor

    split = split_from_arrays("val", np.zeros((2, 8, 8, 1), "uint8"), np.array([0, 1]))

    def predict(images):
        return np.full((len(images), 2), 0.5, "float32")

    single = Predictor("a", InputSpec(8, 1), ("x", "y"), predict)
    several = Predictor("b", InputSpec(8, 1), ("x", "y"), predict, thresholds=(0.5, 0.5))
    with refused("models", "b"):
        evaluate({"b": several}, split)
    with refused("predictor"):
        evaluate_multi_label(single, split)
    with refused("split", "val"):
        evaluate_multi_label(several, split)
    with refused("model"):
        single.labels(np.zeros((8, 8, 1), "uint8"))
