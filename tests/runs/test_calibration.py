"""Probabilities of a run are calibrated in its model, and in all files that are made of it."""

import dataclasses
import logging

import keras
import numpy as np
import pytest
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax

import keras_resnet
from keras_resnet.data.decode_errors import DecodeErrors
from keras_resnet.data.input_spec import InputSpec, InputTransform
from keras_resnet.data.pipeline import Pipeline
from keras_resnet.data.sources import digits
from keras_resnet.export import export_saved_model, export_tflite
from keras_resnet.runs import calibration
from keras_resnet.runs.calibration import calibrate, calibrate_and_measure

IMAGES, LABELS = digits.load("train")


def _dataset(validation=300, test=200, name="validation"):
    """Whose splits are not those that the model was fitted to."""
    first, second = 400, 400 + validation
    made = keras_resnet.data.from_arrays(
        (IMAGES[:first], LABELS[:first]),
        (IMAGES[first:second], LABELS[first:second]),
        test=(IMAGES[second : second + test], LABELS[second : second + test]) if test else None,
        hflip=False,
    )
    return dataclasses.replace(made, validation=dataclasses.replace(made.validation, name=name))


def _pipeline(dataset):
    return Pipeline(dataset, InputTransform(InputSpec(8, 1), hflip=False), DecodeErrors(), 0)


@pytest.fixture
def model():
    """A linear classifier of pixels by least squares, whose logits are far too large."""
    pixels = IMAGES[:400].reshape(400, -1) / 255
    design = np.hstack([pixels, np.ones((400, 1))])
    solution = np.linalg.lstsq(design, 5 * (np.eye(10)[LABELS[:400]] - 0.1), rcond=1e-3)[0]
    image = keras.Input((8, 8, 1), dtype="uint8", name="image")
    flat = keras.layers.Flatten()(keras.layers.Rescaling(1 / 255)(image))
    head = keras.layers.Dense(10, "softmax", name="predictions")
    made = keras.Model(image, head(flat), name="linear")
    head.kernel.assign(5 * solution[:-1])
    head.bias.assign(5 * solution[-1])
    return made


def _logits(model, split):
    head = model.get_layer("predictions")
    pixels = split.read.images.reshape(split.size, -1) / 255
    return pixels @ head.kernel.numpy().astype("float64") + head.bias.numpy()


def test_the_temperature_is_scipys_and_predictions_stay(model):
    dataset = _dataset()
    logits, labels = _logits(model, dataset.validation), dataset.validation.read.labels

    def loss(temperature):
        return -log_softmax(logits / temperature, axis=1)[np.arange(len(labels)), labels].mean()

    best = minimize_scalar(loss, bounds=(0.1, 20), method="bounded", options={"xatol": 1e-9}).x
    found = calibrate(model, _pipeline(dataset))
    assert found == {"temperature": pytest.approx(best, rel=1e-4), "calibration_images": 300}
    after = _logits(model, dataset.validation)
    np.testing.assert_allclose(after, logits / best, rtol=1e-3, atol=1e-4)
    np.testing.assert_array_equal(after.argmax(axis=1), logits.argmax(axis=1))


def test_it_is_measured_on_the_test_images(model):
    dataset = _dataset()
    logits, labels = _logits(model, dataset.test), dataset.test.read.labels
    results, scores = calibrate_and_measure(model, _pipeline(dataset), calibrated=True)
    rows = np.arange(len(labels))
    before = -log_softmax(logits, axis=1)[rows, labels].mean()
    after = -log_softmax(logits / results["temperature"], axis=1)[rows, labels].mean()
    assert results["measured_images"] == 200
    assert results["nll_before"] == pytest.approx(before, rel=1e-3)
    assert results["nll"] == pytest.approx(after, rel=1e-3)
    assert results["nll"] < results["nll_before"]
    assert results["ece"] < results["ece_before"]
    assert scores.top1_error == pytest.approx(np.mean(logits.argmax(axis=1) != labels))


def test_a_second_temperature_is_on_top_of_the_first(model):
    pipeline = _pipeline(_dataset())
    first, _ = calibrate_and_measure(model, pipeline, calibrated=True)
    second, _ = calibrate_and_measure(model, pipeline, calibrated=True, former=first["temperature"])
    assert second["temperature"] == pytest.approx(first["temperature"], rel=1e-4)


@pytest.mark.parametrize(
    ("dataset", "reason"),
    [
        (_dataset(validation=calibration.MIN_IMAGES - 1), "takes 100 validation images, and there are 99"),
        (_dataset(test=0, name="test"), "are those of the test split"),
    ],
    ids=["few", "test"],
)
def test_where_it_would_be_wrong_nothing_is_changed_and_it_is_said(dataset, reason, model, caplog):
    caplog.set_level(logging.INFO)
    before = model.get_weights()
    assert calibrate(model, _pipeline(dataset)) == {}
    assert reason in caplog.text
    assert all(map(np.array_equal, model.get_weights(), before))


def test_images_that_are_all_right_tell_no_temperature(model, caplog):
    caplog.set_level(logging.INFO)
    dataset = _dataset()
    right = model.predict(dataset.validation.read.images, verbose=0).argmax(axis=1)
    reader = dataclasses.replace(dataset.validation.read, labels=right)
    dataset = dataclasses.replace(dataset, validation=dataclasses.replace(dataset.validation, read=reader))
    assert calibrate(model, _pipeline(dataset)) == {}
    assert "300 of 300 validation images are classified correctly" in caplog.text


def test_a_temperature_that_changes_a_prediction_is_not_used(model, caplog, monkeypatch):
    """As rounding may do where two probabilities are nearly equal."""
    before = model.get_weights()

    def harm(model, temperature):
        head = model.get_layer("predictions")
        head.kernel.assign(-head.kernel)

    monkeypatch.setattr(calibration, "divide_logits", harm)
    assert calibrate(model, _pipeline(_dataset())) == {}
    assert "would change the most probable class" in caplog.text
    assert all(map(np.array_equal, model.get_weights(), before))


def test_exported_files_have_the_calibrated_probabilities(model, tmp_path):
    dataset = _dataset()
    images = dataset.test.read.images
    logits = _logits(model, dataset.test)
    temperature = calibrate(model, _pipeline(dataset))["temperature"]
    expected = np.exp(log_softmax(logits / temperature, axis=1))
    uncalibrated = np.exp(log_softmax(logits, axis=1))
    model.save(tmp_path / "model.keras")
    export_saved_model(model, tmp_path / "saved_model")
    export_tflite(model, tmp_path / "model.tflite")
    export_tflite(model, tmp_path / "model_int8.tflite", kind="int8", calibration=IMAGES[:300])
    for name in ("model.keras", "saved_model", "model.tflite", "model_int8.tflite"):
        found = keras_resnet.load_predictor(tmp_path / name).predict(images)
        if "int8" in name:  # whose steps in pixels and logits are seen in single probabilities
            assert np.abs(found - expected).mean() < np.abs(found - uncalibrated).mean() / 3
        else:
            np.testing.assert_allclose(found, expected, atol=1e-3, err_msg=name)


@pytest.mark.slow
def test_all_files_of_a_run_are_calibrated(tmp_path):
    images, labels = digits.load("train")
    dataset = keras_resnet.data.from_arrays(
        (images[:700], labels[:700]), (images[700:], labels[700:]), test=digits.load("test"), hflip=False
    )
    fields = {
        "dataset": dataset,
        "depth": 8,
        "epochs": 6,
        "log": "plain",
        "output_dir": tmp_path,
        "recipe": "digits",
        "stop_after": 5,
        "class_weight": "balanced",
    }
    run = keras_resnet.train(
        run_name="calibrated", export=("saved_model", "float32", "float16", "dynamic", "int8"), **fields
    )
    plain = keras_resnet.train(run_name="plain", calibrate=False, export=(), **fields)
    temperature = run.metrics["temperature"]
    assert "temperature" not in plain.metrics
    assert run.metrics["test_error"] == plain.metrics["test_error"]
    assert run.metrics["nll_before"] == pytest.approx(plain.metrics["nll"], rel=1e-3)
    assert run.metrics["ece_before"] == pytest.approx(plain.metrics["ece"], abs=2e-3)
    images, labels = digits.load("test")
    uncalibrated = np.log(np.maximum(plain.model.predict(images, verbose=0).astype("float64"), 1e-300))
    expected = np.exp(log_softmax(uncalibrated / temperature, axis=1))
    tolerances = {
        "model.keras": 1e-4,
        "saved_model": 1e-4,
        "model.tflite": 1e-4,
        "model_fp16.tflite": 2e-2,
        "model_dynamic.tflite": 1e-1,
        "model_int8.tflite": 2e-1,
    }
    names = {file.file for file in run.report.files} | {"model.keras"}
    assert len(names) == 6
    for name in names:
        found = keras_resnet.load_predictor(run.path / name).predict(images)
        difference = np.abs(found - expected).mean() if "int8" in name or "dynamic" in name else None
        if difference is None:
            np.testing.assert_allclose(found, expected, atol=tolerances.get(name, 2e-2), err_msg=name)
        else:
            assert difference < 0.02, name
    assert run.evaluate(dataset).calibration_error == pytest.approx(run.metrics["ece"], abs=1e-3)
    assert run.evaluate(dataset).scores.macro_f1 == pytest.approx(run.metrics["macro_f1"])
    card = (run.path / "README.md").read_text()
    assert f"logits divided by {temperature:.3f}, of 742 images of `validation`" in card
    assert f"of epoch {run.metrics['epoch']} of {run.metrics['epochs']}" in card
    best = np.argmin(run.history["val_error"])
    assert run.metrics["validation_error"] == run.history["val_error"][best]
