import dataclasses
import logging

import numpy as np
import pytest
from helpers.pictures import PHOTOS, encoded, write_folder

from keras_resnet.data.leaks import find_leaks, warn_of_leaks
from keras_resnet.data.load import load_dataset
from keras_resnet.data.sources.arrays import from_arrays


def _copy(folder, source, target):
    (folder / target).write_bytes((folder / source).read_bytes())


def test_files_that_are_training_images_are_found(tmp_path):
    folder = write_folder(tmp_path)
    _copy(folder, "train/church/03.jpg", "val/church/copy.jpg")
    _copy(folder, "train/flower/05.jpg", "val/church/another.jpg")  # whatever its class
    _copy(folder, "val/flower/00.jpg", "val/flower/within.jpg")  # twice in one split
    dataset = load_dataset(str(folder))
    leaks = find_leaks(dataset.train, dataset.validation)
    named = [(dataset.validation.describe(one), dataset.train.describe(other)) for one, other in leaks]
    assert [(one.rsplit("/")[-1], other.rsplit("/")[-1]) for one, other in named] == [
        ("another.jpg", "05.jpg"),
        ("copy.jpg", "03.jpg"),
    ]


@pytest.mark.parametrize("place", [0, 50_000, 99_999])
def test_one_byte_makes_a_difference(tmp_path, place):
    folder = write_folder(tmp_path, images=2)
    content = bytearray(encoded(PHOTOS[0], "BMP")[:100_000])
    (folder / "train/church/large.bmp").write_bytes(content)
    content[place] ^= 1
    (folder / "val/church/large.bmp").write_bytes(content)
    dataset = load_dataset(str(folder))
    assert find_leaks(dataset.train, dataset.validation) == []


def test_files_that_cannot_be_read_are_left_to_training(tmp_path):
    folder = write_folder(tmp_path, images=2)
    for split in ("train", "val"):
        (folder / split / "church" / "lost.jpg").symlink_to(folder / "nowhere")
    dataset = load_dataset(str(folder))
    assert find_leaks(dataset.train, dataset.validation) == []


def test_arrays_are_compared_as_well():
    images = np.random.default_rng(0).integers(0, 256, (30, 8, 8, 3), "uint8")
    labels = np.arange(30) % 2
    held_out = np.concatenate([images[7:8], 255 - images[:3], images[21:22]])
    dataset = from_arrays((images, labels), (held_out, labels[:5]))
    assert find_leaks(dataset.train, dataset.validation) == [(0, 7), (4, 21)]


def test_datasets_of_other_sources_are_not_read():
    digits = load_dataset("digits")
    assert find_leaks(digits.train, digits.validation) == []


def test_one_line_for_each_split_warns(tmp_path, caplog):
    folder = write_folder(tmp_path)
    dataset = load_dataset(str(folder))
    warn_of_leaks(dataset)
    assert not caplog.messages
    (folder / "test" / "church").mkdir(parents=True)
    _copy(folder, "train/church/03.jpg", "test/church/copy.jpg")
    _copy(folder, "train/church/03.jpg", "val/church/copy.jpg")
    _copy(folder, "train/church/04.jpg", "val/church/copy4.jpg")
    caplog.set_level(logging.WARNING)
    warn_of_leaks(load_dataset(str(folder)))
    validation, test = [message for message in caplog.messages if "training images" in message]
    assert validation.startswith("2 of the 6 validation images are training images as well (")
    assert f"{folder}/val/church/copy.jpg is {folder}/train/church/03.jpg" in validation
    assert test.startswith("1 of the 1 test images")
    assert "data validate" in test
    caplog.clear()
    warn_of_leaks(dataclasses.replace(dataset, test=None))
    assert not caplog.messages
