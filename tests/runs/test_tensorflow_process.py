"""What another engine has trained is finished by a process with TensorFlow."""

import json
import os
import pathlib
import subprocess
import sys
import textwrap

import numpy as np
import pytest
from helpers.errors import refused
from helpers.running import SHORT, run_train

import keras_resnet
from keras_resnet.data.load import load_dataset
from keras_resnet.data.sources import digits
from keras_resnet.runs import tensorflow_process
from keras_resnet.runs.config import TrainConfig

FILES = {"model.keras", "saved_model", "model.tflite", "README.md", "history.csv", "curves.png", "run.json"}


@pytest.fixture
def arrays():
    images, labels = digits.load("train")
    return keras_resnet.data.from_arrays(
        (images[:100], labels[:100]), test=digits.load("test"), class_names=[f"digit {i}" for i in range(10)]
    )


def test_arrays_reach_the_other_process(arrays, tmp_path):
    np.savez(tmp_path / "arrays.npz", **tensorflow_process._to_arrays(arrays))
    settings = {
        "name": arrays.name,
        "class_names": list(arrays.class_names),
        "fingerprint": arrays.fingerprint,
        **{f"{name}_split": name for name in ("train", "validation", "test")},
    }
    found = tensorflow_process._from_arrays(tmp_path / "arrays.npz", settings)
    assert (found.name, found.class_names, found.image_shape) == (
        arrays.name,
        arrays.class_names,
        arrays.image_shape,
    )
    for name in ("train", "validation", "test"):
        for (_, image, label), (_, expected, wanted) in zip(
            getattr(found, name).read(None), getattr(arrays, name).read(None), strict=True
        ):
            np.testing.assert_array_equal(image, expected)
            assert label == wanted


def test_other_objects_cannot_be_passed(arrays):
    tensorflow_process.check_dataset_can_be_passed(TrainConfig(dataset=arrays))
    tensorflow_process.check_dataset_can_be_passed(TrainConfig(dataset="digits"))
    with refused("dataset"):
        tensorflow_process.check_dataset_can_be_passed(TrainConfig(dataset=load_dataset("digits")))


def test_a_process_that_fails_is_told_from_a_refusal(caplog):
    refusal = {"reason": "must be else.", "parameter": "export", "value": "x"}
    script = f"import json, sys; print('noise'); print(json.dumps({{'error': {refusal}}})); sys.exit(2)"
    status, problem = tensorflow_process._run(["-c", script], os.environ)
    assert (status, problem.parameter, problem.value, problem.reason) == (2, "export", "x", "must be else.")
    status, problem = tensorflow_process._run(["-c", "raise SystemExit('broken')"], os.environ)
    assert (status, problem) == (1, None)
    assert "broken" in caplog.text


@pytest.mark.slow
def test_a_run_with_jax_is_a_run(tmp_path, monkeypatch):
    """All its files are there and agree, and TensorFlow calls it finished."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    flags = (*SHORT, f"--output_dir={tmp_path}", "--run_name=run")
    trained = run_train("--backend=jax", *flags)
    assert trained.returncode == 0, trained.stderr
    assert "JAX" in trained.stdout
    run = keras_resnet.Run.open(tmp_path / "run")
    assert {path.name for path in run.path.iterdir()} >= FILES
    assert not list(run.path.glob(".finishing-*"))
    assert run.metrics["accuracy"] > 0.8
    assert all(file.agreement > 0.99 for file in run.report.files)
    again = run_train(*flags)
    assert again.returncode == 0
    assert "finished with" in again.stdout


@pytest.mark.slow
def test_arrays_are_trained_by_jax_from_python(tmp_path):
    script = f"""
        import keras_resnet
        from keras_resnet.data.sources import digits
        data = keras_resnet.data.from_arrays(digits.load("train"), test=digits.load("test"), hflip=False)
        folder = {str(tmp_path)!r}
        run = keras_resnet.train(dataset=data, depth=8, epochs=4, output_dir=folder, run_name="run")
        print("ACCURACY", run.metrics["accuracy"], run.report.accuracy)
    """
    process = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script)],
        env={**os.environ, "KERAS_BACKEND": "jax", "XDG_CACHE_HOME": str(tmp_path / "cache")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert process.returncode == 0, process.stderr[-3000:]
    (line,) = [line for line in process.stdout.splitlines() if line.startswith("ACCURACY")]
    assert float(line.split()[1]) > 0.5
    results = json.loads(pathlib.Path(tmp_path, "run", "run.json").read_text())["results"]
    assert results["accuracy"] == float(line.split()[1])
