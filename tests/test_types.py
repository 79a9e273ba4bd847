"""What a type checker sees of the package: who calls it wrongly is told before it runs."""

import importlib
import inspect
import pathlib
import subprocess
import sys

import pytest

import keras_resnet
from keras_resnet.models import signatures

ROOT = pathlib.Path(__file__).parents[1]
ROOMS = ("", ".evaluation", ".export", ".training", ".weights")
CODE = """\
import keras_resnet
from keras_resnet import evaluation, export, training, weights

model = keras_resnet.ResNet50(classes=5, shortcut="A", input_shape=(None, None, 3))
keras_resnet.complexity(model).macs + 1
export.tflite(model, "model.tflite", kind="int8")
size: int = weights.find("torchvision-v2", 50).test.size
training.RECIPES["cifar"].batch_size // 2
evaluation.open_model("model.tflite").class_names[0].upper()
"""
MISTAKES = {
    "keras_resnet.ResNet51()": 'Module has no attribute "ResNet51"',
    "keras_resnet.ResNet50(shortcuts='A')": 'Unexpected keyword argument "shortcuts"',
    "keras_resnet.ResNet50(classes='5')": 'Argument "classes" to "__call__"',
    "export.tflight(model, 'model.tflite')": 'Module has no attribute "tflight"',
    "training.RECIPE": 'Module has no attribute "RECIPE"',
    "weights.find('torchvision-v2', '50')": 'Argument 2 to "find" has incompatible type "str"',
    "evaluation.open_model('model.tflite').names": '"OpenedModel" has no attribute "names"',
}


def _public():
    for room in ROOMS:
        module = importlib.import_module(f"keras_resnet{room}")
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


@pytest.mark.parametrize(
    ("name", "protocol"),
    [
        ("ResNet50", signatures.ResidualNet),
        ("PlainNet18", signatures.PlainNet),
        ("CifarResNet", signatures.CifarResidualNet),
        ("CifarPlainNet", signatures.CifarPlain),
    ],
)
def test_constructors_take_what_type_checkers_are_told(name, protocol):
    _, *told = inspect.signature(protocol.__call__).parameters.values()
    made = [
        # Each net has a name of its own.
        parameter.replace(default=...) if parameter.name == "name" else parameter
        for parameter in inspect.signature(getattr(keras_resnet, name)).parameters.values()
    ]
    assert made == told


def test_a_type_checker_knows_the_package(tmp_path):
    lines = {len(CODE.splitlines()) + place: told for place, told in enumerate(MISTAKES.values(), start=1)}
    (tmp_path / "user.py").write_text(CODE + "".join(f"{wrong}\n" for wrong in MISTAKES))
    command = [sys.executable, "-m", "mypy", "--ignore-missing-imports", "--config-file=", "user.py"]
    found = subprocess.run(
        command, cwd=tmp_path, capture_output=True, text=True, check=False, env={"MYPYPATH": str(ROOT)}
    )
    errors = [line for line in found.stdout.splitlines() if ": error: " in line]
    assert len(errors) == len(MISTAKES), found.stdout
    for error, (number, told) in zip(errors, lines.items(), strict=True):
        place, _, message = error.partition(": error: ")
        assert place == f"user.py:{number}"
        assert told in message
