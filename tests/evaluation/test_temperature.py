"""The temperature of probabilities, against SciPy's minimizer, and the error it takes away."""

import numpy as np
import pytest
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax, logsumexp

from keras_resnet.evaluation.metrics import MetricAccumulator
from keras_resnet.evaluation.temperature import at_temperature, fit_temperature


def _draw(images, classes, temperature, seed=0):
    """Logits that are too sure by a temperature, and labels by the probabilities without it."""
    random = np.random.default_rng(seed)
    logits = random.normal(scale=2, size=(images, classes))
    probabilities = np.exp(log_softmax(logits, axis=1))
    labels = (probabilities.cumsum(axis=1) > random.random((images, 1))).argmax(axis=1)
    return logits * temperature, labels


def _loss(temperature, logits, labels):
    logits = logits / temperature
    return float(np.mean(logsumexp(logits, axis=1) - logits[np.arange(len(labels)), labels]))


@pytest.mark.parametrize(
    ("images", "classes", "temperature"), [(100, 2, 3.0), (500, 10, 1.7), (200, 3, 0.4), (1000, 100, 1.0)]
)
def test_it_is_that_of_scipys_minimizer(images, classes, temperature):
    logits, labels = _draw(images, classes, temperature)
    found = fit_temperature(logits, labels)
    expected = minimize_scalar(
        _loss, bounds=(0.05, 20), args=(logits, labels), method="bounded", options={"xatol": 1e-10}
    )
    assert found == pytest.approx(expected.x, rel=1e-6)
    assert found == pytest.approx(temperature, rel=0.4)
    # Of logarithms of probabilities it is the same, also of those in half precision's range.
    logarithms = log_softmax(logits, axis=1).astype("float32")
    assert fit_temperature(logarithms, labels) == pytest.approx(found, rel=1e-5)


def test_predictions_that_are_all_right_tell_none():
    logits, _ = _draw(200, 5, 2.0)
    assert fit_temperature(logits, logits.argmax(axis=1)) is None
    assert fit_temperature(logits, logits.argmin(axis=1)) is None
    assert fit_temperature(np.full((200, 5), np.nan), np.zeros(200, int)) is None
    assert fit_temperature(np.zeros((200, 5)), np.zeros(200, int)) is None


def test_infinite_differences_are_no_obstacle():
    """Of probabilities that float32 cannot hold there are logarithms."""
    logits, labels = _draw(300, 4, 300.0)
    assert fit_temperature(logits, labels) is None  # beyond the largest
    logits, labels = _draw(300, 4, 12.0)
    assert fit_temperature(logits, labels) == pytest.approx(12, rel=0.3)


def test_logits_are_divided():
    logits, _ = _draw(50, 6, 2.0)
    np.testing.assert_allclose(at_temperature(logits, 2.0), log_softmax(logits / 2, axis=1), rtol=1e-12)
    # And multiplied again.
    back = at_temperature(at_temperature(logits, 2.0), 0.5)
    np.testing.assert_allclose(back, log_softmax(logits, axis=1), rtol=1e-12)


def test_the_calibration_error_falls():
    logits, labels = _draw(4000, 5, 3.0)

    def error(temperature):
        logarithms = at_temperature(logits, temperature)
        accumulator = MetricAccumulator(5, worst=0)
        accumulator.add(np.arange(4000), labels, np.exp(logarithms), [np.zeros((1, 1, 1))] * 4000, logarithms)
        return accumulator.scores()

    before, after = error(1.0), error(fit_temperature(logits, labels))
    assert before.calibration_error > 0.15
    assert after.calibration_error < 0.04
    assert after.loss == pytest.approx(_loss(fit_temperature(logits, labels), logits, labels))
    assert after.top1_error == before.top1_error
