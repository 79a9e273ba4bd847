"""The package's types, as a type checker reads them: wrong calls are found before they run."""

import importlib
import inspect
import pathlib
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).parents[1]
SUBPACKAGES = ("", ".evaluation", ".export", ".training", ".weights")
CODE = """\
import keras_resnet
from keras_resnet import evaluation, export, training, weights

model = keras_resnet.ResNet50(classes=5, shortcut="A", input_shape=(None, None, 3))
keras_resnet.CifarResNet(20, False, pooling="avg", drop_path=0.1)
keras_resnet.complexity(model).macs + 1
export.export_tflite(model, "model.tflite", kind="int8")
size: int = weights.get_weights("torchvision-v2", 50).eval.crop_size
weights.convert("resnet18.pth", "resnet18.keras").architecture.shortcut
training.RECIPES["cifar"].batch_size // 2
keras_resnet.load_predictor("model.tflite").class_names[0].upper()
"""
MISTAKES = {
    "keras_resnet.ResNet51()": 'Module has no attribute "ResNet51"',
    "keras_resnet.ResNet50(shortcuts='A')": 'Unexpected keyword argument "shortcuts"',
    "keras_resnet.ResNet50(classes='5')": 'Argument "classes" to "ResNet50"',
    "keras_resnet.PlainNet18(shortcut='A')": 'Unexpected keyword argument "shortcut" for "PlainNet18"',
    "keras_resnet.CifarResNet()": 'Missing positional argument "depth" in call to "CifarResNet"',
    "keras_resnet.CifarResNet(20, variant='v1')": 'Unexpected keyword argument "variant" for "CifarResNet"',
    "export.tflight(model, 'model.tflite')": 'Module has no attribute "tflight"',
    "training.RECIPE": 'Module has no attribute "RECIPE"',
    "weights.get_weights('torchvision-v2', 5.0)": 'Argument 2 to "get_weights" has incompatible type "float"',
    "keras_resnet.load_predictor('model.tflite').names": '"Predictor" has no attribute "names"',
}


def _public():
    for subpackage in SUBPACKAGES:
        module = importlib.import_module(f"keras_resnet{subpackage}")
        for name in module.__all__:
            public = getattr(module, name)
            if not inspect.ismodule(public) and callable(public):
                yield pytest.param(public, id=f"{module.__name__}.{name}")


@pytest.mark.parametrize("public", list(_public()))
def test_public_names_have_types(public):
    signature = inspect.signature(public)
    parts = [parameter.annotation for parameter in signature.parameters.values()]
    if not inspect.isclass(public):
        parts.append(signature.return_annotation)
    assert inspect.Parameter.empty not in parts


def test_a_type_checker_knows_the_package(tmp_path):
    first = len(CODE.splitlines()) + 1
    lines = dict(enumerate(MISTAKES.values(), start=first))
    (tmp_path / "user.py").write_text(CODE + "".join(f"{mistake}\n" for mistake in MISTAKES))
    command = [sys.executable, "-m", "mypy", "--ignore-missing-imports", "--config-file=", "user.py"]
    result = subprocess.run(
        command, cwd=tmp_path, capture_output=True, text=True, check=False, env={"MYPYPATH": str(ROOT)}
    )
    errors = [line for line in result.stdout.splitlines() if ": error: " in line]
    assert len(errors) == len(MISTAKES), result.stdout
    for error, (number, expected) in zip(errors, lines.items(), strict=True):
        place, _, message = error.partition(": error: ")
        assert place == f"user.py:{number}"
        assert expected in message
