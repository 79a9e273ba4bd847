import json

import keras
import numpy as np
import pytest
from nets import NETS, trained

from keras_resnet import export
from keras_resnet.data import digits
from keras_resnet.errors import UserError
from keras_resnet.export.report import compare


def _batches():
    images, labels = digits.load("test")
    return [(images[start : start + 100], labels[start : start + 100]) for start in range(0, 355, 100)]


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    folder = tmp_path_factory.mktemp("exports")
    model = trained(NETS["A"])
    files = {"saved_model": folder / "saved_model", "float32": folder / "model.tflite"}
    export.saved_model(model, files["saved_model"])
    export.tflite(model, files["float32"])
    return model, files


def _other(model, factor):
    other = keras.models.clone_model(model)
    other.set_weights(model.get_weights())
    classifier = other.get_layer("predictions")
    classifier.kernel.assign(classifier.kernel * factor)
    return other


def test_files_give_the_models_probabilities(exported, tmp_path):
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
    assert report.files[1].size == files["float32"].stat().st_size
    assert report.files[1].milliseconds.keys() == {"1", "2"}
    report.write(tmp_path / "report.json")
    written = json.loads((tmp_path / "report.json").read_text())
    assert written["files"][1]["agreement"] == 1
    assert "confusion" not in written


@pytest.mark.parametrize("factor", [1.2, np.nan])
def test_file_of_another_net_does_not_pass(exported, tmp_path, factor):
    model, _ = exported
    export.tflite(_other(model, factor), tmp_path / "model.tflite")
    with pytest.raises(UserError, match=r"model\.tflite differs from the model"):
        compare(model, {"float32": tmp_path / "model.tflite"}, _batches(), 355, "digits")


def test_worse_files_are_found(exported, tmp_path):
    model, files = exported
    export.tflite(_other(model, -1), tmp_path / "model_int8.tflite")
    images = digits.load("test")[0]
    right = model.predict(images, verbose=0).argmax(-1)
    report = compare(
        model, {**files, "int8": tmp_path / "model_int8.tflite"}, [(images, right)], 355, "digits"
    )
    assert report.accuracy == 1
    drop = 100 * (report.accuracy - report.files[2].accuracy)
    assert drop > 50
    assert [file.file for file in report.worse(drop - 0.1)] == ["model_int8.tflite"]
    assert report.worse(drop) == []
