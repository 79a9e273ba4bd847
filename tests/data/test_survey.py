import collections

import pytest
from pictures import write_folder

from keras_resnet.data import sources
from keras_resnet.data import survey as module
from keras_resnet.data.survey import survey


@pytest.mark.parametrize("looked_at", [100, 8])
def test_what_cannot_be_read_is_counted(tmp_path, monkeypatch, looked_at):
    monkeypatch.setattr(module, "_LOOKED_AT", looked_at)
    source = sources.find(str(write_folder(tmp_path)))
    for number in range(10):
        (tmp_path / "train" / "church" / f"{number:02}.jpg").unlink()
    (tmp_path / "train" / "flower" / "00.jpg").write_bytes(b"no picture")
    found = survey(source.train)
    assert found.images == min(20, looked_at)
    assert found.unreadable == found.images - found.sizes.total() > 0
    if looked_at == 100:
        assert found.labels == collections.Counter({1: 10})
        assert found.unreadable == 11
