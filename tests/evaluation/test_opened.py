import json
import zipfile

import keras
import numpy as np
import pytest
from nets import NETS, trained

from keras_resnet import export
from keras_resnet.data import digits
from keras_resnet.errors import UserError
from keras_resnet.evaluation.opened import open_model, opened_net


@pytest.fixture(scope="module")
def model():
    return trained(NETS["A"])


def test_keras_file_alone_has_numbers_for_names(model, tmp_path):
    model.save(tmp_path / "net.keras")
    opened = open_model(tmp_path / "net.keras")
    images = digits.load("test")[0][:3]
    np.testing.assert_allclose(opened.probabilities(images), model.predict(images, verbose=0), atol=1e-5)
    assert opened.class_names == tuple(map(str, range(10)))
    assert (opened.size, opened.channels, opened.whole) == (8, 1, True)


def test_keras_file_of_a_run_has_what_lies_beside_it(model, tmp_path):
    model.save(tmp_path / "model.keras")
    (tmp_path / "labels.txt").write_text("".join(f"name {n}\n" for n in range(10)))
    (tmp_path / "run.json").write_text(json.dumps({"about": {"preprocessing": {"whole": False}}}))
    opened = open_model(tmp_path)
    assert opened.path == tmp_path / "model.keras"
    assert opened.class_names[3] == "name 3"
    assert not opened.whole
    (tmp_path / "labels.txt").write_text("one\n")
    with pytest.raises(UserError, match=r"The labels of .*model\.keras name 1 classes and it has 10; they"):
        open_model(tmp_path)


def test_grey_images_go_into_a_file_that_takes_colours(model, tmp_path):
    export.tflite(model, tmp_path / "net.tflite")
    opened = open_model(tmp_path / "net.tflite")
    images = digits.load("test")[0][:3]
    np.testing.assert_array_equal(
        opened.probabilities(images), opened.probabilities(np.repeat(images, 3, axis=-1))
    )


def _flat(shape, classes=10):
    image = keras.Input(shape)
    pooled = keras.layers.GlobalAveragePooling2D()(image)
    return keras.Model(image, keras.layers.Dense(classes, "softmax")(pooled), name="net")


@pytest.mark.parametrize(
    ("net", "names", "says"),
    [
        (_flat((None, None, 3)), [], r"net takes images of any size \(None, None, 3\); a file needs a fixed"),
        (_flat((8, 9, 3)), [], r"net takes images of \(8, 9, 3\); files are for squares of 1 or 3 channels"),
        (_flat((8, 8, 2)), [], r"net takes images of \(8, 8, 2\); files are for squares"),
        (_flat((8, 8, 3)), ["cat", "dog"], "net has 10 classes; got 2 names for them"),
        (_flat((8, 8, 3), 2), ["cat", "do\ng"], r"name must be one line that is not empty; got 'do\\ng'"),
        (_flat((8, 8, 3), 2), ["cat", " "], "name must be one line that is not empty; got ' '"),
        (
            keras.Model(image := keras.Input((8, 8, 3)), keras.layers.Conv2D(2, 1)(image), name="net"),
            [],
            r"net is no net from one image to probabilities: its shapes are \[\(8, 8, 3\), \(8, 8, 2\)\]",
        ),
    ],
)
def test_nets_that_no_file_is_made_of_are_refused(net, names, says):
    with pytest.raises(ValueError, match=says):
        opened_net(net, names)


def test_what_is_no_model_is_refused(tmp_path):
    (tmp_path / "net.tflite").write_bytes(b"no net")
    (tmp_path / "net.keras").write_bytes(b"no net")
    (tmp_path / "labels.txt").write_text("one\n")
    (tmp_path / "saved_model").mkdir()
    (tmp_path / "saved_model" / "saved_model.pb").write_bytes(b"no net")
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "run.json").write_text("{}")
    for name, message in {
        "net.tflite": "is no TFLite file that can be opened",
        "net.keras": "is no Keras model that can be opened",
        "labels.txt": "is none of a .tflite file",
        "saved_model": "was not exported by this package",
        "run": "is a run that has not been finished",
        "none": "there is no such file or folder",
    }.items():
        with pytest.raises(UserError, match=message) as refused:
            open_model(tmp_path / name)
        assert name in str(refused.value)


def test_files_of_others_are_refused(model, tmp_path):
    export.tflite(model, tmp_path / "net.tflite")
    content = (tmp_path / "net.tflite").read_bytes()
    with zipfile.ZipFile(tmp_path / "net.tflite") as archive:
        start = min(info.header_offset for info in archive.infolist())
    (tmp_path / "bare.tflite").write_bytes(content[:start])
    with pytest.raises(UserError, match=r"bare\.tflite was not exported by this package"):
        open_model(tmp_path / "bare.tflite")
    image = keras.Input((None, None, 3))
    keras.Model(image, keras.layers.GlobalAveragePooling2D()(image)).save(tmp_path / "any.keras")
    with pytest.raises(UserError, match="no net from images of one size"):
        open_model(tmp_path / "any.keras")


def test_a_damaged_keras_file_is_refused(model, tmp_path):
    model.save(tmp_path / "net.keras")
    content = bytearray((tmp_path / "net.keras").read_bytes())
    content[len(content) // 2] ^= 1  # a weight, whose checksum is another then
    (tmp_path / "net.keras").write_bytes(content)
    with pytest.raises(UserError, match=r"net\.keras is no Keras model that can be opened \(Bad CRC-32"):
        open_model(tmp_path / "net.keras")


def test_labels_that_are_no_utf8_are_refused(model, tmp_path):
    model.save(tmp_path / "model.keras")
    (tmp_path / "labels.txt").write_bytes(b"caf\xe9\n" * 10)
    with pytest.raises(
        UserError, match=r"labels\.txt cannot be read .*; it must be UTF-8, a class name a line"
    ):
        open_model(tmp_path / "model.keras")


@pytest.mark.parametrize("told", [{"size": 10**9}, {"size": 0}, {"channels": 2}])
def test_a_saved_model_of_impossible_images_is_refused(tmp_path, told):
    extra = tmp_path / "net" / "assets.extra"
    extra.mkdir(parents=True)
    (tmp_path / "net" / "saved_model.pb").touch()
    (extra / "preprocessing.json").write_text(json.dumps({"size": 8, "channels": 1, "whole": True, **told}))
    (extra / "labels.txt").write_text("one\n")
    with pytest.raises(UserError, match="net was not exported by this package") as refused:
        open_model(tmp_path / "net")
    assert "no size of an image" in str(refused.value.__cause__)
