"""Training with several labels an image, whatever computes it."""

import keras
import numpy as np
import pytest
from helpers.digit_pairs import digit_pairs
from helpers.errors import refused
from sklearn import metrics

from keras_resnet.models.head import MULTI_LABEL
from keras_resnet.training import train
from keras_resnet.training.distillation import Distillation
from keras_resnet.training.measures import class_counts, label_error, reported_losses, training_losses
from keras_resnet.training.recipes import Recipe

IMAGES, LABELS = digit_pairs(64)
RECIPE = Recipe(reference="", epochs=1, batch_size=16, learning_rate=0.5, momentum=0.0, weight_decay=0.0)


def _model(activation="sigmoid", units=4):
    keras.utils.set_random_seed(0)
    image = keras.Input((16, 16, 1), dtype="uint8")
    x = keras.layers.Flatten()(keras.layers.Rescaling(1 / 255)(image))
    return keras.Model(image, keras.layers.Dense(units, activation=activation)(x))


def _numbers(model, images=IMAGES):
    return keras.ops.convert_to_numpy(model(images))


def test_losses_and_errors_are_those_of_each_label():
    random = np.random.default_rng(0)
    logits = random.normal(size=(20, 4)).astype("float32")
    probabilities, labels = 1 / (1 + np.exp(-logits)), (random.random((20, 4)) < 0.4).astype("float32")
    expected = [
        4 * metrics.log_loss(*pair, labels=[0, 1]) for pair in zip(labels, probabilities, strict=True)
    ]
    for known in (logits, None):
        for function in (training_losses, reported_losses):
            losses = function(labels, probabilities, known, MULTI_LABEL)
            assert keras.ops.convert_to_numpy(losses) == pytest.approx(np.array(expected), rel=1e-4)
    errors = keras.ops.convert_to_numpy(label_error(labels, probabilities))
    assert errors.mean() == pytest.approx(metrics.hamming_loss(labels, probabilities > 0.5))
    weights = np.float32([1] * 15 + [0] * 5)
    counts = class_counts(labels, probabilities, weights, MULTI_LABEL)
    own, predicted = labels[:15], probabilities[:15] > 0.5
    expected = [own.sum(axis=0), predicted.sum(axis=0), (own * predicted).sum(axis=0)]
    assert keras.ops.convert_to_numpy(counts).tolist() == np.concatenate(expected).tolist()


def test_the_loss_of_a_probability_that_was_rounded_is_exact_where_logits_are_known():
    logits = np.float32([[-200.0, 200.0]])
    labels, outputs = np.float32([[1, 0]]), np.float32([[0, 1]])
    losses = reported_losses(labels, outputs, logits, MULTI_LABEL)
    assert keras.ops.convert_to_numpy(losses).tolist() == [400.0]


def test_steps_are_those_of_gradient_descent_on_the_summed_binary_cross_entropies():
    model = _model()
    kernel, bias = (weight.astype("float64") for weight in model.get_weights())
    images = IMAGES[:16].reshape(16, -1) / 255
    residuals = (1 / (1 + np.exp(-(images @ kernel + bias))) - LABELS[:16]) / 16
    train(model, (IMAGES[:16], LABELS[:16]), (IMAGES, LABELS), RECIPE, callbacks=[])
    assert model.get_weights()[0] == pytest.approx(kernel - 0.5 * images.T @ residuals, abs=1e-5)
    assert model.get_weights()[1] == pytest.approx(bias - 0.5 * residuals.sum(axis=0), abs=1e-5)


def test_history_has_the_share_of_wrong_labels():
    model = _model()
    state = train(
        model,
        (IMAGES, LABELS.astype("int64")),
        (IMAGES[:50], LABELS[:50]),
        RECIPE,
        callbacks=[],
        metrics={"positives": lambda labels, probabilities: keras.ops.sum(labels, axis=-1)},
    )
    probabilities = _numbers(model)[:50]
    history = {name: values[-1] for name, values in state.history.items()}
    assert history["val_error"] == pytest.approx(metrics.hamming_loss(LABELS[:50], probabilities > 0.5))
    losses = LABELS.shape[1] * metrics.log_loss(LABELS[:50].ravel(), probabilities.ravel())
    assert history["val_loss"] == pytest.approx(losses, rel=1e-4)
    expected = metrics.f1_score(LABELS[:50], probabilities > 0.5, average="macro", zero_division=np.nan)
    assert history["val_macro_f1"] == pytest.approx(expected)
    assert history["val_positives"] == pytest.approx(LABELS[:50].sum(axis=1).mean())
    assert "val_balanced_accuracy" not in history


@pytest.mark.parametrize(
    ("options", "parameter"),
    [
        ({"recipe": {"warmup_error": 0.8}}, "warmup_error"),
        ({"class_weight": [1.0, 2.0, 1.0, 1.0]}, "class_weight"),
        ({"labels": LABELS.argmax(axis=1)}, "train_data"),
        ({"labels": LABELS[:, :3]}, "train_data"),
        ({"recipe": {"batch_augment": {"mixup": 0.2}}}, "batch_augment"),
    ],
)
def test_what_several_labels_do_not_have_is_refused(options, parameter):
    import dataclasses

    from keras_resnet.data.batch_augment import BatchAugment

    changes = dict(options.pop("recipe", {}))
    if "batch_augment" in changes:
        changes["batch_augment"] = BatchAugment(**changes["batch_augment"])
    labels = options.pop("labels", LABELS)
    with refused(parameter):
        train(
            _model(),
            (IMAGES, labels),
            (IMAGES, LABELS),
            dataclasses.replace(RECIPE, **changes),
            callbacks=[],
            **options,
        )


def test_no_teacher_teaches_several_labels():
    for teacher, student in (("sigmoid", "softmax"), ("softmax", "sigmoid")):
        with refused("distillation"):
            Distillation(_model(teacher)).check_student(_model(student))
