"""Two processes on this machine stand in for two machines."""

import contextlib
import json
import os
import pathlib
import signal
import socket
import subprocess
import sys
import time

import numpy as np
import pytest

SCRIPT = pathlib.Path(__file__).parents[1] / "helpers" / "train_digits.py"
ROOT = pathlib.Path(__file__).parents[2]
# More than an epoch of 30.
STEPS = 35


def _ports(count):
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]


@contextlib.contextmanager
def _workers(*commands):
    """The commands as workers of one cluster; none of them outlives the test."""
    addresses = [f"127.0.0.1:{port}" for port in _ports(len(commands))]
    running = []
    for index, command in enumerate(commands):
        config = {"cluster": {"worker": addresses}, "task": {"type": "worker", "index": index}}
        running.append(
            subprocess.Popen(
                [sys.executable, *map(str, command)],
                env={**os.environ, "TF_CONFIG": json.dumps(config)},
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
        )
    try:
        yield running
    finally:
        for process in running:
            process.kill()
            process.communicate()


def _wait(*processes, seconds=300):
    results = [process.communicate(timeout=seconds) for process in processes]
    for process, (_, errors) in zip(processes, results, strict=True):
        assert process.returncode == 0, errors[-3000:]
    return results


def _command(runs, epochs):
    """A training for all workers, with a checkpoint after every step."""
    flags = [
        "--depth=8",
        f"--epochs={epochs}",
        "--batch_size=48",
        "--checkpoint_minutes=0",
        "--log=plain",
        "--export=",
    ]
    return [ROOT / "train.py", *flags, f"--output_dir={runs}", "--run_name=run"]


def _wait_for_a_checkpoint(runs, workers):
    """Until there is one inside an epoch."""
    deadline = time.monotonic() + 200
    while not list((runs / "run" / "checkpoints").glob("step-*[1-9].npz")):
        assert time.monotonic() < deadline
        assert all(worker.poll() is None for worker in workers), workers[0].communicate()[1][-3000:]
        time.sleep(0.1)


@pytest.fixture(params=["tensorflow", "jax"], autouse=True)
def engine(request, monkeypatch):
    monkeypatch.setenv("KERAS_BACKEND", request.param)
    monkeypatch.setenv("JAX_ENABLE_X64", "1")
    return request.param


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    """One process, with TensorFlow."""
    file = tmp_path_factory.mktemp("alone") / "losses.json"
    environment = {**os.environ, "KERAS_BACKEND": "tensorflow"}
    command = [sys.executable, SCRIPT, file, "", f"--steps={STEPS}"]
    subprocess.run(command, check=True, capture_output=True, env=environment)
    return json.loads(file.read_text())


@pytest.mark.slow
@pytest.mark.parametrize("gradient_accumulation_steps", [1, 3])
def test_two_machines_train_as_one(tmp_path, alone, gradient_accumulation_steps):
    files = [tmp_path / f"losses{i}.json" for i in range(2)]
    extra = [
        "--arrays",  # JAX keeps all of them on each device
        f"--gradient_accumulation_steps={gradient_accumulation_steps}",
        f"--steps={STEPS if gradient_accumulation_steps == 1 else 5}",
    ]
    with _workers(*([SCRIPT, file, tmp_path / "checkpoints", *extra] for file in files)) as workers:
        _wait(*workers)
    first, second = (json.loads(file.read_text()) for file in files)
    assert first == second  # to the last digit
    assert first["devices"] == 2
    if gradient_accumulation_steps > 1:  # batch norm normalizes a third of the batch: another curve
        assert all(map(np.isfinite, first["losses"]))
        return
    assert len(first["losses"]) == STEPS
    np.testing.assert_allclose(first["losses"], alone["losses"], rtol=1e-4)
    for name, values in alone["history"].items():
        np.testing.assert_allclose(first["history"][name], values, rtol=1e-4, err_msg=name)


@pytest.mark.slow
@pytest.mark.parametrize("victim", [0, 1])
def test_a_dead_worker_stops_the_other_and_the_same_command_resumes(tmp_path, engine, victim):
    runs = tmp_path / "runs"
    command = _command(runs, epochs=3)
    with _workers(command, command) as workers:
        _wait_for_a_checkpoint(runs, workers)
        workers[victim].send_signal(signal.SIGKILL)
        start = time.monotonic()
        _, errors = workers[1 - victim].communicate(timeout=90)
        assert time.monotonic() - start < 60
        assert workers[1 - victim].returncode not in (0, None)
        if engine == "tensorflow" or victim != 0:
            assert "Rerun the same command" in errors
        else:  # JAX ends the process itself, when its coordinator is gone
            assert "JAX distributed service detected fatal errors" in errors
        assert "Traceback" not in errors
    with _workers(command, command) as workers:
        _wait(*workers)
    assert json.loads((runs / "run" / "run.json").read_text())["results"]["accuracy"] > 0.5


@pytest.mark.slow
def test_workers_stop_together_when_one_gets_a_signal(tmp_path):
    runs = tmp_path / "runs"
    command = _command(runs, epochs=200)
    with _workers(command, command) as workers:
        _wait_for_a_checkpoint(runs, workers)
        workers[1].send_signal(signal.SIGTERM)
        results = [worker.communicate(timeout=60) for worker in workers]
        assert [worker.returncode for worker in workers] == [143, 143], results
