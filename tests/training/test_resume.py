"""Training killed and resumed by the same command, as if nothing had happened."""

import json
import pathlib
import random
import shutil
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from keras_resnet.training.checkpoint import read_checkpoint

ROOT = pathlib.Path(__file__).parents[2]
FLAGS = ("--depth=8", "--epochs=4", "--batch_size=48", "--deterministic", "--log=plain", "--export=")


def _command(folder, *flags):
    return [sys.executable, ROOT / "train.py", *FLAGS, f"--output_dir={folder}", "--run_name=run", *flags]


def _state(folder):
    newest = max((folder / "run" / "checkpoints").glob("step-*.npz"))
    checkpoint = read_checkpoint(newest)
    state = dict(checkpoint.meta["state"], seconds=None)
    return checkpoint.arrays, state, checkpoint.meta["learning_rate"]


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory):
    folder = tmp_path_factory.mktemp("uninterrupted")
    start = time.monotonic()
    subprocess.run(_command(folder), check=True, capture_output=True)
    return folder, time.monotonic() - start


def _same(folder, uninterrupted):
    (arrays, *rest), (expected, *expected_rest) = _state(folder), _state(uninterrupted)
    assert rest == expected_rest
    assert arrays.keys() == expected.keys()
    for name, array in expected.items():
        np.testing.assert_array_equal(arrays[name], array, err_msg=name)
    history, expected_history = (each / "run" / "history.csv" for each in (folder, uninterrupted))
    assert history.read_text() == expected_history.read_text()


def _kill_until_done(folder, seed, kills, longest):
    """Kill it at random moments, so often, then let it finish; checkpoints are written all the time."""
    moments = random.Random(seed)
    killed = 0
    while killed < kills:
        process = subprocess.Popen(
            _command(folder, "--checkpoint_minutes=0"),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        # From the first checkpoint that it writes itself on: what comes before is the start of Python.
        before = set((folder / "run" / "checkpoints").glob("step-*.npz"))
        while process.poll() is None and not (
            set((folder / "run" / "checkpoints").glob("step-*.npz")) - before
        ):
            time.sleep(0.002)
        try:
            process.wait(moments.uniform(0, longest))
        except subprocess.TimeoutExpired:
            process.kill()
            killed += 1
        out, _ = process.communicate()
        if process.returncode == 0:
            return killed
        assert process.returncode == -signal.SIGKILL, out[-2000:]
    subprocess.run(_command(folder, "--checkpoint_minutes=0"), check=True, capture_output=True)
    return killed


@pytest.mark.slow
def test_after_kills_the_weights_are_the_same_to_the_last_bit(tmp_path, uninterrupted):
    assert _kill_until_done(tmp_path, seed=0, kills=2, longest=1.0) >= 1
    _same(tmp_path, uninterrupted[0])


@pytest.mark.slow
def test_after_many_kills(tmp_path, uninterrupted):
    kills = 0
    for seed in range(1, 6):
        kills += _kill_until_done(tmp_path / str(seed), seed, kills=5, longest=1.5)
        _same(tmp_path / str(seed), uninterrupted[0])
    print(f"{kills} kills, no mismatch")
    assert kills >= 15


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_saves_and_the_same_command_resumes(tmp_path, uninterrupted, number):
    process = subprocess.Popen(_command(tmp_path), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    while not (tmp_path / "run" / "history.csv").exists() and process.poll() is None:
        time.sleep(0.01)
    process.send_signal(number)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 128 + number
    assert "keras-resnet train: Stopped after step" in errors
    assert "Rerun the same command" in errors
    assert "Traceback" not in errors
    subprocess.run(_command(tmp_path), check=True, capture_output=True)
    assert json.loads((tmp_path / "run" / "run.json").read_text())["results"]["accuracy"] > 0.5
    _same(tmp_path, uninterrupted[0])


@pytest.mark.slow
def test_resume_must_and_never(tmp_path, uninterrupted):
    refused = subprocess.run(_command(tmp_path, "--resume=must"), capture_output=True, text=True, check=False)
    assert refused.returncode == 2
    assert "--resume=must" in refused.stderr
    assert "checkpoint" in refused.stderr
    shutil.copytree(uninterrupted[0] / "run", tmp_path / "run")
    (tmp_path / "run" / "checkpoints" / "step-9999999999.npz").write_bytes(b"not to be looked at")
    restarted = subprocess.run(
        _command(tmp_path, "--resume=never"), capture_output=True, text=True, check=True
    )
    assert "epoch 1/4 done" in restarted.stdout
    _same(tmp_path, uninterrupted[0])
