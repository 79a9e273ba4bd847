import json
import shutil

import keras
import numpy as np
import pytest
from running import run_command

from keras_resnet.data import digits
from keras_resnet.errors import UserError
from keras_resnet.evaluation.opened import open_model
from keras_resnet.export import run as export_module


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
    from keras_resnet.commands import export

    export.FLAGS.unparse_flags()
    export.FLAGS(["export", *flags])
    export.run(str(run))


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


def test_interrupted_export_leaves_the_files_as_they_were(run, monkeypatch):
    before = {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}

    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(export_module, "compare", full)
    with pytest.raises(OSError, match="No space left"):
        _export(run, "--tflite=float32")
    assert before == {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}


def test_mistakes_are_refused(run, tmp_path):
    (tmp_path / "empty").mkdir()
    for arguments, message in {
        (run,): "nothing to export",
        (run, "--tflite=int4"): "--export=int4 is none of saved_model, float32, float16, dynamic, int8, web",
        (run, "--tflite=web"): "--tflite=web is no TFLite file; write --web",
        (run, "--web", f"--litertjs={tmp_path}"): "needs the npm package @litertjs/core",
        (tmp_path / "empty", "--saved_model"): "is not the folder of a finished run",
        (run, "--saved_model", "--undecodable=skip"): "should be one of <error|nan>",
        (): "RUN is missing",
    }.items():
        result = run_command("export", *arguments)
        assert result.returncode == 2
        assert message in result.stderr
        assert "Traceback" not in result.stderr
