"""Damaged nets, and damaged files that tell of them, are opened or refused in one sentence."""

import json
import zipfile

import numpy as np
import pytest
from damage import answer_or_none, budget, damaged
from hypothesis import given
from hypothesis import strategies as st
from nets import NETS, trained

from keras_resnet import export
from keras_resnet.evaluation.opened import open_model

LABELS = "".join(f"name {number}\n" for number in range(10)).encode()
PREPROCESSING = b'{"channels": 1, "size": 8, "whole": true}\n'
RECORD = json.dumps({"about": {"preprocessing": {"whole": True}}}).encode()
IMAGE = np.zeros((1, 8, 8, 1), "uint8")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("net")
    model = trained(NETS["A"])
    model.save(folder / "model.keras")
    export.tflite(model, folder / "model.tflite")
    export.saved_model(model, folder / "saved_model")
    return folder


def _archive_in(tflite):
    with zipfile.ZipFile(tflite) as archive:
        return min(member.header_offset for member in archive.infolist())


def _opened(path):
    model = open_model(path)
    assert model.probabilities(IMAGE).shape == (1, len(model.class_names))
    return model


@budget(150)
@given(st.data())
def test_a_tflite_file_with_a_damaged_archive(folder, data):
    content = (folder / "model.tflite").read_bytes()
    start = _archive_in(folder / "model.tflite")
    path = folder / "damaged.tflite"
    path.write_bytes(content[:start] + data.draw(damaged(content[start:])))
    answer_or_none(_opened, path)


@budget(150)
@given(damaged(LABELS), damaged(PREPROCESSING))
def test_a_tflite_file_with_other_names_and_preprocessing(folder, labels, preprocessing):
    content = (folder / "model.tflite").read_bytes()
    path = folder / "damaged.tflite"
    path.write_bytes(content[: _archive_in(folder / "model.tflite")])
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("labels.txt", labels)
        archive.writestr("preprocessing.json", preprocessing)
    answer_or_none(_opened, path)


@budget(5, share=1 / 100)
@given(st.data())
def test_a_damaged_keras_file(folder, data):
    path = folder / "damaged.keras"
    path.write_bytes(data.draw(damaged((folder / "model.keras").read_bytes())))
    answer_or_none(_opened, path)


@budget(5, share=1 / 100)
@given(damaged(LABELS), damaged(RECORD))
def test_damaged_files_beside_a_keras_file(folder, labels, record):
    (folder / "labels.txt").write_bytes(labels)
    (folder / "run.json").write_bytes(record)
    answer_or_none(_opened, folder / "model.keras")


@budget(20, share=1 / 50)
@given(damaged(LABELS), damaged(PREPROCESSING))
def test_damaged_files_in_a_saved_model(folder, labels, preprocessing):
    extra = folder / "saved_model" / "assets.extra"
    (extra / "labels.txt").write_bytes(labels)
    (extra / "preprocessing.json").write_bytes(preprocessing)
    answer_or_none(_opened, folder / "saved_model")
