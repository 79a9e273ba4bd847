"""The loss of a student, against NumPy and scipy, and trainings with a teacher."""

import dataclasses

import keras
import numpy as np
import pytest
import scipy.special
from helpers.errors import refused

import keras_resnet
from keras_resnet.data.sources import digits
from keras_resnet.training import Distillation, ImageArrays, Recipe, train
from keras_resnet.training.distillation import class_scores

RANDOM = np.random.default_rng(0)
STUDENT, TEACHER = (RANDOM.normal(0, 3, (6, 4)).astype("float32") for _ in range(2))


def _model(classes=4, activation="softmax", units=None, side=4):
    image = keras.Input((side, side, 1))
    x = keras.layers.Flatten()(image)
    return keras.Model(image, keras.layers.Dense(units or classes, activation=activation)(x))


@pytest.mark.parametrize("temperature", [0.5, 1.0, 4.0])
@pytest.mark.parametrize("share", [0.25, 1.0])
def test_loss_is_the_closed_form(temperature, share):
    labels = RANDOM.random(6).astype("float32")
    teacher = scipy.special.softmax(TEACHER.astype("float64") / temperature, axis=1)
    student = scipy.special.softmax(STUDENT.astype("float64") / temperature, axis=1)
    divergence = scipy.special.rel_entr(teacher, student).sum(axis=1)
    expected = (1 - share) * labels + share * temperature**2 * divergence
    found = Distillation(_model(), temperature, share).losses(
        *map(keras.ops.convert_to_tensor, (labels, STUDENT, TEACHER))
    )
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)


def test_a_student_that_agrees_has_no_loss_at_any_temperature():
    shifted = STUDENT + 7  # logits are known but for a constant
    found = Distillation(_model(), 3.0, 1.0).losses(
        *map(keras.ops.convert_to_tensor, (np.ones(6, "float32"), STUDENT, shifted))
    )
    np.testing.assert_allclose(found, 0, atol=1e-5)


@pytest.mark.parametrize(
    ("activation", "units"), [("softmax", 4), (None, 4), ("sigmoid", 1)], ids=["softmax", "logits", "sigmoid"]
)
def test_scores_of_every_head_have_its_probabilities(activation, units):
    model = _model(activation=activation, units=units)
    images = RANDOM.normal(0, 3, (5, 4, 4, 1)).astype("float32")
    outputs = model(images)
    expected = np.asarray(outputs)
    if activation is None:
        expected = scipy.special.softmax(expected, axis=1)
    if units == 1:
        expected = np.concatenate([1 - expected, expected], axis=1)
    scores = np.asarray(Distillation(model).scores(outputs))
    np.testing.assert_allclose(scipy.special.softmax(scores, axis=1), expected, rtol=1e-4, atol=1e-6)


def test_scores_of_probabilities_without_logits_are_their_logarithms():
    probabilities = scipy.special.softmax(TEACHER, axis=1)
    scores = class_scores(keras.ops.convert_to_tensor(probabilities), None, "probabilities")
    np.testing.assert_allclose(scipy.special.softmax(np.asarray(scores), axis=1), probabilities, rtol=1e-5)


@pytest.mark.parametrize(
    ("parameter", "fields"),
    [("temperature", {"temperature": 0.0}), ("share", {"share": 0.0}), ("share", {"share": 1.1})],
)
def test_fields_that_cannot_be_used_are_refused(parameter, fields):
    with refused(parameter):
        Distillation(_model(), **fields)


@pytest.mark.parametrize("teacher", [_model(classes=5), _model(side=5)], ids=["classes", "images"])
def test_a_teacher_of_something_else_is_refused(teacher):
    images, labels = np.zeros((8, 4, 4, 1), "float32"), np.zeros(8, "int64")
    with refused("distillation"):
        train(
            _model(),
            (images, labels),
            (images, labels),
            Recipe("this test", 4, epochs=1),
            distillation=Distillation(teacher),
        )


def test_a_student_learns_from_its_teacher_alone():
    """Labels are useless: the same for all images."""
    keras.utils.set_random_seed(0)
    images, labels = digits.load("train")
    test = digits.load("test")
    recipe = Recipe("this test", 64, epochs=3, learning_rate=0.05)
    teacher = keras_resnet.CifarResNet(8, input_shape=(8, 8, 1), classes=10, weights=None)
    taught = train(teacher, ImageArrays(images, labels), test, recipe, callbacks=[])
    before = [weight.copy() for weight in teacher.get_weights()]
    student = keras_resnet.CifarResNet(8, input_shape=(8, 8, 1), classes=10, weights=None)
    distillation = Distillation(teacher, temperature=2.0, share=1.0)
    recipe = dataclasses.replace(recipe, epochs=4)
    state = train(
        student,
        ImageArrays(images, np.zeros_like(labels)),
        test,
        recipe,
        callbacks=[],
        distillation=distillation,
    )
    assert taught.validation["val_error"] < 0.3
    assert state.validation["val_error"] < 0.4
    assert all(map(np.array_equal, before, teacher.get_weights()))
