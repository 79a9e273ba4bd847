import pytest
import tensorflow as tf

from keras_resnet.training.callbacks.tensorboard import Profile


@pytest.mark.parametrize(("steps", "calls"), [(5, []), (15, ["start", "stop"]), (30, ["start", "stop"])])
def test_ten_steps_are_profiled_or_what_there_is_of_them(steps, calls, tmp_path, monkeypatch):
    called = []
    monkeypatch.setattr(tf.profiler.experimental, "start", lambda folder: called.append("start"))
    monkeypatch.setattr(tf.profiler.experimental, "stop", lambda: called.append("stop"))
    profile = Profile(tmp_path)
    for step in range(steps):
        profile.on_train_batch_end(step)
    profile.on_train_end()
    assert called == calls
