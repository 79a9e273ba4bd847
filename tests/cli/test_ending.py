"""How a command ends when something ends it."""

import errno
import os
import signal
import subprocess
import sys
import threading
import types

import pytest
from helpers.running import run_command

from keras_resnet.cli import main
from keras_resnet.cli.commands import weights


def _raise(error):
    def run():
        raise error

    return run


@pytest.fixture
def command(monkeypatch):
    """Make `keras-resnet weights` do something else."""

    def replace(run):
        module = types.SimpleNamespace(FLAGS=main.flags.FlagValues(), run=run)
        monkeypatch.setattr(main.importlib, "import_module", lambda name: module)
        return ["weights"]

    return replace


def test_sigterm_has_its_status(command):
    before = signal.getsignal(signal.SIGTERM)
    assert main.main(command(lambda: signal.raise_signal(signal.SIGTERM))) == 143
    assert signal.getsignal(signal.SIGTERM) is before


def test_ctrl_c_has_its_status(command, capsys):
    # Raised, and not sent: a shell has processes in the background ignore the signal.
    assert main.main(command(_raise(KeyboardInterrupt()))) == 130
    assert capsys.readouterr().err == "\nkeras-resnet weights: interrupted.\n"


def test_a_fault_of_ours_ends_the_process_though_a_thread_is_at_work():
    script = """
import sys, threading, types
from keras_resnet.cli import main

def run():
    threading.Thread(target=threading.Event().wait).start()
    raise RuntimeError("a fault")

module = types.SimpleNamespace(FLAGS=main.flags.FlagValues(), run=run)
main.importlib.import_module = lambda name: module
sys.modules["tensorflow"] = types.ModuleType("tensorflow")  # whose threads are waited for
main.run_and_exit(["weights"])
"""
    result = subprocess.run(
        [sys.executable, "-c", script],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env=os.environ,
    )
    assert result.returncode == 1
    assert result.stderr.endswith("RuntimeError: a fault\n")
    assert "Traceback" in result.stderr


@pytest.mark.parametrize("arguments", [["weights"], ["weights", "--json"], ["inspect", "--help"], ["--help"]])
def test_who_reads_no_further_gets_no_traceback(arguments):
    reader, writer = os.pipe()
    os.close(reader)
    buffered = {**os.environ, "PYTHONUNBUFFERED": ""}
    try:
        result = run_command(
            *arguments, capture_output=False, stdout=writer, stderr=subprocess.PIPE, env=buffered
        )
    finally:
        os.close(writer)
    assert (result.returncode, result.stderr) == (0, "")


def test_an_error_of_the_disk_is_a_sentence_with_the_file(monkeypatch, capsys):
    monkeypatch.setattr(weights, "run", _raise(OSError(errno.ENOSPC, "No space left on device", "a.csv")))
    assert main.main(["weights"]) == 2
    assert capsys.readouterr().err == "keras-resnet weights: a.csv: No space left on device.\n"


def test_a_command_can_be_called_outside_the_main_thread(capsys):
    statuses = []
    thread = threading.Thread(target=lambda: statuses.append(main.main(["weights"])))
    thread.start()
    thread.join()
    assert statuses == [0]
