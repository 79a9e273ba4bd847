import dataclasses
import json
import shutil
import subprocess
import sys

import keras
import numpy as np
import PIL.Image
import pytest
from running import run_command

import keras_resnet
from keras_resnet import export
from keras_resnet.commands import export as command
from keras_resnet.data import digits
from keras_resnet.errors import UserError
from keras_resnet.evaluation.opened import open_model
from keras_resnet.export import run as export_module
from keras_resnet.export.exports import remove_exports
from keras_resnet.models import architectures
from keras_resnet.training.classifier import build_classifier
from keras_resnet.training.recipes import RECIPES
from keras_resnet.training.run_folder import RunFolder


@pytest.fixture
def run(default_run, tmp_path):
    """A copy of the finished run."""
    shutil.copytree(default_run[1], tmp_path / "run", ignore=shutil.ignore_patterns("checkpoints"))
    return tmp_path / "run"


def test_every_kind_keeps_the_answers(run):
    before = {name: (run / name).stat().st_mtime_ns for name in ("model.keras", "model.tflite")}
    result = run_command("export", run, "--tflite=float16,dynamic,int8")
    assert result.returncode == 0, result.stderr
    report = json.loads((run / "report.json").read_text())
    files = {file["file"]: file for file in report["files"]}
    # Those that were there already are compared again, not written again.
    assert list(files) == [
        "saved_model",
        "model.tflite",
        "model_float16.tflite",
        "model_dynamic.tflite",
        "model_int8.tflite",
    ]
    assert before == {name: (run / name).stat().st_mtime_ns for name in before}
    assert report["images"] == 355
    images, labels = digits.load("test")
    for name in ("model.tflite", "model_float16.tflite"):
        assert files[name]["agreement"] >= 0.999
    assert files["model_int8.tflite"]["accuracy"] >= report["accuracy"] - 0.005
    assert files["model_int8.tflite"]["size"] <= 0.27 * files["model.tflite"]["size"]
    for name, file in files.items():
        best = open_model(run / name).probabilities(images).argmax(axis=1)
        assert file["accuracy"] == pytest.approx(np.mean(best == labels))
        assert f"`{name}`" in (run / "README.md").read_text()
        assert name in result.stdout


def _export(run, *flags):
    command.FLAGS.unparse_flags()
    command.FLAGS(["export", *flags])
    command.run(str(run))


def test_worse_file_is_an_error_and_is_removed(run, monkeypatch):
    original = export_module.tflite

    def blind(model, path, *, kind, **options):
        """A file of a net whose int8 twin takes every digit for the least likely one."""
        if kind == "int8":
            other = keras.models.clone_model(model)
            other.set_weights(model.get_weights())
            classifier = other.get_layer("predictions")
            classifier.kernel.assign(-classifier.kernel)
            model = other
        original(model, path, kind=kind, **options)

    monkeypatch.setattr(export_module, "tflite", blind)
    (run / "model_int8.tflite").write_bytes(b"an older one")
    with pytest.raises(
        UserError, match=r"--max_accuracy_drop=0.5: model_int8\.tflite has .* accuracy on 355"
    ):
        _export(run, "--tflite=float16,int8", "--max_accuracy_drop=0.5")
    assert not (run / "model_int8.tflite").exists()
    assert (run / "model_float16.tflite").exists()
    report = json.loads((run / "report.json").read_text())
    assert "model_int8.tflite" not in {file["file"] for file in report["files"]}
    assert "model_int8.tflite" not in (run / "README.md").read_text()


def test_a_web_page_goes_with_its_worse_net(run, monkeypatch):
    monkeypatch.setattr(export_module, "web_page", lambda net, folder, *_, **__: folder.mkdir())
    monkeypatch.setattr(
        export_module.Report,
        "worse",
        lambda report, _: [file for file in report.files if file.file == "model.tflite"],
    )
    monkeypatch.setattr("keras_resnet.export.exports.litertjs_folder", lambda folder: folder)
    (run / "web").mkdir()
    with pytest.raises(UserError, match=r"model\.tflite has .* what is worse was left out"):
        _export(run, "--tflite=float32", "--web", "--litertjs=npm", "--max_accuracy_drop=0")
    assert not (run / "web").exists()
    assert not (run / "model.tflite").exists()


@pytest.fixture
def folder_run(tmp_path):
    """A finished run on a folder of pictures, of a net that was not trained."""
    random = np.random.default_rng(0)
    for name in ("cats", "dogs"):
        (tmp_path / "pictures" / name).mkdir(parents=True)
        for number in range(6):
            pixels = random.integers(0, 256, (8, 8, 3), "uint8")
            PIL.Image.fromarray(pixels).save(tmp_path / "pictures" / name / f"{number}.png")
    net = architectures.cifar(8)
    settings = {
        **dataclasses.asdict(net),
        **dataclasses.asdict(RECIPES["digits"]),
        "batch_size": 2,
        "dataset": str(tmp_path / "pictures"),
        "train_split": "train",
        "validation_split": "10% of each class",
        "train_images": 10,
        "validation_images": 2,
        "classes": ["cats", "dogs"],
        "shift": 1,
        "mirror": True,
        "mixed_precision": "none",
        "seed": 0,
    }
    about = {
        "command": "python train.py | tee log",
        "versions": {"Python": "3"},
        "data": {"dataset": str(tmp_path / "pictures")},
        "preprocessing": {"channels": 3, "size": 8, "whole": True},
        "mean": "per-pixel",
    }
    run = RunFolder(tmp_path, "run", settings, about)
    run.finish({"accuracy": 0.5, "test_error": 0.5, "seconds": 1.0})
    model = build_classifier(net, 8, 3, 2, np.full((8, 8, 3), 128, "float32"))
    model.save(run / "model.keras")
    return run.path


def test_images_are_seen_as_they_were_in_training_whatever_the_folder_holds_now(folder_run):
    picture = PIL.Image.fromarray(np.zeros((9, 8, 3), "uint8"))
    picture.save(folder_run.parent / "pictures" / "cats" / "another.png")
    _export(folder_run, "--tflite=float32", "--saved_model")
    for name in ("model.tflite", "saved_model"):
        assert open_model(folder_run / name).whole
    assert r"`python train.py \| tee log`" in (folder_run / "README.md").read_text()


def test_other_classes_are_refused_by_the_first_that_differs(folder_run):
    (folder_run.parent / "pictures" / "dogs").rename(folder_run.parent / "pictures" / "wolves")
    with pytest.raises(UserError, match="number 1 is wolves, and was dogs"):
        _export(folder_run, "--tflite=float32")


def test_damaged_picture_for_the_calibration_ends_in_a_sentence(folder_run):
    for path in (folder_run.parent / "pictures" / "cats").iterdir():
        path.write_bytes(b"no picture")
    result = run_command("export", folder_run, "--tflite=int8", timeout=120)
    assert result.returncode == 2
    assert "cannot be decoded" in result.stderr
    assert "Traceback" not in result.stderr
    assert not list(folder_run.glob(".exporting-*"))


def test_file_of_other_weights_is_not_taken_for_the_runs(folder_run):
    model = keras_resnet.load_model(folder_run / "model.keras")
    classifier = model.get_layer("predictions")
    classifier.kernel.assign(-classifier.kernel)
    export.tflite(model, folder_run / "model.tflite")
    with pytest.raises(UserError, match=r"model\.tflite differs .* remove it or export it again"):
        _export(folder_run, "--tflite=dynamic")
    assert not (folder_run / "model_dynamic.tflite").exists()


def test_record_of_another_version_is_refused(folder_run):
    record = json.loads((folder_run / "run.json").read_text())
    del record["settings"]["ema"]
    (folder_run / "run.json").write_text(json.dumps(record))
    with pytest.raises(UserError, match=r"run\.json lacks ema: the run is of another version"):
        _export(folder_run, "--tflite=float32")


def test_training_anew_removes_the_exports(run):
    remove_exports(run)
    assert {path.name for path in run.iterdir()} == {"curves.png", "history.csv", "run.json"}


def test_sigterm_leaves_no_half_written_file(folder_run):
    arguments = ["export", folder_run, "--tflite=float32,float16,int8"]
    started = [sys.executable, "-m", "keras_resnet", *arguments]
    with subprocess.Popen(started, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "Writing model.tflite.\n"
        assert list(folder_run.glob(".exporting-*"))
        process.terminate()
        process.communicate(timeout=120)
    assert process.returncode == 143
    assert {path.name for path in folder_run.iterdir()} == {"model.keras", "run.json"}


def test_interrupted_export_leaves_the_files_as_they_were(run, monkeypatch):
    before = {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}

    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(export_module, "compare", full)
    with pytest.raises(OSError, match="No space left"):
        _export(run, "--tflite=float32")
    assert before == {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}
