"""One loss in the history, in Keras and in an evaluation: that of a closed form in float64."""

import dataclasses

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_resnet.evaluation import evaluate
from keras_resnet.inference.predictor import Predictor
from keras_resnet.training import Recipe, train

RNG = np.random.default_rng(0)
IMAGES = RNG.integers(0, 256, (37, 8, 8, 1), "uint8")
LABELS = RNG.integers(0, 3, 37)
# One step that changes nothing: the history then has the loss of these weights.
RECIPE = Recipe("this test", batch_size=37, epochs=1, learning_rate=1e-30, weight_decay=0.0)


def _model(scale, softmax=True):
    """Logits of this standard deviation, in a softmax or in one that no one can see."""
    keras.utils.set_random_seed(0)
    inputs = keras.Input((8, 8, 1))
    x = keras.layers.Flatten()(keras.layers.Rescaling(1 / 255)(inputs))
    head = keras.layers.Dense(3, "softmax" if softmax else None, dtype="float32")
    outputs = head(x)
    if not softmax:
        outputs = keras.layers.Reshape((3,))(keras.layers.Softmax()(outputs))
    model = keras.Model(inputs, outputs)
    logits = _logits(head)
    head.kernel.assign(head.kernel * (scale / logits.std()))
    return model, _logits(head)


def _logits(head):
    flat = IMAGES.reshape(37, -1).astype("float64") / 255
    return flat @ head.kernel.numpy().astype("float64") + head.bias.numpy().astype("float64")


def _closed_form(logits):
    highest = logits.max(axis=1, keepdims=True)
    normalizer = np.log(np.exp(logits - highest).sum(axis=1)) + highest[:, 0]
    return float((normalizer - logits[np.arange(37), LABELS]).mean())


def _history(model, recipe=RECIPE, batch=16):
    # Batches of 16, 16 and 5: each image counts the same.
    data = tf.data.Dataset.from_tensor_slices((IMAGES.astype("float32"), LABELS))
    return train(model, data.batch(37), data.batch(batch), recipe, callbacks=[]).history


def _evaluated(models):
    data = tf.data.Dataset.from_tensor_slices((IMAGES, LABELS))
    predictors = {name: Predictor.from_model(model) for name, model in models.items()}
    return {name: result.loss for name, result in evaluate(predictors, data).items()}


# Of a deviation of 300, most probabilities are 0 in float32, and losses several hundred.
@pytest.mark.parametrize("scale", [0.01, 3, 300])
def test_history_keras_and_evaluation_have_the_loss_of_the_closed_form(scale):
    model, logits = _model(scale)
    expected = pytest.approx(_closed_form(logits), rel=2e-6)
    smoothed = dataclasses.replace(
        RECIPE, batch_augment=dataclasses.replace(RECIPE.batch_augment, label_smoothing=0.5)
    )
    assert _evaluated({"model": model})["model"] == expected
    assert _history(model)["val_loss"] == [expected]
    if scale == 3:
        # Label smoothing changes what is trained on, and not what is validated.
        history = _history(model, smoothed)
        assert history["val_loss"] == [expected]
        assert history["loss"] != [expected]
    model.compile(loss="sparse_categorical_crossentropy")
    assert model.evaluate(IMAGES.astype("float32"), LABELS, verbose=0) == expected


def test_where_only_probabilities_are_known_the_smallest_is_that_of_float32():
    """In the history and in an evaluation alike."""
    model, logits = _model(300, softmax=False)
    highest = logits.max(axis=1, keepdims=True)
    exact = np.log(np.exp(logits - highest).sum(axis=1)) + highest[:, 0] - logits[np.arange(37), LABELS]
    expected = np.minimum(exact, -np.log(np.finfo("float32").tiny)).mean()
    assert exact.mean() > expected
    assert _history(model)["val_loss"] == [pytest.approx(expected, rel=1e-4)]
    data = tf.data.Dataset.from_tensor_slices((IMAGES, LABELS))
    predictor = Predictor.from_model(model)
    file = dataclasses.replace(predictor, predict_fn=lambda images: predictor.predict_fn(images), model=None)
    for opened in (predictor, file):
        assert evaluate({"file": opened}, data)["file"].loss == pytest.approx(expected, rel=1e-4)


def test_the_loss_of_an_ensemble_is_that_of_the_mean_probability():
    (one, logits), (two, others) = _model(300), _model(200)
    rows = np.arange(37)
    shares = [
        each - np.log(np.exp(each - each.max(1, keepdims=True)).sum(1, keepdims=True)) - each.max(1)[:, None]
        for each in (logits, others)
    ]
    expected = -(np.logaddexp(*shares)[rows, LABELS] + np.log(0.5)).mean()
    assert _evaluated({"one": one, "two": two})["ensemble"] == pytest.approx(expected, rel=2e-6)
