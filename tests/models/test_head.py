"""The outputs of a classifier are recognized, whatever it ends in, and become probabilities everywhere."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from helpers.errors import refused
from helpers.marks import slow
from keras import layers

from keras_resnet.evaluation import evaluate, grad_cam
from keras_resnet.evaluation.evaluator import top1_error
from keras_resnet.evaluation.multi_view import dense_predict_fn
from keras_resnet.export import export_saved_model, export_tflite
from keras_resnet.export.compare import compare
from keras_resnet.inference import Predictor, load_predictor
from keras_resnet.models.head import count_classes, divide_logits, find_head, probability_model
from keras_resnet.training import Recipe, train
from keras_resnet.training.engines import default_engine

CLASSES = 3
IMAGES = np.random.default_rng(0).integers(0, 256, (8, 6, 6, 3), dtype="uint8")
LABELS = np.array([0, 1, 1, 0, 1, 0, 0, 1])


@keras.saving.register_keras_serializable("test_head")
class _Squares(layers.Layer):
    """One of those that Keras does not have: probabilities, but not by exponentials."""

    def call(self, x):
        return keras.ops.square(x) / keras.ops.sum(keras.ops.square(x), axis=-1, keepdims=True)


def _dense(units=CLASSES, activation=None, **options):
    return lambda x: layers.Dense(units, activation, **options)(x)


def _then(head, *following):
    def apply(x):
        x = head(x)
        for layer in following:
            x = layer(x)
        return x

    return apply


def _nested(*heads):
    return lambda x: keras.Sequential([keras.Input(x.shape[1:]), *heads])(x)


def _mean(activation):
    return lambda x: layers.Average()([layers.Dense(CLASSES, activation)(x) for _ in range(2)])


def _cast(x):
    """Casts float16 back, as the guide to mixed precision has it."""
    return layers.Activation("linear", dtype="float32")(x)


HEADS = {
    "softmax": ("probabilities", _dense(activation="softmax")),
    "softmax layer": ("probabilities", _then(_dense(), layers.Softmax())),
    "softmax over axis 1": ("probabilities", _then(_dense(), layers.Softmax(axis=1))),
    "softmax activation": ("probabilities", _then(_dense(), layers.Activation("softmax"))),
    "softmax operation": ("probabilities", _then(_dense(), keras.ops.softmax)),
    "softmax in float16": ("probabilities", _dense(activation="softmax", dtype="float16")),
    "softmax cast back": ("probabilities", _then(_dense(activation="softmax", dtype="float16"), _cast)),
    "softmax in a nested model": ("probabilities", _nested(layers.Dense(CLASSES), layers.Softmax())),
    "mean of softmaxes": ("probabilities", _mean("softmax")),
    "layer of a user": ("probabilities", _then(_dense(), _Squares())),
    "logits": ("logits", _dense()),
    "logits behind dropout": ("logits", _then(_dense(), layers.Dropout(0.5))),
    "logits of a temperature": ("logits", _then(_dense(), lambda x: x / 2.0)),
    "logits of BN": ("logits", _then(_dense(), layers.BatchNormalization())),
    "logits in a nested model": ("logits", _nested(layers.Dense(CLASSES))),
    "mean of logits": ("logits", _mean(None)),
    "log_softmax": ("logits", _dense(activation="log_softmax")),
    "log_softmax operation": ("logits", _then(_dense(), keras.ops.log_softmax)),
    "sigmoid": ("sigmoid", _dense(1, "sigmoid")),
    "sigmoid activation": ("sigmoid", _then(_dense(1), layers.Activation("sigmoid"))),
    "sigmoid operation": ("sigmoid", _then(_dense(1), keras.ops.sigmoid)),
}


def _model(head):
    keras.utils.set_random_seed(1)
    image = keras.Input((6, 6, 3), name="photo")
    scaled = layers.Rescaling(1 / 64)(image)
    x = layers.Conv2D(4, 3, activation="relu", name="conv")(scaled)
    return keras.Model(image, head(layers.GlobalAveragePooling2D()(x)), name="net")


def _probabilities(model, kind):
    """By their definitions."""
    outputs = np.asarray(model(IMAGES.astype("float32"), training=False)).astype("float64")
    if kind == "logits":
        return np.exp(outputs) / np.exp(outputs).sum(axis=1, keepdims=True)
    return np.concatenate([1 - outputs, outputs], axis=1) if kind == "sigmoid" else outputs


@pytest.mark.parametrize("name", HEADS)
def test_every_head_is_recognized_and_gives_probabilities(name):
    kind, head = HEADS[name]
    model = _model(head)
    assert find_head(model) == kind
    assert count_classes(model) == (2 if kind == "sigmoid" else CLASSES)
    wrapped = probability_model(model)
    assert (wrapped is model) == (kind == "probabilities")
    answer = np.asarray(wrapped(IMAGES.astype("float32"), training=False))
    np.testing.assert_allclose(answer, _probabilities(model, kind), rtol=0, atol=1e-6)
    assert find_head(wrapped) == "probabilities"


def test_a_sigmoid_for_each_of_several_labels_returns_probabilities_of_these():
    model = _model(_dense(activation="sigmoid"))
    assert find_head(model) == "multi_label"
    assert count_classes(model) == CLASSES
    assert probability_model(model) is model
    # Their labels are vectors: one class an image is refused.
    data = tf.data.Dataset.from_tensor_slices((IMAGES, LABELS)).batch(8)
    with refused("train_data"):
        train(model, data, data, Recipe(reference="", epochs=1, batch_size=8), callbacks=[])


REFUSED = {
    "relu": _dense(activation="relu"),
    "tanh": _then(_dense(), layers.Activation("tanh")),
    "one output": _dense(1),
    "one probability": _dense(1, "softmax"),
    "sum of softmaxes": lambda x: layers.Add()([layers.Dense(CLASSES, "softmax")(x) for _ in range(2)]),
    "a map": lambda x: layers.Reshape((2, 2))(x),
}


@pytest.mark.parametrize("name", REFUSED)
def test_other_heads_are_refused_wherever_a_classifier_is_given(name, tmp_path):
    model = _model(REFUSED[name])
    with refused("model", "net"):
        find_head(model)
    with refused("model", "net"):
        Predictor.from_model(model)
    with refused("model", "net"):
        export_tflite(model, tmp_path / "net.tflite")
    data = tf.data.Dataset.from_tensor_slices((IMAGES, LABELS)).batch(8)
    with refused("model", "net"):
        train(model, data, data, Recipe("this test", 8, epochs=1), callbacks=[])
    assert not any(tmp_path.iterdir())


def test_names_of_a_user_are_no_obstacle():
    model = _model(_dense(name="class_probabilities"))
    assert find_head(probability_model(model)) == "probabilities"


@pytest.mark.parametrize("name", ["logits", "sigmoid"])
def test_files_evaluations_and_explanations_are_of_probabilities(name, tmp_path):
    kind, head = HEADS[name]
    model = _model(head)
    expected = _probabilities(model, kind)
    predictor = Predictor.from_model(model)
    assert predictor.class_names == tuple(map(str, range(expected.shape[1])))
    model.save(tmp_path / "net.keras")
    export_tflite(model, tmp_path / "net.tflite")
    for one in (predictor, *map(load_predictor, tmp_path.iterdir())):
        np.testing.assert_allclose(one.predict(IMAGES), expected, rtol=0, atol=1e-6)
        assert one.class_names == predictor.class_names
    report = compare(model, {"tflite-float32": tmp_path / "net.tflite"}, [(IMAGES, LABELS)], 8, "noise")
    assert report.files[0].agreement == 1
    assert report.accuracy == np.mean(expected.argmax(axis=1) == LABELS)
    np.testing.assert_allclose(dense_predict_fn(model, hflip=False)(IMAGES), expected, rtol=0, atol=1e-6)
    images = tf.data.Dataset.from_tensor_slices((IMAGES, LABELS))
    cross_entropy = -np.log(expected[np.arange(8), LABELS]).mean()
    evaluation = evaluate({"net": predictor}, images)["net"]
    np.testing.assert_allclose(evaluation.loss, cross_entropy, rtol=1e-5)
    assert evaluation.error == top1_error(model, [(IMAGES, LABELS)]) == 1 - report.accuracy


@pytest.mark.parametrize("name", ["logits", slow("sigmoid")])
def test_a_saved_model_serves_probabilities(name, tmp_path):
    kind, head = HEADS[name]
    model = _model(head)
    export_saved_model(model, tmp_path / "net")
    answer = load_predictor(tmp_path / "net").predict(IMAGES)
    np.testing.assert_allclose(answer, _probabilities(model, kind), rtol=0, atol=1e-6)


def test_a_sigmoid_is_explained_for_either_class():
    """The score of the first class is the logit's negative: what speaks for one speaks against the other."""
    model = _model(_dense(1, "sigmoid"))
    weights = model.layers[-1].kernel.numpy()[:, 0]
    features = keras.Model(model.inputs, model.get_layer("conv").output).predict(IMAGES, verbose=0)
    cam = (features * weights).sum(axis=-1) / features[0, :, :, 0].size
    for index, sign in enumerate((-1, 1)):
        heat = grad_cam(model, IMAGES, [index] * 8)
        np.testing.assert_allclose(heat, np.maximum(sign * cam, 0), rtol=0, atol=1e-6)
    likeliest = (_probabilities(model, "sigmoid")[:, 1] > 0.5).astype(int)
    np.testing.assert_array_equal(grad_cam(model, IMAGES), grad_cam(model, IMAGES, likeliest))
    with refused("classes"):
        grad_cam(model, IMAGES[:1], [2])


# One step on the same weights: all of them are the same function of two classes.
TRAINED = {
    "softmax": _dense(2, "softmax", name="head"),
    "logits": _dense(2, name="head"),
    "log_softmax": _dense(2, "log_softmax", name="head"),
    "operation": _then(_dense(2, name="head"), keras.ops.softmax),
    "cast": _then(_dense(2, "softmax", name="head"), layers.Identity(), _cast),
    "sigmoid": _dense(1, "sigmoid", name="head"),
}


@pytest.mark.parametrize("soft", [False, True], ids=["integers", "probabilities"])
@pytest.mark.parametrize("name", TRAINED)
def test_a_step_has_the_cross_entropy_of_every_head(name, soft):
    keras.utils.set_random_seed(0)
    image = keras.Input((6, 6, 3))
    pooled = layers.GlobalAveragePooling2D()(image / 64.0)
    model = keras.Model(image, TRAINED[name](pooled))
    weights = np.array([[20, -20], [3, 1], [-14, 10]], "float32")  # probabilities from 1e-9 to 1
    kernel = weights[:, 1:] - weights[:, :1] if name == "sigmoid" else weights
    model.get_layer("head").kernel.assign(kernel)
    targets = np.eye(2)[LABELS] * (0.8 if soft else 1) + (0.1 if soft else 0)
    labels = tf.constant(targets, "float32") if soft else tf.constant(LABELS)
    means = IMAGES.astype("float64").mean(axis=(1, 2)) / 64
    logits = means @ weights
    log_p = logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))
    loss = -(targets * log_p).sum(axis=1)
    gradient = means.T @ (np.exp(log_p) - targets) / 8
    recipe = Recipe("this test", 8, epochs=1, learning_rate=0.1, weight_decay=0.0)
    seen = []

    def confidence(labels, probabilities):
        seen.append(probabilities.shape)
        return tf.reduce_max(probabilities, axis=1)

    steps = default_engine().make_steps(model, recipe, metrics={"confidence": confidence})
    wrong = (log_p.argmax(axis=1) != LABELS).sum()
    expected = [loss.sum(), wrong, np.exp(log_p.max(axis=1)).sum(), 8]
    images = tf.constant(IMAGES)
    measured = steps.test_step(images, labels, tf.ones(8))
    np.testing.assert_allclose(measured[:4], expected, rtol=1e-4)
    predicted = log_p.argmax(axis=1)
    hits = LABELS[predicted == LABELS]
    counts = [np.bincount(numbers, minlength=2) for numbers in (LABELS, predicted, hits)]
    np.testing.assert_array_equal(measured[4:], np.concatenate(counts))
    np.testing.assert_allclose(steps.train_step(images, labels)[:-1], expected, rtol=1e-4)
    assert all(shape[1] == 2 for shape in seen)
    change = (kernel - model.get_layer("head").kernel.numpy()) / 0.1
    expected = gradient[:, 1:] if name == "sigmoid" else gradient
    np.testing.assert_allclose(change, expected, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("name", TRAINED)
def test_divided_logits_are_those_of_a_temperature(name):
    image = keras.Input((6, 6, 3))
    model = keras.Model(image, TRAINED[name](layers.GlobalAveragePooling2D()(image / 64.0)))
    model.get_layer("head").bias.assign(np.arange(model.get_layer("head").units) - 0.5)
    probabilities = probability_model(model)
    before = np.log(probabilities(IMAGES, training=False).numpy().astype("float64"))
    divide_logits(model, 2.5)
    powers = np.exp(before / 2.5)
    after = probabilities(IMAGES, training=False).numpy()
    np.testing.assert_allclose(after, powers / powers.sum(axis=1, keepdims=True), rtol=1e-5)


def test_only_logits_of_a_dense_layer_are_divided():
    image = keras.Input((6, 6, 3))
    squared = _Squares(name="squares")(layers.Dense(CLASSES)(layers.Flatten()(image)))
    with refused("model") as caught:
        divide_logits(keras.Model(image, squared), 2.0)
    assert "squares" in caught.value.reason
