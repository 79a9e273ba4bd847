"""A lock on a folder: one holder at a time, and none once its process is dead."""

import errno
import logging
import os
import subprocess
import sys

import pytest
from helpers.errors import refused

from keras_resnet._utils import lock
from keras_resnet._utils.lock import LOCK, lock_folder


def test_a_second_holder_is_refused_with_the_first_ones_process(tmp_path):
    with lock_folder(tmp_path / "run"):
        with refused("run_name") as caught, lock_folder(tmp_path / "run", "run_name"):
            pass
        assert f"process {os.getpid()} on " in caught.value.reason
        with lock_folder(tmp_path / "other"):
            pass
    with lock_folder(tmp_path / "run"):
        pass


def test_a_dead_process_holds_no_lock(tmp_path):
    script = (
        "import sys, time; from keras_resnet._utils.lock import lock_folder\n"
        "with lock_folder(sys.argv[1]): print('locked', flush=True); time.sleep(600)"
    )
    holder = subprocess.Popen([sys.executable, "-c", script, tmp_path], stdout=subprocess.PIPE, text=True)
    assert holder.stdout is not None
    assert holder.stdout.readline() == "locked\n"
    with refused(None) as caught, lock_folder(tmp_path):
        pass
    assert f"process {holder.pid} on " in caught.value.reason
    holder.kill()
    holder.communicate()
    assert (tmp_path / LOCK).exists()
    with lock_folder(tmp_path):
        pass


def test_only_what_was_put_into_the_folder_is_left(tmp_path):
    with lock_folder(tmp_path / "a" / "run"):
        assert (tmp_path / "a" / "run" / LOCK).exists()
    assert not list(tmp_path.iterdir())
    with lock_folder(tmp_path / "a" / "run"):
        (tmp_path / "a" / "run" / "run.json").write_text("{}")
    assert [path.name for path in (tmp_path / "a" / "run").iterdir()] == ["run.json"]


def test_a_lock_file_that_its_holder_has_removed_is_made_anew(tmp_path, monkeypatch):
    """Opened before the holder removes it, locked after that: nobody else would look at that file again."""
    own = lock._lock
    opened = []

    def locked_late(descriptor):
        own(descriptor)
        opened.append(descriptor)
        if len(opened) == 1:
            os.unlink(tmp_path / LOCK)

    monkeypatch.setattr(lock, "_lock", locked_late)
    with lock_folder(tmp_path):
        assert len(opened) == 2
        monkeypatch.undo()
        with refused(None), lock_folder(tmp_path):
            pass


def test_a_file_system_without_locks_gets_a_warning(tmp_path, monkeypatch, caplog):
    fcntl = pytest.importorskip("fcntl")

    def no_locks(descriptor, operation):
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(fcntl, "flock", no_locks)
    with caplog.at_level(logging.WARNING), lock_folder(tmp_path):
        assert "cannot be locked" in caplog.text
