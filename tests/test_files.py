import errno
import os

import pytest

from keras_resnet.files import atomic


def test_file_appears_whole_or_not_at_all(tmp_path):
    target = tmp_path / "new" / "file.txt"
    with atomic(target) as written:
        written.write_text("whole")
        assert not target.exists()
    assert target.read_text() == "whole"

    def fail_half_way():
        with atomic(target) as written:
            written.write_text("half")
            raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        fail_half_way()
    assert target.read_text() == "whole"
    assert [path.name for path in target.parent.iterdir()] == ["file.txt"]


def test_folder_is_replaced_as_a_whole(tmp_path):
    target = tmp_path / "folder"
    for content in ("first", "second"):
        with atomic(target) as written:
            written.mkdir()
            (written / content).touch()
    assert [path.name for path in target.iterdir()] == ["second"]

    def fail_half_way():
        with atomic(target) as written:
            written.mkdir()
            raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        fail_half_way()
    assert [path.name for path in target.iterdir()] == ["second"]


@pytest.mark.parametrize("error", [OSError(errno.EIO, "broken"), KeyboardInterrupt()])
def test_the_old_folder_is_back_when_the_new_one_cannot_take_its_place(tmp_path, monkeypatch, error):
    target = tmp_path / "folder"
    target.mkdir()
    (target / "old").touch()
    replace = os.replace

    def fails(source, place):
        if (os.path.isdir(source), os.fspath(place)) == (True, str(target)) and "new" in os.listdir(source):
            raise error
        replace(source, place)

    def write():
        with atomic(target) as written:
            written.mkdir()
            (written / "new").touch()

    monkeypatch.setattr(os, "replace", fails)
    with pytest.raises(type(error)):
        write()
    assert [path.name for path in target.iterdir()] == ["old"]
    assert [path.name for path in tmp_path.iterdir()] == ["folder"]


def _fsync_fails(monkeypatch, fails):
    def fsync(descriptor):
        if fails(os.path.isdir(f"/proc/self/fd/{descriptor}")):
            raise OSError(errno.EINVAL, "not here")

    monkeypatch.setattr(os, "fsync", fsync)


def test_a_file_system_that_cannot_wait_for_a_folder_holds_files_all_the_same(tmp_path, monkeypatch):
    _fsync_fails(monkeypatch, lambda is_folder: is_folder)
    with atomic(tmp_path / "file.txt") as written:
        written.write_text("whole")
    assert (tmp_path / "file.txt").read_text() == "whole"


def test_a_file_that_does_not_reach_the_disk_is_told(tmp_path, monkeypatch):
    _fsync_fails(monkeypatch, lambda is_folder: not is_folder)
    with pytest.raises(OSError, match="not here"), atomic(tmp_path / "file.txt") as written:
        written.write_text("whole")
    assert not (tmp_path / "file.txt").exists()
