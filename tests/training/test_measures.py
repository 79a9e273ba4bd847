"""How often the loss of an image counts, and what is counted of each class."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from helpers.errors import refused

from keras_resnet.models.head import PROBABILITIES, SIGMOID
from keras_resnet.training import Recipe, train
from keras_resnet.training.measures import class_counts, image_weights, training_losses
from keras_resnet.training.optimizer import CoupledSGD

RNG = np.random.default_rng(0)
X = RNG.normal(size=(64, 4)).astype("float32")
Y = RNG.integers(0, 3, 64)
WEIGHTS = (0.5, 2.0, 3.0)


def test_an_image_counts_as_often_as_its_class():
    np.testing.assert_allclose(image_weights(tf.constant([0, 2, 1, 1]), WEIGHTS), [0.5, 3, 2, 2])


def test_a_mixed_label_counts_by_its_shares():
    labels = tf.constant([[1, 0, 0], [0.25, 0.75, 0], [0.1, 0.1, 0.8]])
    np.testing.assert_allclose(
        image_weights(labels, WEIGHTS), [0.5, 0.125 + 1.5, 0.05 + 0.2 + 2.4], rtol=1e-6
    )


def test_the_loss_of_a_step_is_keras_weighted_loss():
    """Their sum over the number of images, not over the sum of the weights."""
    probabilities = tf.nn.softmax(RNG.normal(size=(64, 3)).astype("float32"))
    losses = training_losses(tf.constant(Y), probabilities, None, PROBABILITIES) * image_weights(Y, WEIGHTS)
    expected = keras.losses.SparseCategoricalCrossentropy()(
        Y, probabilities, sample_weight=np.take(WEIGHTS, Y)
    )
    assert float(tf.reduce_mean(losses)) == pytest.approx(float(expected), rel=1e-6)
    one = probabilities[:, :1]
    losses = training_losses(tf.constant(Y % 2), one, None, SIGMOID) * image_weights(Y % 2, (0.5, 2.0))
    expected = keras.losses.BinaryCrossentropy()(
        (Y % 2)[:, None], one, sample_weight=np.take([0.5, 2.0], Y % 2)
    )
    assert float(tf.reduce_mean(losses)) == pytest.approx(float(expected), rel=1e-6)


@pytest.mark.parametrize("parts", [1, 2])
def test_a_training_with_class_weights_is_that_of_fit(parts):
    def dense():
        keras.utils.set_random_seed(0)
        return keras.Sequential([keras.Input((4,)), keras.layers.Dense(3, "softmax")])

    ours, theirs = dense(), dense()
    recipe = Recipe("this test", batch_size=16, epochs=3, learning_rate=0.5, patience=100)
    batches = tf.data.Dataset.from_tensor_slices((X, Y)).batch(16)
    state = train(
        ours,
        batches,
        (X, Y),
        recipe,
        callbacks=[],
        class_weight=WEIGHTS,
        gradient_accumulation_steps=parts,
    )
    theirs.compile(CoupledSGD(0.5, 0.9, 1e-4), "sparse_categorical_crossentropy")
    history = theirs.fit(
        batches, epochs=3, verbose=0, class_weight=dict(enumerate(WEIGHTS)), validation_data=(X, Y)
    ).history
    for mine, other in zip(ours.get_weights(), theirs.get_weights(), strict=True):
        np.testing.assert_allclose(mine, other, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(state.history["loss"], history["loss"], rtol=1e-4)
    np.testing.assert_allclose(state.history["val_loss"], history["val_loss"], rtol=1e-4)


def test_as_many_weights_as_classes():
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3, "softmax")])
    recipe = Recipe("this test", batch_size=16, epochs=1)
    with refused("class_weight", (1.0, 2.0)):
        train(model, (X, Y), (X, Y), recipe, class_weight=(1.0, 2.0))


@pytest.mark.parametrize("soft", [False, True])
def test_images_that_only_fill_up_a_batch_count_for_no_class(soft):
    probabilities = tf.constant([[0.7, 0.2, 0.1], [0.1, 0.2, 0.7], [0.2, 0.7, 0.1], [0.7, 0.2, 0.1]])
    labels = tf.constant([0, 1, 1, 2])
    labels = tf.one_hot(labels, 3) * 0.8 + 0.05 if soft else labels
    counts = (
        class_counts(labels, probabilities, tf.constant([1.0, 1, 1, 0]), PROBABILITIES).numpy().reshape(3, 3)
    )
    np.testing.assert_array_equal(counts, [[1, 2, 0], [1, 1, 1], [1, 1, 0]])
