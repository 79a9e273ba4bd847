"""Damaged models, and damaged files that describe them, are opened or refused in one sentence."""

import zipfile

import numpy as np
import pytest
from helpers.damage import answer_or_none, budget, damaged
from helpers.nets import ARCHITECTURES, trained_model
from hypothesis import given
from hypothesis import strategies as st

from keras_resnet import export
from keras_resnet.data.input_spec import InputSpec
from keras_resnet.inference import load_predictor
from keras_resnet.inference.sidecars import format_preprocessing

LABELS = "".join(f"name {number}\n" for number in range(10)).encode()
# What a TFLite file takes is RGB.
RGB = format_preprocessing(InputSpec(8, 3)).encode()
GRAY = format_preprocessing(InputSpec(8, 1, resize_size=10)).encode()
IMAGE = np.zeros((1, 8, 8, 1), "uint8")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("net")
    model = trained_model(ARCHITECTURES["A"])
    model.save(folder / "model.keras")
    export.export_tflite(model, folder / "model.tflite")
    export.export_saved_model(model, folder / "saved_model")
    return folder


def _archive_start(tflite):
    with zipfile.ZipFile(tflite) as archive:
        return min(member.header_offset for member in archive.infolist())


def _open(path):
    predictor = load_predictor(path)
    assert predictor.predict(IMAGE).shape == (1, len(predictor.class_names))
    return predictor


@budget(150)
@given(st.data())
def test_a_tflite_file_with_a_damaged_archive(folder, data):
    content = (folder / "model.tflite").read_bytes()
    start = _archive_start(folder / "model.tflite")
    path = folder / "damaged.tflite"
    path.write_bytes(content[:start] + data.draw(damaged(content[start:])))
    answer_or_none(_open, path)


@budget(150)
@given(damaged(LABELS), damaged(RGB))
def test_a_tflite_file_with_other_names_and_preprocessing(folder, labels, preprocessing):
    content = (folder / "model.tflite").read_bytes()
    path = folder / "damaged.tflite"
    path.write_bytes(content[: _archive_start(folder / "model.tflite")])
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("labels.txt", labels)
        archive.writestr("preprocessing.json", preprocessing)
    answer_or_none(_open, path)


@budget(5, share=1 / 100)
@given(st.data())
def test_a_damaged_keras_file(folder, data):
    path = folder / "damaged.keras"
    path.write_bytes(data.draw(damaged((folder / "model.keras").read_bytes())))
    answer_or_none(_open, path)


@budget(5, share=1 / 100)
@given(damaged(LABELS), damaged(GRAY))
def test_damaged_files_beside_a_keras_file(folder, labels, preprocessing):
    (folder / "labels.txt").write_bytes(labels)
    (folder / "preprocessing.json").write_bytes(preprocessing)
    answer_or_none(_open, folder / "model.keras")


@budget(20, share=1 / 50)
@given(damaged(LABELS), damaged(GRAY))
def test_damaged_files_in_a_saved_model(folder, labels, preprocessing):
    extra = folder / "saved_model" / "assets.extra"
    (extra / "labels.txt").write_bytes(labels)
    (extra / "preprocessing.json").write_bytes(preprocessing)
    answer_or_none(_open, folder / "saved_model")
