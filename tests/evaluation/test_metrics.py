import numpy as np
import pytest
from helpers.errors import refused
from sklearn import metrics

from keras_resnet.evaluation.metrics import MetricAccumulator, confusion_matrix, wilson_interval


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
def test_wilson_interval_is_the_published_one(hits, count, interval):
    assert wilson_interval(hits, count) == pytest.approx(interval, abs=5e-5)


def test_hits_that_are_no_share_of_the_count_are_refused():
    for hits, count in ((0, 0), (3, 2), (-1, 5)):
        with refused("hits", hits):
            wilson_interval(hits, count)


def test_confusion_matrix_is_scikit_learns():
    random = np.random.default_rng(0)
    labels, predictions = random.integers(0, 4, (2, 500))
    np.testing.assert_array_equal(
        confusion_matrix(labels, predictions, 4), metrics.confusion_matrix(labels, predictions)
    )


def _predictions(count, classes, seed=0):
    random = np.random.default_rng(seed)
    labels = random.integers(0, classes, count)
    logits = random.normal(size=(count, classes))
    logits[np.arange(count), labels] += 1.5
    probabilities = np.exp(logits)
    return labels, (probabilities / probabilities.sum(axis=1, keepdims=True)).astype("float32")


def _scores(labels, probabilities, batch=37):
    accumulator = MetricAccumulator(probabilities.shape[1])
    pictures = np.arange(len(labels), dtype="uint8").repeat(4).reshape(-1, 2, 2, 1)
    for first in range(0, len(labels), batch):
        part = slice(first, first + batch)
        accumulator.add(np.arange(len(labels))[part], labels[part], probabilities[part], pictures[part])
    return accumulator.scores()


def test_errors_and_loss_are_scikit_learns():
    labels, probabilities = _predictions(230, 12)
    scores = _scores(labels, probabilities)
    every = range(12)
    assert scores.images == 230
    assert scores.top1_error == pytest.approx(
        1 - metrics.accuracy_score(labels, probabilities.argmax(axis=1))
    )
    top5 = metrics.top_k_accuracy_score(labels, probabilities, k=5, labels=every)
    assert scores.top5_error == pytest.approx(1 - top5)
    assert scores.loss == pytest.approx(metrics.log_loss(labels, probabilities, labels=every), rel=1e-6)
    predictions = probabilities.argmax(axis=1)
    assert scores.macro_f1 == pytest.approx(metrics.f1_score(labels, predictions, average="macro"))
    assert scores.balanced_accuracy == pytest.approx(metrics.balanced_accuracy_score(labels, predictions))
    assert scores.top1_interval == wilson_interval(round(230 * scores.top1_error), 230)
    assert scores.top5_interval == wilson_interval(round(230 * scores.top5_error), 230)


def test_calibration_error_is_the_definition():
    labels, probabilities = _predictions(400, 4)
    confidence, right = probabilities.max(axis=1), probabilities.argmax(axis=1) == labels
    expected = 0.0
    for low in np.arange(15) / 15:
        inside = (confidence > low) & (confidence <= low + 1 / 15)
        if inside.any():
            expected += inside.mean() * abs(right[inside].mean() - confidence[inside].mean())
    assert _scores(labels, probabilities).calibration_error == pytest.approx(expected, abs=1e-6)
    sure = np.eye(4, dtype="float32")[labels]
    assert _scores(labels, sure).calibration_error == 0


def test_the_worst_mistakes_are_those_of_the_highest_loss():
    labels, probabilities = _predictions(230, 6)
    losses = -np.log(probabilities[np.arange(230), labels])
    losses[probabilities.argmax(axis=1) == labels] = -1
    worst = _scores(labels, probabilities).worst
    assert [mistake.index for mistake in worst] == np.argsort(-losses)[:20].tolist()
    for mistake in worst:
        assert mistake.label == labels[mistake.index]
        assert mistake.prediction == probabilities[mistake.index].argmax()
        assert mistake.image[0, 0, 0] == mistake.index


def test_equal_probabilities_count_for_the_earlier_class():
    """An int8 file gives many zeros: a label among them must not be one of the five likeliest by chance."""
    probabilities = np.zeros((2, 8), "float32")
    probabilities[:, 0] = 1
    scores = _scores(np.array([3, 7]), probabilities)
    assert scores.top5_error == 0.5
    assert np.isfinite(scores.loss)


def test_restored_counts_continue():
    labels, probabilities = _predictions(100, 7)
    pictures = np.arange(100, dtype="uint8").repeat(4).reshape(-1, 2, 2, 1)
    first, second = MetricAccumulator(7), MetricAccumulator(7)
    first.add(np.arange(60), labels[:60], probabilities[:60], pictures[:60])
    second.restore(first.arrays())
    second.add(np.arange(60, 100), labels[60:], probabilities[60:], pictures[60:])
    scores, expected = second.scores(), _scores(labels, probabilities)
    np.testing.assert_array_equal(scores.confusion, expected.confusion)
    assert [mistake.index for mistake in scores.worst] == [mistake.index for mistake in expected.worst]
    for name in ("top1_error", "top5_error", "loss", "calibration_error"):
        assert getattr(scores, name) == pytest.approx(getattr(expected, name))


def test_few_classes_have_no_top_5():
    scores = _scores(*_predictions(30, 5))
    assert scores.top5_error is None
    assert scores.top5_interval is None


def test_nan_is_refused():
    with refused("probabilities"):
        _scores(np.zeros(1, int), np.full((1, 3), np.nan))
