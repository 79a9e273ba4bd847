import os
import subprocess
import sys

_SCRIPT = "from keras_resnet.training.runtime import prepare; print(prepare())"


def _told(**settings):
    environment = {**os.environ, **settings}
    if not settings:
        environment.pop("TF_ENABLE_ONEDNN_OPTS", None)
    command = [sys.executable, "-c", _SCRIPT]
    return subprocess.run(command, capture_output=True, text=True, check=True, env=environment).stdout


def test_settings_of_the_environment_stay():
    told = _told(TF_ENABLE_ONEDNN_OPTS="0", TF_NUM_INTRAOP_THREADS="1")
    assert "TF_ENABLE_ONEDNN_OPTS=0, TF_NUM_INTRAOP_THREADS=1" in told


def test_training_turns_onednn_on():
    assert "TF_ENABLE_ONEDNN_OPTS=1" in _told()
