import errno
import os

import pytest
from helpers.errors import refused

from keras_resnet._utils.atomic import atomic_write, check_writable, warn_if_not_written


def test_file_appears_complete_or_not_at_all(tmp_path):
    target = tmp_path / "new" / "file.txt"
    with atomic_write(target) as written:
        written.write_text("complete")
        assert not target.exists()
    assert target.read_text() == "complete"

    def fail_half_way():
        with atomic_write(target) as written:
            written.write_text("half")
            raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        fail_half_way()
    assert target.read_text() == "complete"
    assert [path.name for path in target.parent.iterdir()] == ["file.txt"]


def test_folder_is_replaced_at_once(tmp_path):
    target = tmp_path / "folder"
    for content in ("first", "second"):
        with atomic_write(target) as written:
            written.mkdir()
            (written / content).touch()
    assert [path.name for path in target.iterdir()] == ["second"]

    def fail_half_way():
        with atomic_write(target) as written:
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
        with atomic_write(target) as written:
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
    with atomic_write(tmp_path / "file.txt") as written:
        written.write_text("complete")
    assert (tmp_path / "file.txt").read_text() == "complete"


def test_a_file_that_does_not_reach_the_disk_is_an_error(tmp_path, monkeypatch):
    _fsync_fails(monkeypatch, lambda is_folder: not is_folder)
    with pytest.raises(OSError, match="not here"), atomic_write(tmp_path / "file.txt") as written:
        written.write_text("complete")
    assert not (tmp_path / "file.txt").exists()


def test_a_folder_that_can_be_written_to_need_not_exist(tmp_path):
    check_writable(tmp_path / "new" / "folder", "output_dir")
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("parameter", ["output_dir", None])
def test_a_folder_that_cannot_be_written_to_is_refused(tmp_path, parameter):
    (tmp_path / "file").touch()
    path = tmp_path / "file" / "folder"
    with refused(parameter, str(path)) as caught:
        check_writable(path, parameter)
    assert str(tmp_path / "file") in caught.value.reason


def test_a_file_that_is_not_needed_is_a_warning(tmp_path, caplog):
    with warn_if_not_written(tmp_path / "curves.png"):
        raise OSError(errno.ENOSPC, "no space left")
    (message,) = caplog.messages
    assert str(tmp_path / "curves.png") in message
    assert "no space left" in message
