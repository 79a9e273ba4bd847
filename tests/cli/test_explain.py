import json

import keras
import numpy as np
import PIL.Image
import pytest
from helpers.marks import slow
from helpers.nets import ARCHITECTURES, trained_model

from keras_resnet import export
from keras_resnet.cli.main import main
from keras_resnet.data.input_spec import InputSpec
from keras_resnet.data.sources import digits
from keras_resnet.evaluation import grad_cam

IMAGES = digits.load("test")[0]


@pytest.fixture(scope="module")
def net():
    return trained_model(ARCHITECTURES["A"])


@pytest.fixture
def run(net, tmp_path):
    """The folder of a run, as far as this command looks into it."""
    folder = tmp_path / "run"
    folder.mkdir()
    net.save(folder / "model.keras")
    export.export_tflite(net, folder / "model.tflite")
    (folder / "labels.txt").write_text("".join(f"name {number}\n" for number in range(10)))
    (folder / "run.json").write_text(json.dumps({"settings": {"input": InputSpec(8, 1).as_dict()}}))
    return folder


@pytest.fixture
def picture(tmp_path):
    PIL.Image.fromarray(IMAGES[0, :, :, 0]).save(tmp_path / "digit.png")
    return tmp_path / "digit.png"


@pytest.fixture
def explain(tmp_path, monkeypatch, capsys):
    """The command in this process, in an empty folder: (status, output, errors)."""
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")

    def call(*arguments):
        status = main(["explain", *map(str, arguments)])
        return status, *capsys.readouterr()

    return call


@pytest.mark.parametrize("file", [".", slow("model.keras")])
def test_the_likeliest_class_is_drawn_beside_the_picture(explain, run, picture, net, tmp_path, file):
    status, out, errors = explain(run / file, picture)
    assert status == 0, errors
    given = net.predict(IMAGES[:1], verbose=0)[0]
    likeliest = given.argmax()
    (line,) = out.splitlines()
    assert line == (
        f"name {likeliest}, {100 * given[likeliest]:.2f}%, layer conv4_block1_out: explained-digit.png"
    )
    assert [path.name for path in (tmp_path / "here").iterdir()] == ["explained-digit.png"]
    with PIL.Image.open(tmp_path / "here" / "explained-digit.png") as drawing:
        pixels = np.asarray(drawing)
    enlarged = PIL.Image.fromarray(IMAGES[0, :, :, 0]).resize((448, 448), PIL.Image.Resampling.BICUBIC)
    margin = (pixels.shape[1] - 2 * 448) // 3
    left = pixels[-margin - 448 : -margin, margin : margin + 448]
    np.testing.assert_array_equal(left[..., 0], enlarged)
    # Where the picture is black, the colours are those of the map alone.
    heat = grad_cam(net, IMAGES[:1])[0]
    right = pixels[-margin - 448 : -margin, -margin - 448 : -margin].mean(axis=2)
    cells = right.reshape(2, 224, 2, 224).swapaxes(1, 2).reshape(4, -1)
    black = (np.asarray(enlarged) == 0).reshape(2, 224, 2, 224).swapaxes(1, 2).reshape(4, -1)
    brightness = [cell[dark].mean() for cell, dark in zip(cells, black, strict=True)]
    assert heat.shape == (2, 2)
    assert np.argmax(brightness) == heat.argmax()


def test_another_class_and_another_layer(explain, run, picture, net, tmp_path):
    status, out, errors = explain(
        run, picture, "--class_name=name 4", "--layer=conv2_block1_out", f"--output={tmp_path}/new/four.PNG"
    )
    assert status == 0, errors
    probability = net.predict(IMAGES[:1], verbose=0)[0, 4]
    assert out == f"name 4, {100 * probability:.2f}%, layer conv2_block1_out: {tmp_path}/new/four.PNG\n"
    with PIL.Image.open(tmp_path / "new" / "four.PNG") as drawing:
        assert drawing.format == "PNG"


def test_a_map_without_anything_is_told(explain, run, picture, net):
    """Where the classifier counts every channel against the class."""
    kernel, bias = net.get_layer("predictions").get_weights()
    try:
        net.get_layer("predictions").set_weights([-np.abs(kernel), bias])
        net.save(run / "model.keras")
    finally:
        net.get_layer("predictions").set_weights([kernel, bias])
    status, out, errors = explain(run, picture)
    assert status == 0, errors
    assert "layer conv4_block1_out, where nothing speaks for it: " in out


def test_mistakes_are_refused(explain, run, picture, tmp_path):
    (tmp_path / "saved_model").mkdir()
    (tmp_path / "saved_model" / "saved_model.pb").write_bytes(b"")
    (tmp_path / "bad.png").write_bytes(b"no picture")
    (tmp_path / "here" / "folder.png").mkdir()
    before = picture.read_bytes()
    for arguments, message in {
        (run, picture, "--class_name=5"): "--class_name=5: ",
        (run, picture, "--layer=conv9"): "conv9",
        (run, picture, "--layer=avg_pool"): "avg_pool",
        (run, picture, f"--output={picture}"): "digit.png: is the image itself",
        (run, picture, "--output=folder.png"): "--output=folder.png: must be a file that ends in .png",
        (run, tmp_path / "bad.png"): "bad.png: ",
        (run, tmp_path): "there is no such file; use one image",
        (run / "model.tflite", picture): "model.tflite: has no gradients to explain with; use the run or its",
        (tmp_path / "saved_model", picture): "saved_model: has no gradients to explain with",
        (tmp_path / "here", picture): "/here: ",
    }.items():
        status, out, errors = explain(*arguments)
        assert status == 2
        (line,) = errors.splitlines()
        assert message in line
        assert not out
    assert picture.read_bytes() == before
    assert not list((tmp_path / "here").glob("explained*"))
    (run / "model.keras").unlink()
    status, _, errors = explain(run, picture)
    assert status == 2
    assert "model.tflite: has no gradients to explain with" in errors


def test_up_to_ten_classes_are_named(explain, picture, tmp_path):
    layers = [keras.layers.GlobalAveragePooling2D(), keras.layers.Dense(12, activation="softmax")]
    keras.Sequential([keras.Input((8, 8, 1)), *layers]).save(tmp_path / "net.keras")
    status, _, errors = explain(tmp_path / "net.keras", picture, "--class_name=cat")
    assert status == 2
    assert "net.keras has the classes 0, 1, 2, 3, 4, 5, 6, 7, 8, 9 and 2 more." in errors
