"""What a configuration means, by the dataset it is for."""

import dataclasses

import numpy as np
import pytest

import keras_resnet
from keras_resnet.runs.config import TrainConfig
from keras_resnet.runs.resolve import resolve

IMAGES, LABELS = np.zeros((40, 8, 8, 1), "uint8"), np.arange(40) % 2
ARRAYS = IMAGES, LABELS


@pytest.mark.parametrize(
    ("dataset", "export_epoch", "expected"),
    [
        ("digits", None, "last"),
        ("digits", "best", "best"),
        (keras_resnet.data.from_arrays(ARRAYS), None, "best"),
        (keras_resnet.data.from_arrays(ARRAYS, ARRAYS, test=ARRAYS), None, "best"),
        (keras_resnet.data.from_arrays(ARRAYS), "last", "last"),
    ],
    ids=["on-test", "on-test-best", "held-out", "three-splits", "last"],
)
def test_the_epoch_is_not_chosen_by_test_images_unless_asked(dataset, export_epoch, expected, tmp_path):
    config = TrainConfig(dataset=dataset, depth=8, export_epoch=export_epoch, output_dir=tmp_path)
    job = resolve(config)
    assert job.export_epoch == expected
    assert job.folder.settings["training"]["export_epoch"] == expected
    assert job.folder.settings["training"]["calibrate"] is (dataset != "digits")


@pytest.mark.parametrize(
    "change",
    [{"export_epoch": "last"}, {"stop_after": 3}, {"class_weight": "balanced"}, {"calibrate": False}],
    ids=str,
)
def test_what_changes_the_result_makes_another_run(change, tmp_path):
    config = TrainConfig(dataset=keras_resnet.data.from_arrays(ARRAYS), depth=8, output_dir=tmp_path)
    settings = resolve(config).folder.settings
    assert resolve(dataclasses.replace(config, **change)).folder.settings != settings
