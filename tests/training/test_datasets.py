"""What `train` takes as data: what `fit` takes, to the same weights, or a sentence."""

import dataclasses

import keras
import numpy as np
import pytest
import tensorflow as tf
from helpers.errors import refused

from keras_resnet.data.batch_augment import BatchAugment
from keras_resnet.training import Recipe, train
from keras_resnet.training.datasets import as_batches

RNG = np.random.default_rng(0)
X = RNG.integers(0, 256, (32, 4)).astype("uint8")
Y = RNG.integers(0, 3, 32)
ONE_HOT = np.eye(3, dtype="float32")[Y]
RECIPE = Recipe("this test", batch_size=8, epochs=2, learning_rate=1e-4)


def _dense():
    keras.utils.set_random_seed(0)
    return keras.Sequential([keras.Input((4,)), keras.layers.Dense(3, "softmax")])


def _batches(x, y, size=8):
    return tf.data.Dataset.from_tensor_slices((x, y)).batch(size)


@pytest.fixture(scope="module")
def expected():
    """Weights and history of the plainest form: float32 images, labels (N,)."""
    model, data = _dense(), _batches(X.astype("float32"), Y)
    return train(model, data, data, RECIPE, callbacks=[]).history, model.get_weights()


@pytest.mark.parametrize(
    ("images", "labels"),
    [
        (X, Y),
        (X.astype("float64"), Y.astype("uint8")),
        (X, Y[:, np.newaxis]),
        (X, ONE_HOT),
        (X, ONE_HOT.astype("int32")),
    ],
    ids=["uint8", "float64", "column", "one-hot", "integer-one-hot"],
)
def test_batches_of_every_form_train_alike(expected, images, labels):
    model = _dense()
    history = train(model, _batches(images, labels), _batches(images, labels), RECIPE, callbacks=[]).history
    for name, values in expected[0].items():
        np.testing.assert_allclose(history[name], values, rtol=1e-4, err_msg=name)
    for ours, theirs in zip(model.get_weights(), expected[1], strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-6)


ARRAYS = {
    "numpy": (X, Y),
    "list-of-two": [X, Y],
    "lists": (X.tolist(), Y.tolist()),
    "column": (X, Y[:, np.newaxis]),
    "one-hot": (X, ONE_HOT),
    "float-labels": (X, Y.astype("float32")),
    "tensors": (tf.constant(X), tf.constant(Y)),
}


@pytest.mark.parametrize("name", ARRAYS)
def test_arrays_are_shuffled_anew_in_every_epoch_and_the_same_from_any_step(name):
    data = as_batches(ARRAYS[name], _dense(), "train_data", 8)
    batches = [
        (images.numpy().astype("uint8"), (labels if labels.ndim == 1 else tf.argmax(labels, 1)).numpy())
        for images, labels in data.batches(0, 0, 1).take(8)
    ]
    assert data.steps_per_epoch == 4
    pairs = [
        [(tuple(x), y) for images, labels in epoch for x, y in zip(images, labels, strict=True)]
        for epoch in (batches[:4], batches[4:])
    ]
    expected = sorted((tuple(x), y) for x, y in zip(X, Y, strict=True))
    assert sorted(pairs[0]) == sorted(pairs[1]) == expected
    assert pairs[0] != pairs[1]
    (resumed, _), *_ = data.batches(6, 0, 1).take(1)
    np.testing.assert_array_equal(resumed, batches[6][0])
    (share, _), *_ = data.batches(6, 1, 2).take(1)
    np.testing.assert_array_equal(share, batches[6][0][1::2])


def test_arrays_train():
    state = train(_dense(), (X, Y), (X[:5], Y[:5]), RECIPE, callbacks=[])
    assert len(state.history["val_loss"]) == 2
    smoothed = dataclasses.replace(RECIPE, batch_augment=BatchAugment(label_smoothing=0.1))
    train(_dense(), (X, Y[:, np.newaxis]), (X, Y), smoothed, callbacks=[])


def _generator():
    yield X[:8], Y[:8]


REFUSED = {
    "sample-weights": _batches(X, Y).map(lambda x, y: (x, y, tf.ones(8))),
    "array-sample-weights": (X, Y, np.ones(32)),
    "images-alone": tf.data.Dataset.from_tensor_slices(X).batch(8),
    "dictionary": _batches(X, Y).map(lambda x, y: {"image": x, "label": y}),
    "dictionary-inside": _batches(X, Y).map(lambda x, y: ({"image": x}, y)),
    "not-batched": tf.data.Dataset.from_tensor_slices((X, Y)),
    "another-shape": _batches(X[:, :3], Y),
    "array-of-another-shape": (X[:, :3], Y),
    "strings": _batches(X.astype(str), Y),
    "string-labels": _batches(X, Y.astype(str)),
    "float-labels": _batches(X, Y.astype("float32")),
    "fractions": (X, Y + 0.5),
    "too-wide": _batches(X, np.eye(4, dtype="float32")[Y]),
    "array-too-wide": (X, np.eye(4)[Y]),
    "out-of-range": (X, Y + 1),
    "negative": (X, Y - 1),
    "fewer-labels": (X, Y[1:]),
    "no-images": (X[:0], Y[:0]),
    "ragged": ([[1, 2, 3, 4], [1, 2]], [0, 1]),
    "objects": (np.array([None] * 32), Y),
    "array-alone": X,
    "number": 3,
    "none": None,
    "name": "digits",
    "generator": _generator(),
    "function": _generator,
}


@pytest.mark.parametrize("parameter", ["train_data", "validation_data"])
@pytest.mark.parametrize("name", REFUSED)
def test_other_data_are_refused(name, parameter):
    with refused(parameter):
        as_batches(REFUSED[name], _dense(), parameter, 8)


def test_fewer_images_than_a_batch_are_refused():
    with refused("batch_size", 64):
        as_batches((X, Y), _dense(), "train_data", 64)
