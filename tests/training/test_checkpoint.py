"""Checkpoint files: what is kept, skipped and refused."""

import errno
import os
import re

import numpy as np
import pytest
from helpers.errors import refused

from keras_resnet.training.checkpoint import Checkpoints, check_arrays, read_checkpoint

ARRAYS = {"weights/0/kernel": np.arange(6.0).reshape(2, 3), "optimizer/0/iterations": np.array(7)}


def _names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_comes_back_as_it_was(tmp_path):
    checkpoints = Checkpoints(tmp_path / "new", {"depth": 20, "filters": (16, 32)})
    assert checkpoints.latest() is None
    assert checkpoints.save(7, ARRAYS, {"loss": 0.1 + 0.2})
    again = Checkpoints(tmp_path / "new", {"depth": 20, "filters": (16, 32)}).latest()
    assert again.meta["loss"] == 0.1 + 0.2
    assert again.arrays.keys() == ARRAYS.keys()
    for name, array in ARRAYS.items():
        np.testing.assert_array_equal(again.arrays[name], array)
        assert again.arrays[name].dtype == array.dtype


def test_the_last_few_and_the_best_are_kept(tmp_path):
    checkpoints = Checkpoints(tmp_path, keep=2)
    for step in range(10, 70, 10):
        checkpoints.save(step, ARRAYS, {}, best=20)
    assert _names(tmp_path) == [f"step-{step:010}.npz" for step in (20, 50, 60)]


@pytest.mark.parametrize("damage", ["cut", "flip", "empty", "text", "encrypted", "method", "array"])
def test_a_damaged_one_is_skipped(tmp_path, caplog, damage):
    checkpoints = Checkpoints(tmp_path)
    for step in (1, 2):
        checkpoints.save(step, ARRAYS, {"step": step})
    newest = tmp_path / "step-0000000002.npz"
    content = bytearray(newest.read_bytes())
    if damage == "cut":
        content = content[: len(content) // 2]
    elif damage == "flip":
        middle = content.index(np.float64(3.0).tobytes())
        content[middle] ^= 1
    elif damage == "encrypted":
        content[content.rindex(b"PK\x01\x02") + 8] |= 1
    elif damage == "method":
        content[content.rindex(b"PK\x01\x02") + 10] = 99
    elif damage == "array":
        content = content[content.index(b"\x93NUMPY") :]
    else:
        content = b"" if damage == "empty" else b"no checkpoint"
    newest.write_bytes(content)
    assert Checkpoints(tmp_path).latest().meta["step"] == 1
    (warning,) = caplog.messages
    assert str(newest) in warning
    # Training resumes from 1, and the damaged one is removed.
    checkpoints.save(1, ARRAYS, {"step": 1})
    assert _names(tmp_path) == ["step-0000000001.npz"]


def test_a_full_disk_leaves_the_one_before(tmp_path, caplog, monkeypatch):
    checkpoints = Checkpoints(tmp_path)
    checkpoints.save(1, ARRAYS, {"step": 1})

    def fill(file, **arrays):
        file.write(b"half of it")
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(np, "savez", fill)
    assert not checkpoints.save(2, ARRAYS, {"step": 2})
    (warning,) = caplog.messages
    assert "step-0000000002.npz could not be written (No space left on device)" in warning
    assert warning.endswith("step-0000000001.npz.")
    assert _names(tmp_path) == ["step-0000000001.npz"]
    assert Checkpoints(tmp_path).latest().meta["step"] == 1


def test_what_a_killed_writer_left_goes_with_the_next_one(tmp_path):
    (tmp_path / ".writing-abc").mkdir()
    (tmp_path / ".writing-abc" / "step-0000000009.npz").write_bytes(b"half")
    checkpoints = Checkpoints(tmp_path)
    assert checkpoints.latest() is None
    checkpoints.save(10, ARRAYS, {})
    assert _names(tmp_path) == ["step-0000000010.npz"]


def _settings(depth, version):
    return {"architecture": {"depth": depth, "filters": (16, 32)}, "version": version}


def test_one_with_other_settings_is_refused_by_what_differs(tmp_path):
    Checkpoints(tmp_path, _settings(20, "1")).save(1, ARRAYS, {})
    with refused(None, tmp_path / "step-0000000001.npz") as caught:
        Checkpoints(tmp_path, _settings(32, "2")).latest()
    assert "architecture.depth=20 instead of 32, version=1 instead of 2." in caught.value.reason


def test_a_training_adds_to_the_subjects_of_the_settings(tmp_path):
    settings = {"recipe": {"name": "mine"}, "training": {"seed": 3}}
    checkpoints = Checkpoints(tmp_path, settings)
    checkpoints.identify_training({"recipe": {"epochs": 1}, "training": {"old": 1}})
    checkpoints.identify_training({"recipe": {"epochs": 2}, "training": {"metrics": ("loss",)}})
    checkpoints.save(1, ARRAYS, {})
    assert checkpoints.latest().meta["settings"] == {
        "recipe": {"name": "mine", "epochs": 2},
        "training": {"seed": 3, "metrics": ["loss"]},
    }
    with refused(None, tmp_path / "step-0000000001.npz") as caught:
        Checkpoints(tmp_path, settings).latest()
    assert "recipe.epochs=2 instead of None" in caught.value.reason


def test_a_subject_that_a_training_cannot_add_to_is_refused(tmp_path):
    with refused("settings", {"recipe": "mine"}):
        Checkpoints(tmp_path, {"recipe": "mine"}).identify_training({"recipe": {"epochs": 1}})


def test_variables_of_a_different_model_are_named(tmp_path):
    checkpoints = Checkpoints(tmp_path)
    checkpoints.save(1, ARRAYS, {})
    shapes = {"weights/0/kernel": (2, 4), "optimizer/0/iterations": (), "weights/1/bias": (4,)}
    with refused(None, tmp_path / "step-0000000001.npz") as caught:
        check_arrays(checkpoints.latest(), shapes)
    assert "weights/0/kernel 2x3 instead of 2x4" in caught.value.reason
    assert "weights/1/bias missing instead of 4" in caught.value.reason
    check_arrays(checkpoints.latest(), {name: array.shape for name, array in ARRAYS.items()})


def test_nothing_is_unpickled(tmp_path):
    class Trap:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "sprung"),)

    np.savez(tmp_path / "trap.npz", meta=np.array([Trap()], dtype=object))
    with refused(None, tmp_path / "trap.npz"):
        read_checkpoint(tmp_path / "trap.npz")
    assert not (tmp_path / "sprung").exists()


def test_is_due_after_so_many_minutes(tmp_path, monkeypatch):
    now = [1000.0]
    monkeypatch.setattr("time.monotonic", lambda: now[0])
    checkpoints = Checkpoints(tmp_path, minutes=10)
    due = []
    for now[0] in (1000.0, 1599.0, 1600.0):
        due.append(checkpoints.due())
    checkpoints.save(1, ARRAYS, {})
    assert [*due, checkpoints.due()] == [False, False, True, False]


@pytest.mark.parametrize("number", [errno.EIO, errno.EACCES, errno.ESTALE])
def test_one_that_cannot_be_read_now_is_not_taken_for_damaged(tmp_path, monkeypatch, number):
    """If it were skipped, training would start over and remove it."""
    checkpoints = Checkpoints(tmp_path)
    checkpoints.save(1, ARRAYS, {})

    def broken(*args, **kwargs):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(np, "load", broken)
    with pytest.raises(OSError, match=re.escape(os.strerror(number))):
        checkpoints.latest()
    assert _names(tmp_path) == ["step-0000000001.npz"]


def test_whether_one_is_valid(tmp_path):
    checkpoints = Checkpoints(tmp_path)
    assert not checkpoints.any_valid()
    for step in (1, 2):
        checkpoints.save(step, ARRAYS, {})
    (tmp_path / "step-0000000002.npz").write_bytes(b"damaged")
    assert checkpoints.any_valid()
    (tmp_path / "step-0000000001.npz").write_bytes(b"damaged")
    assert not checkpoints.any_valid()


@pytest.mark.parametrize("meta", [b"[]", b'{"settings": 1}', b'"text"'])
def test_a_file_without_metadata_is_not_a_checkpoint(tmp_path, meta):
    np.savez(tmp_path / "step.npz", meta=np.frombuffer(meta, "uint8"))
    with refused(None, tmp_path / "step.npz"):
        read_checkpoint(tmp_path / "step.npz")


def test_lack_of_memory_is_not_taken_for_damage(tmp_path, monkeypatch):
    def fail(*_, **__):
        raise MemoryError

    monkeypatch.setattr(np, "load", fail)
    with pytest.raises(MemoryError):
        read_checkpoint(tmp_path / "step.npz")
