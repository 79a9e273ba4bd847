"""Commands as their user runs them, in a process of their own."""

import pathlib
import subprocess
import sys

# Flags of a training that takes seconds, on the digits.
SHORT = ("--depth=8", "--epochs=8")
_ROOT = pathlib.Path(__file__).parents[2]


def run_train(*flags):
    """`python train.py`, flags and all."""
    command = [sys.executable, _ROOT / "train.py", *flags]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def run_command(*arguments, **options):
    """`keras-resnet`, with a command and its flags."""
    command = [sys.executable, "-m", "keras_resnet", *map(str, arguments)]
    return subprocess.run(command, check=False, **{"capture_output": True, "text": True, **options})
