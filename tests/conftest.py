"""Prepares TensorFlow for the tests that import it; those that do not, do not wait for it.

Two logical CPU devices stand in for two GPUs. They can be created only before TensorFlow runs anything, so
that is done as soon as it has been imported.
"""

import importlib.abc
import importlib.util
import os
import sys

import filelock
import pytest
from helpers.running import SHORT, run_train

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
# On CPUs without VNNI, TensorFlow has no convolutions with the channels first otherwise.
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")


class _TwoDevices(importlib.abc.MetaPathFinder):
    """Finds TensorFlow like the import system, and configures it after its first import."""

    def find_spec(self, name, path, target=None):
        if name != "tensorflow":
            return None
        sys.meta_path.remove(self)
        spec = importlib.util.find_spec(name)
        execute = spec.loader.exec_module

        def execute_and_configure(module):
            execute(module)
            (cpu,) = module.config.list_physical_devices("CPU")
            module.config.set_logical_device_configuration(
                cpu, [module.config.LogicalDeviceConfiguration()] * 2
            )

        spec.loader.exec_module = execute_and_configure
        return spec


def pytest_configure():
    if "tensorflow" not in sys.modules:
        sys.meta_path.insert(0, _TwoDevices())


@pytest.fixture(scope="session")
def default_run(tmp_path_factory, worker_id):
    """What `python train.py` prints and leaves."""
    return _trained_once(tmp_path_factory, worker_id, "default_run")


@pytest.fixture(scope="session")
def short_run(tmp_path_factory, worker_id):
    """What `python train.py` prints and leaves with `SHORT`: as the default run, of a smaller model."""
    return _trained_once(tmp_path_factory, worker_id, "short_run", *SHORT)


def _trained_once(tmp_path_factory, worker_id, name, *flags):
    """Trains in whichever process of the tests is first."""
    base = tmp_path_factory.getbasetemp()
    folder = (base if worker_id == "master" else base.parent) / name
    with filelock.FileLock(f"{folder}.lock"):
        if not (folder / "stdout.txt").is_file():
            result = run_train(f"--output_dir={folder}", *flags)
            assert result.returncode == 0, result.stderr
            (folder / "stdout.txt").write_text(result.stdout)
    return (folder / "stdout.txt").read_text(), next(folder.glob("*-A-digits"))
