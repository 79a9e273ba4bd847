import collections

import pytest
import tensorflow as tf
from helpers.pictures import write_folder

from keras_resnet.data.load import load_dataset
from keras_resnet.data.tools import statistics as module
from keras_resnet.data.tools.statistics import DatasetStatistics, dataset_statistics

# Of the 20 training images of `write_folder`, all of one class are missing and one of the other is damaged.
_DAMAGED = "00.jpg"


def _damage(folder):
    for path in (folder / "train" / "church").iterdir():
        path.unlink()
    (folder / "train" / "flower" / _DAMAGED).write_bytes(b"no picture")


def test_classes_sizes_and_unreadable_images_are_counted(tmp_path):
    dataset = load_dataset(str(write_folder(tmp_path)))
    _damage(tmp_path)
    assert dataset_statistics(dataset.train) == DatasetStatistics(
        images=20,
        labels=collections.Counter({1: 10}),  # the damaged file can be read, and only its size is unknown
        sizes=collections.Counter({(75, 100 + number): 1 for number in range(1, 10)}),
        unreadable=11,
    )


def test_of_a_large_split_a_random_sample_is_counted(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "_MAX_IMAGES", 8)
    dataset = load_dataset(str(write_folder(tmp_path)))
    order = [int(index) for index, _, _ in dataset.train.read(tf.constant([0, 0]))]
    sample = [dataset.train.describe(index) for index in order[:8]]
    assert order[:8] != sorted(order)[:8]
    _damage(tmp_path)
    lost = [path for path in sample if "church" in path]
    damaged = [path for path in sample if path.endswith(f"flower/{_DAMAGED}")]
    assert 0 < len(lost) < 8
    found = dataset_statistics(dataset.train)
    assert found.images == 8
    assert found.unreadable == len(lost) + len(damaged)
    assert found.labels == collections.Counter({1: 8 - len(lost)})
    readable = [path for path in sample if path not in lost + damaged]
    # The width of each image follows from its number.
    assert found.sizes == collections.Counter(
        (75, 100 + int(path.removesuffix(".jpg")[-2:])) for path in readable
    )


@pytest.mark.parametrize("kind", ["pixels", "files"])
def test_sizes_are_heights_and_widths(tmp_path, kind):
    dataset = load_dataset("digits" if kind == "pixels" else str(write_folder(tmp_path, images=1)))
    sizes = dataset_statistics(dataset.train).sizes
    assert sizes == collections.Counter({(8, 8): 1442} if kind == "pixels" else {(75, 100): 2})
