import numpy as np
import pytest
from sklearn import metrics

from keras_resnet.evaluation.metrics import Tally, confusion_matrix, wilson


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


def _answers(count, classes, seed=0):
    random = np.random.default_rng(seed)
    labels = random.integers(0, classes, count)
    logits = random.normal(size=(count, classes))
    logits[np.arange(count), labels] += 1.5
    probabilities = np.exp(logits)
    return labels, (probabilities / probabilities.sum(axis=1, keepdims=True)).astype("float32")


def _scores(labels, probabilities, batch=37):
    tally = Tally(probabilities.shape[1])
    pictures = np.arange(len(labels), dtype="uint8").repeat(4).reshape(-1, 2, 2, 1)
    for first in range(0, len(labels), batch):
        part = slice(first, first + batch)
        tally.add(np.arange(len(labels))[part], labels[part], probabilities[part], pictures[part])
    return tally.scores()


def test_errors_and_loss_are_scikit_learns():
    labels, probabilities = _answers(230, 12)
    scores = _scores(labels, probabilities)
    every = range(12)
    assert scores.images == 230
    assert scores.top1_error == pytest.approx(
        1 - metrics.accuracy_score(labels, probabilities.argmax(axis=1))
    )
    top5 = metrics.top_k_accuracy_score(labels, probabilities, k=5, labels=every)
    assert scores.top5_error == pytest.approx(1 - top5)
    assert scores.loss == pytest.approx(metrics.log_loss(labels, probabilities, labels=every), rel=1e-6)
    assert scores.top1_interval == wilson(round(230 * scores.top1_error), 230)
    assert scores.top5_interval == wilson(round(230 * scores.top5_error), 230)


def test_calibration_error_is_the_definition():
    labels, probabilities = _answers(400, 4)
    confidence, right = probabilities.max(axis=1), probabilities.argmax(axis=1) == labels
    wanted = 0.0
    for low in np.arange(15) / 15:
        inside = (confidence > low) & (confidence <= low + 1 / 15)
        if inside.any():
            wanted += inside.mean() * abs(right[inside].mean() - confidence[inside].mean())
    assert _scores(labels, probabilities).calibration_error == pytest.approx(wanted, abs=1e-6)
    sure = np.eye(4, dtype="float32")[labels]
    assert _scores(labels, sure).calibration_error == 0


def test_the_worst_mistakes_are_those_of_the_highest_loss():
    labels, probabilities = _answers(230, 6)
    losses = -np.log(probabilities[np.arange(230), labels])
    losses[probabilities.argmax(axis=1) == labels] = -1
    worst = _scores(labels, probabilities).worst
    assert [mistake.number for mistake in worst] == np.argsort(-losses)[:20].tolist()
    for mistake in worst:
        assert mistake.label == labels[mistake.number]
        assert mistake.answer == probabilities[mistake.number].argmax()
        assert mistake.image[0, 0, 0] == mistake.number


def test_equal_probabilities_count_for_the_earlier_class():
    """A file of integers gives many zeros: a label among them is not among the five likeliest by chance."""
    probabilities = np.zeros((2, 8), "float32")
    probabilities[:, 0] = 1
    scores = _scores(np.array([3, 7]), probabilities)
    assert scores.top5_error == 0.5
    assert np.isfinite(scores.loss)


def test_a_tally_goes_on_where_another_stopped():
    labels, probabilities = _answers(100, 7)
    pictures = np.arange(100, dtype="uint8").repeat(4).reshape(-1, 2, 2, 1)
    first, second = Tally(7), Tally(7)
    first.add(np.arange(60), labels[:60], probabilities[:60], pictures[:60])
    second.restore(first.arrays())
    second.add(np.arange(60, 100), labels[60:], probabilities[60:], pictures[60:])
    given, wanted = second.scores(), _scores(labels, probabilities)
    np.testing.assert_array_equal(given.confusion, wanted.confusion)
    assert [mistake.number for mistake in given.worst] == [mistake.number for mistake in wanted.worst]
    for name in ("top1_error", "top5_error", "loss", "calibration_error"):
        assert getattr(given, name) == pytest.approx(getattr(wanted, name))


def test_few_classes_have_no_top_5():
    scores = _scores(*_answers(30, 5))
    assert scores.top5_error is None
    assert scores.top5_interval is None


def test_what_is_no_probability_is_refused():
    with pytest.raises(ValueError, match="NaN or infinite"):
        _scores(np.zeros(1, int), np.full((1, 3), np.nan))
