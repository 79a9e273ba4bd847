"""`TrainConfig`: what it takes, and that it survives being written down."""

import dataclasses
import json
import subprocess
import sys

import numpy as np
import pytest
from helpers.errors import refused

from keras_resnet.data.dataset import Dataset, Split
from keras_resnet.models.architectures import IMAGENET, cifar_architecture
from keras_resnet.runs.config import TrainConfig
from keras_resnet.runs.evaluate import EvaluateConfig
from keras_resnet.runs.provenance import command_of
from keras_resnet.training.recipes import RECIPES


@pytest.mark.parametrize(
    "config",
    [
        TrainConfig(),
        TrainConfig(
            depth=50,
            shortcut="C",
            variant="v1.5",
            dataset="cifar10",
            milestones=[3, 4],
            export="int8",
            rematerialize=["conv3"],
            ema_decay=0.9,
            hflip=False,
        ),
        TrainConfig(recipe=RECIPES["finetune"], architecture=cifar_architecture(20, "B")),
        TrainConfig(recipe=RECIPES["modern"], architecture=IMAGENET[50]),
    ],
)
def test_a_configuration_is_read_as_it_was_written(config):
    written = json.loads(json.dumps(config.as_dict()))
    assert TrainConfig.from_dict(written) == config


def test_a_dataset_object_is_not_written_down():
    split = Split("train", 3, lambda key, start=0, step=1: None, str)
    dataset = Dataset("mine", ("a", "b"), (8, 8, 1), split, split, hflip=True)
    config = TrainConfig(dataset=dataset)
    assert config.dataset is dataset
    assert config.load(config.dataset) is dataset
    assert config.as_dict()["dataset"] is None


def test_a_folder_is_written_down_as_it_is_found_from_elsewhere(tmp_path, monkeypatch):
    (tmp_path / "photos").mkdir()
    monkeypatch.chdir(tmp_path)
    written = {TrainConfig(dataset=name).as_dict()["dataset"] for name in ("photos", "./photos/")}
    assert written == {str((tmp_path / "photos").resolve())}
    (tmp_path / "photos" / "labels.csv").touch()
    table = TrainConfig(dataset="photos/labels.csv", images_dir="digits").as_dict()
    assert table["dataset"] == str((tmp_path / "photos" / "labels.csv").resolve())
    assert table["images_dir"] == str((tmp_path / "digits").resolve())


@pytest.mark.parametrize(
    ("fields", "parameter"),
    [
        ({"recipe": "best"}, "recipe"),
        ({"recipe": 3}, "recipe"),
        ({"dataset": 3}, "dataset"),
        ({"architecture": "resnet50"}, "architecture"),
        ({"architecture": IMAGENET[50], "depth": 50}, "depth"),
        ({"architecture": IMAGENET[50], "plain": True}, "plain"),
        ({"drop_path": 1.0}, "drop_path"),
        ({"output_dir": 3}, "output_dir"),
    ],
)
def test_what_cannot_be_is_refused_by_name(fields, parameter):
    with refused(parameter):
        TrainConfig(**fields)


def test_an_unknown_field_of_a_file_is_refused():
    with refused("deepth"):
        TrainConfig.from_dict({"deepth": 20})


def test_a_configuration_says_its_command():
    config = TrainConfig(depth=50, plain=False, milestones=(3, 4), recipe=RECIPES["cifar"], hflip=True)
    assert command_of(config, "train") == (
        "keras-resnet train --depth=50 --hflip --milestones=3,4 --noplain 'recipe=<Recipe>'"
    )
    assert command_of(TrainConfig(dataset="my photos"), "train") == "keras-resnet train '--dataset=my photos'"


def test_a_configuration_costs_neither_keras_nor_tensorflow():
    script = (
        "import sys, keras_resnet; keras_resnet.TrainConfig(depth=50);"
        "print(sorted({'keras', 'tensorflow', 'absl', 'PIL', 'h5py'} & set(sys.modules)))"
    )
    result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"


def test_it_is_frozen():
    with pytest.raises(dataclasses.FrozenInstanceError):
        TrainConfig().depth = 3


@pytest.mark.parametrize("value", [(np.zeros((2, 8, 8, 1)), np.zeros(2)), [1], 3, {"train": 1}])
@pytest.mark.parametrize("kind", [TrainConfig, EvaluateConfig])
def test_arrays_are_no_dataset_yet(kind, value):
    with refused("dataset", None) as caught:
        kind(dataset=value)
    assert "from_arrays" in caught.value.reason
