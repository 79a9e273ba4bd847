import json
import os
import subprocess
import sys

import pytest
from helpers.errors import refused

from keras_resnet._utils import environment
from keras_resnet._utils.environment import (
    require_engine,
    require_installed_backend,
    require_tensorflow_backend,
    set_backend,
)

_SCRIPT = "from keras_resnet._utils.environment import prepare; print(prepare())"


def _prepared(**settings):
    environment = {**os.environ, **settings}
    if not settings:
        environment.pop("TF_ENABLE_ONEDNN_OPTS", None)
    command = [sys.executable, "-c", _SCRIPT]
    return subprocess.run(command, capture_output=True, text=True, check=True, env=environment).stdout


def test_variables_of_the_environment_stay():
    sentence = _prepared(TF_ENABLE_ONEDNN_OPTS="0", TF_NUM_INTRAOP_THREADS="1")
    assert "TF_ENABLE_ONEDNN_OPTS=0, TF_NUM_INTRAOP_THREADS=1" in sentence


def test_training_turns_onednn_on():
    assert "TF_ENABLE_ONEDNN_OPTS=1" in _prepared()


@pytest.fixture
def before_keras(monkeypatch, tmp_path):
    """As if Keras were not imported yet, and its folder of settings were this one."""
    monkeypatch.delitem(sys.modules, "keras", raising=False)
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    monkeypatch.delenv("KERAS_BACKEND", raising=False)
    return tmp_path


@pytest.mark.parametrize("backend", ["torch", "jax", "numpy", "openvino", "tensorflw", "TensorFlow"])
def test_another_backend_of_keras_is_refused(monkeypatch, before_keras, backend):
    monkeypatch.setenv("KERAS_BACKEND", backend)
    with refused(None, f"KERAS_BACKEND={backend}"):
        require_tensorflow_backend()


def test_so_is_that_of_keras_settings(monkeypatch, before_keras):
    require_tensorflow_backend()
    (before_keras / "keras.json").write_text(json.dumps({"backend": "torch"}))
    with refused(None, "KERAS_BACKEND=torch"):
        require_tensorflow_backend()
    monkeypatch.setenv("KERAS_BACKEND", "tensorflow")
    require_tensorflow_backend()
    (before_keras / "keras.json").write_text("{")
    monkeypatch.delenv("KERAS_BACKEND")
    require_tensorflow_backend()


def test_models_need_a_backend_that_is_installed(monkeypatch, before_keras):
    installed = ["tensorflow", "jax"]
    monkeypatch.setattr(environment.importlib.util, "find_spec", lambda name: name in installed or None)
    for backend in ("tensorflow", "jax"):
        monkeypatch.setenv("KERAS_BACKEND", backend)
        require_installed_backend()
    for backend in ("torch", "openvino", "tensorflw"):
        monkeypatch.setenv("KERAS_BACKEND", backend)
        with refused(None, f"KERAS_BACKEND={backend}"):
            require_installed_backend()


class Keras:
    class config:
        backend = staticmethod(lambda: "jax")


def test_a_process_has_one_backend(monkeypatch, before_keras):
    monkeypatch.setenv("KERAS_BACKEND", "tensorflow")
    set_backend("jax")
    require_engine()
    assert os.environ["KERAS_BACKEND"] == "jax"
    with refused("backend", "torch"):
        set_backend("torch")
    monkeypatch.setitem(sys.modules, "keras", Keras)
    set_backend("jax")
    with refused("backend", "tensorflow"):
        set_backend("tensorflow")


def test_no_engine_is_for_torch(monkeypatch, before_keras):
    monkeypatch.setenv("KERAS_BACKEND", "torch")
    with refused(None, "KERAS_BACKEND=torch"):
        require_engine()


def test_and_that_of_a_keras_that_is_imported(monkeypatch):
    monkeypatch.setenv("KERAS_BACKEND", "tensorflow")
    monkeypatch.setitem(sys.modules, "keras", Keras)
    with refused(None, "KERAS_BACKEND=jax"):
        require_tensorflow_backend()


@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        ("fpu avx512f avx512_bf16 amx_tile", True),
        ("fpu amx_bf16", True),
        ("fpu avx2 avx512f avx512_vnni", False),
        ("", False),
    ],
)
def test_processors_that_compute_bfloat16_are_known_by_their_flags(tmp_path, flags, expected):
    file = tmp_path / "cpuinfo"
    file.write_text(f"processor\t: 0\nmodel name\t: amx_bf16 in a name\nflags\t\t: {flags}\n")
    assert environment.computes_bfloat16(file) is expected


def test_a_system_without_a_description_is_taken_for_slow(tmp_path):
    assert environment.computes_bfloat16(tmp_path / "cpuinfo") is False
