import os
import subprocess
import sys

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
