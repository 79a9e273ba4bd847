"""The files of a finished run: compared, put in place or rejected."""

import json
import shutil
import subprocess
import sys

import keras
import numpy as np
import PIL.Image
import pytest
from helpers import records
from helpers.errors import refused
from helpers.running import run_command

import keras_resnet
from keras_resnet import export
from keras_resnet.data.input_spec import InputSpec
from keras_resnet.data.sources import digits
from keras_resnet.export.config import remove_exports
from keras_resnet.models.architectures import cifar_architecture
from keras_resnet.models.classifier import build_classifier
from keras_resnet.runs import export_run as module
from keras_resnet.runs.config import TrainConfig
from keras_resnet.runs.record import RunFolder


@pytest.fixture
def run(short_run, tmp_path):
    """A copy of the finished run."""
    shutil.copytree(short_run[1], tmp_path / "run", ignore=shutil.ignore_patterns("checkpoints"))
    return keras_resnet.Run.open(tmp_path / "run")


def test_every_kind_keeps_the_predictions(run):
    before = {name: (run.path / name).stat().st_mtime_ns for name in ("model.keras", "model.tflite")}
    report = run.export("tflite-float16", "dynamic", "int8")
    files = {file.file: file for file in report.files}
    # Those that were there already are compared again, not written again.
    assert list(files) == [
        "saved_model",
        "model.tflite",
        "model_float16.tflite",
        "model_dynamic.tflite",
        "model_int8.tflite",
    ]
    assert before == {name: (run.path / name).stat().st_mtime_ns for name in before}
    assert report.images == 355
    assert json.loads((run.path / "report.json").read_text())["images"] == 355
    images, labels = digits.load("test")
    for name in ("model.tflite", "model_float16.tflite"):
        assert files[name].agreement >= 0.999
    assert files["model_int8.tflite"].accuracy >= report.accuracy - 0.005
    # A quarter, and what a file of a small model holds besides its weights.
    assert files["model_int8.tflite"].size <= 0.3 * files["model.tflite"].size
    for name, file in files.items():
        predictions = keras_resnet.load_predictor(run.path / name).predict(images).argmax(axis=1)
        assert file.accuracy == pytest.approx(np.mean(predictions == labels))
        assert f"`{name}`" in (run.path / "README.md").read_text()


def _blind(original):
    """An exporter whose int8 file takes every digit for the least likely one."""

    def export_tflite(model, path, *, kind, **options):
        if kind == "int8":
            other = keras.models.clone_model(model)
            other.set_weights(model.get_weights())
            classifier = other.get_layer("predictions")
            classifier.kernel.assign(-classifier.kernel)
            model = other
        original(model, path, kind=kind, **options)

    return export_tflite


def test_a_worse_file_is_rejected_and_nothing_else_is_touched(run, monkeypatch):
    monkeypatch.setattr(module, "export_tflite", _blind(module.export_tflite))
    (run.path / "model_int8.tflite").write_bytes(b"an older one")
    before = {name: (run.path / name).stat().st_mtime_ns for name in ("model.keras", "model.tflite")}
    report = run.export("float16", "int8", max_accuracy_drop=0.5)
    (rejected,) = report.rejected
    assert rejected.file == "model_int8.tflite"
    assert rejected.accuracy < 0.5
    assert "accuracy" in rejected.reason
    assert not (run.path / "model_int8.tflite").exists()
    assert (run.path / "model_float16.tflite").exists()
    assert before == {name: (run.path / name).stat().st_mtime_ns for name in before}
    written = json.loads((run.path / "report.json").read_text())
    assert "model_int8.tflite" not in {file["file"] for file in written["files"]}
    assert [file["file"] for file in written["rejected"]] == ["model_int8.tflite"]
    assert keras_resnet.Run.open(run.path).report.rejected == report.rejected


@pytest.mark.slow
def test_the_command_ends_with_an_error_for_a_rejected_file(run, monkeypatch, capsys):
    from keras_resnet.cli.main import main

    monkeypatch.setattr(module, "export_tflite", _blind(module.export_tflite))
    assert main(["export", str(run.path), "--tflite=int8", "--max_accuracy_drop=0.5"]) == 2
    assert "--max_accuracy_drop: model_int8.tflite was rejected: " in capsys.readouterr().err


@pytest.mark.slow
def test_a_web_page_goes_with_its_rejected_model(run, monkeypatch):
    monkeypatch.setattr(module, "web_page", lambda model, folder, *_, **__: folder.mkdir())
    monkeypatch.setattr(
        module.Report,
        "below",
        lambda report, _: [file for file in report.files if file.file == "model.tflite"],
    )
    monkeypatch.setattr("keras_resnet.export.config.litertjs_folder", lambda folder: folder)
    (run.path / "web").mkdir()
    report = run.export("float32", "web", litertjs="npm", max_accuracy_drop=0)
    assert [file.file for file in report.rejected] == ["model.tflite"]
    assert not (run.path / "web").exists()
    assert not (run.path / "model.tflite").exists()


@pytest.mark.slow
def test_calibration_takes_arrays_and_datasets(run):
    images, labels = digits.load("train")
    dataset = keras_resnet.data.from_arrays((images[:60], labels[:60]), hflip=False)
    for calibration in (images[:50], dataset):
        report = run.export("int8", calibration=calibration)
        accuracy = {file.file: file.accuracy for file in report.files}["model_int8.tflite"]
        assert accuracy >= report.accuracy - 0.02
    nan, large = images.astype("float32") * np.nan, np.zeros((2, 9, 9, 1), "uint8")
    for wrong in (images[:0], images[0, ..., 0], nan, large):
        with refused("calibration"):
            run.export("int8", calibration=wrong)


@pytest.fixture
def folder_run(tmp_path):
    """A finished run on a folder of images, of a model that was not trained."""
    random = np.random.default_rng(0)
    for name in ("cats", "dogs"):
        (tmp_path / "pictures" / name).mkdir(parents=True)
        for number in range(6):
            pixels = random.integers(0, 256, (8, 8, 3), "uint8")
            PIL.Image.fromarray(pixels).save(tmp_path / "pictures" / name / f"{number}.png")
    architecture = cifar_architecture(8)
    settings = records.make_settings(
        architecture=architecture,
        spec=InputSpec(8, 3),
        name=str(tmp_path / "pictures"),
        validation_split="10% of each class",
        train_images=10,
        validation_images=2,
        class_names=["cats", "dogs"],
    )
    config = TrainConfig(dataset=str(tmp_path / "pictures"), depth=8).as_dict()
    metadata = records.make_metadata(command="keras-resnet train | tee log")
    folder = RunFolder(tmp_path, "run", config, settings, metadata)
    folder.finish(records.RESULTS)
    build_classifier(architecture, (8, 8, 3), 2, np.full((8, 8, 3), 128, "float32")).save(
        folder / "model.keras"
    )
    return keras_resnet.Run.open(folder.path)


@pytest.mark.slow
def test_images_are_prepared_as_in_training_whatever_the_folder_holds_now(folder_run):
    pictures = folder_run.path.parent / "pictures"
    PIL.Image.fromarray(np.zeros((9, 8, 3), "uint8")).save(pictures / "cats" / "another.png")
    folder_run.export("float32", "saved_model")
    for name in ("model.tflite", "saved_model"):
        assert keras_resnet.load_predictor(folder_run.path / name).spec.crop_mode == "squash"
    assert r"`keras-resnet train \| tee log`" in (folder_run.path / "README.md").read_text()


def test_other_classes_are_refused_by_the_first_that_differs(folder_run):
    pictures = folder_run.path.parent / "pictures"
    (pictures / "dogs").rename(pictures / "wolves")
    with refused("dataset") as caught:
        folder_run.export("float32")
    assert "class 1 is wolves here and dogs there" in caught.value.reason


def test_images_of_other_channels_are_refused(run, folder_run):
    with refused("dataset", "digits"):
        folder_run.export("float32", dataset="digits")
    path = folder_run.path / "run.json"
    record = json.loads(path.read_text())
    record["settings"]["dataset"]["class_names"] = list("0123456789")
    path.write_text(json.dumps(record))
    with refused("dataset", "digits") as caught:
        keras_resnet.Run.open(folder_run.path).export("float32", dataset="digits")
    assert "1 channels" in caught.value.reason


@pytest.mark.slow
def test_a_damaged_image_for_the_calibration_ends_in_a_sentence(folder_run):
    for path in (folder_run.path.parent / "pictures" / "cats").iterdir():
        path.write_bytes(b"no picture")
    result = run_command("export", folder_run.path, "--tflite=int8", timeout=120)
    assert result.returncode == 2
    assert "cannot be decoded" in result.stderr
    assert "Traceback" not in result.stderr
    assert not list(folder_run.path.glob(".exporting-*"))


@pytest.mark.slow
def test_a_file_of_other_weights_is_not_taken_for_the_runs(folder_run):
    model = keras_resnet.load_model(folder_run.path / "model.keras")
    classifier = model.get_layer("predictions")
    classifier.kernel.assign(-classifier.kernel)
    export.export_tflite(model, folder_run.path / "model.tflite")
    with pytest.raises(keras_resnet.UserError) as caught:
        folder_run.export("dynamic")
    assert "model.tflite" in str(caught.value)
    assert not (folder_run.path / "model_dynamic.tflite").exists()


@pytest.mark.slow
def test_a_record_of_another_version_is_refused(folder_run):
    path = folder_run.path / "run.json"
    record = json.loads(path.read_text())
    del record["settings"]["recipe"]["ema_decay"]
    path.write_text(json.dumps(record))
    with refused(None, str(path)) as caught:
        keras_resnet.Run.open(folder_run.path).export("float32")
    assert "lacks ema_decay" in caught.value.reason


def test_a_new_training_removes_the_exports(run):
    remove_exports(run.path)
    assert {path.name for path in run.path.iterdir()} == {"curves.png", "history.csv", "run.json"}


def test_unknown_kinds_are_refused(run):
    with refused("kinds", "int4"):
        run.export("int4")


@pytest.mark.slow
def test_sigterm_leaves_no_half_written_file(folder_run):
    arguments = ["export", folder_run.path, "--tflite=float32,float16,int8"]
    started = [sys.executable, "-m", "keras_resnet", *arguments]
    with subprocess.Popen(started, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "Writing model.tflite.\n"
        assert list(folder_run.path.glob(".exporting-*"))
        process.terminate()
        process.communicate(timeout=120)
    assert process.returncode == 143
    assert {path.name for path in folder_run.path.iterdir()} == {"model.keras", "run.json"}


@pytest.mark.slow
def test_an_interrupted_export_leaves_the_files_as_they_were(run, monkeypatch):
    before = {path: path.read_bytes() for path in run.path.rglob("*") if path.is_file()}

    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(module, "compare", full)
    with pytest.raises(OSError, match="No space left"):
        run.export("float32")
    assert before == {path: path.read_bytes() for path in run.path.rglob("*") if path.is_file()}
