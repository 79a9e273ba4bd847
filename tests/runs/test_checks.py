import unicodedata

import pytest
from helpers.errors import refused
from helpers.pictures import write_files

from keras_resnet import load_dataset
from keras_resnet.runs.checks import check_batch_divisible, check_classes
from keras_resnet.training.recipes import Recipe


@pytest.mark.parametrize(
    ("batch_size", "parts", "jit_compile", "parameter"),
    [
        (64, 1, True, "jit_compile"),
        (63, 1, False, "batch_size"),
        (64, 3, False, "gradient_accumulation_steps"),
    ],
)
def test_what_two_devices_cannot_share_is_refused(batch_size, parts, jit_compile, parameter):
    recipe = Recipe("this test", batch_size=batch_size, epochs=1)
    with refused(parameter):
        check_batch_divisible(recipe, 2, parts, jit_compile)


def test_what_one_device_computes_is_accepted():
    check_batch_divisible(Recipe("this test", batch_size=63, epochs=1), 1, 3, True)


def test_classes_are_compared_as_they_look(tmp_path):
    """A model that was trained on names as macOS stores them, and a folder of now."""
    names = [unicodedata.normalize("NFD", "café"), "tea"]
    dataset = load_dataset(str(write_files(tmp_path, *(f"{name}/" for name in names), count=2)))
    check_classes(dataset, names, "the model")
    with refused("dataset", str(tmp_path)):
        check_classes(dataset, ["cafe", "tea"], "the model")
