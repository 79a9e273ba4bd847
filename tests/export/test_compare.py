import dataclasses
import json

import keras
import numpy as np
import pytest
from helpers.errors import refused
from helpers.marks import slow
from helpers.nets import ARCHITECTURES, trained_model

from keras_resnet import export
from keras_resnet.data.sources import digits
from keras_resnet.export.compare import RejectedFile, compare, read_report


def _batches():
    images, labels = digits.load("test")
    return [(images[start : start + 100], labels[start : start + 100]) for start in range(0, 355, 100)]


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    folder = tmp_path_factory.mktemp("exports")
    model = trained_model(ARCHITECTURES["A"])
    files = {"saved_model": folder / "saved_model", "tflite-float32": folder / "model.tflite"}
    export.export_saved_model(model, files["saved_model"])
    export.export_tflite(model, files["tflite-float32"])
    return model, files


def _other(model, factor):
    other = keras.models.clone_model(model)
    other.set_weights(model.get_weights())
    head = other.get_layer("predictions")
    head.kernel.assign(head.kernel * factor)
    return other


def test_files_have_the_models_probabilities(exported, tmp_path):
    model, files = exported
    report = compare(model, files, _batches(), 355, "digits")
    images, labels = digits.load("test")
    best = model.predict(images, verbose=0).argmax(-1)
    assert report.images == 355
    assert report.accuracy == pytest.approx(np.mean(best == labels))
    assert report.confusion.sum() == 355
    assert report.confusion.trace() == (best == labels).sum()
    assert [file.file for file in report.files] == ["saved_model", "model.tflite"]
    for file in report.files:
        assert file.accuracy == pytest.approx(report.accuracy)
        assert file.agreement == 1
        assert file.difference < 1e-4
    assert report.files[1].size == files["tflite-float32"].stat().st_size
    assert report.files[1].milliseconds.keys() == {"1", "2"}
    report.write(tmp_path / "report.json")
    written = json.loads((tmp_path / "report.json").read_text())
    assert written["files"][1]["agreement"] == 1
    assert "confusion" not in written
    assert written["rejected"] == []


def test_a_report_is_read_as_it_was_written(exported, tmp_path):
    model, files = exported
    rejected = (RejectedFile("model_int8.tflite", "tflite-int8", 0.5, "it is worse."),)
    report = dataclasses.replace(compare(model, files, _batches(), 355, "digits"), rejected=rejected)
    report.write(tmp_path / "report.json")
    assert read_report(tmp_path / "report.json") == dataclasses.replace(report, confusion=None)
    for damaged in ("{", "[]", '{"files": []}', '{"files": [{}], "rejected": []}'):
        (tmp_path / "report.json").write_text(damaged)
        with refused(None, tmp_path / "report.json"):
            read_report(tmp_path / "report.json")


@pytest.mark.parametrize("factor", [slow(1.2), np.nan])
def test_a_file_of_another_model_is_refused(exported, tmp_path, factor):
    model, _ = exported
    export.export_tflite(_other(model, factor), tmp_path / "model.tflite")
    with refused(None, "model.tflite"):
        compare(model, {"tflite-float32": tmp_path / "model.tflite"}, _batches(), 355, "digits")


def test_worse_files_are_found(exported, tmp_path):
    model, files = exported
    export.export_tflite(_other(model, -1), tmp_path / "model_int8.tflite")
    images = digits.load("test")[0]
    right = model.predict(images, verbose=0).argmax(-1)
    report = compare(
        model, {**files, "tflite-int8": tmp_path / "model_int8.tflite"}, [(images, right)], 355, "digits"
    )
    assert report.accuracy == 1
    drop = 100 * (report.accuracy - report.files[2].accuracy)
    assert drop > 50
    assert [file.file for file in report.below(drop - 0.1)] == ["model_int8.tflite"]
    assert report.below(drop) == []
