import collections

import pytest
from helpers.pictures import write_folder

from keras_resnet.data.load import load_dataset
from keras_resnet.data.tools import statistics as module
from keras_resnet.data.tools.statistics import dataset_statistics


@pytest.mark.parametrize("looked_at", [100, 8])
def test_what_cannot_be_read_is_counted(tmp_path, monkeypatch, looked_at):
    monkeypatch.setattr(module, "_LOOKED_AT", looked_at)
    source = load_dataset(str(write_folder(tmp_path)))
    for number in range(10):
        (tmp_path / "train" / "church" / f"{number:02}.jpg").unlink()
    (tmp_path / "train" / "flower" / "00.jpg").write_bytes(b"no picture")
    found = dataset_statistics(source.train)
    assert found.images == min(20, looked_at)
    assert found.unreadable == found.images - found.sizes.total() > 0
    if looked_at == 100:
        assert found.labels == collections.Counter({1: 10})
        assert found.unreadable == 11
