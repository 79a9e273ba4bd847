"""The code of docs/deployment.md that works without this package, run as it stands there."""

import json
import pathlib
import re
import subprocess
import sys

import numpy as np
import PIL.Image
import pytest
from helpers import rest_server
from helpers.marks import slow
from helpers.nets import ARCHITECTURES, trained_model
from helpers.pictures import PHOTOS

from keras_resnet import export
from keras_resnet.data.images.pillow import preprocess_image
from keras_resnet.data.input_spec import InputSpec
from keras_resnet.inference import load_predictor

DOCS = (pathlib.Path(__file__).parents[2] / "docs" / "deployment.md").read_text()
NAMES = tuple(f"class {number}" for number in range(10))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """The files of a run, and an image."""
    folder = tmp_path_factory.mktemp("deployed")
    model = trained_model(ARCHITECTURES["A"], 32, 3)
    PIL.Image.fromarray(PHOTOS[0]).save(folder / "photo.png")
    images = np.random.default_rng(0).integers(0, 256, (50, 32, 32, 3), "uint8")
    export.export_saved_model(model, folder / "saved_model", class_names=NAMES)
    export.export_tflite(model, folder / "model.tflite", class_names=NAMES)
    export.export_tflite(
        model, folder / "model_int8.tflite", kind="int8", calibration=[images], class_names=NAMES
    )
    return folder


def _blocks(language):
    return re.findall(rf"```{language}\n(.*?)```", DOCS, re.DOTALL)


@pytest.mark.parametrize(
    "block",
    [slow(0), slow(1), slow(2)],
    ids=["mediapipe", "raspberry pi", "tensorflow"],
)
def test_python(folder, block):
    blocks = [block for block in _blocks("python") if "keras_resnet" not in block]
    assert len(blocks) == 3
    command = [sys.executable, "-c", blocks[block]]
    result = subprocess.run(command, capture_output=True, text=True, check=False, cwd=folder)
    assert result.returncode == 0, result.stderr
    named = re.findall(r"class \d", result.stdout)
    assert len(named) == 5
    # All three prepare the same image: the likeliest class is the same.
    assert named[0] == _likeliest(folder)


def _likeliest(folder):
    predictor = load_predictor(folder / "model.tflite")
    pixels = preprocess_image(folder / "photo.png", InputSpec(32))
    return NAMES[predictor.predict(pixels)[0].argmax()]


@pytest.mark.slow
def test_curl(folder):
    (block,) = (block for block in _blocks("sh") if "curl" in block)
    with rest_server.serving(folder / "saved_model") as url:
        script = block.replace("http://localhost:8501", url)
        result = subprocess.run(["sh", "-ec", script], capture_output=True, text=True, check=True, cwd=folder)
    (answer,) = json.loads(result.stdout)["predictions"]
    assert answer["classes"][0] == _likeliest(folder)
