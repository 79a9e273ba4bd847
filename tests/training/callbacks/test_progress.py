import logging

from keras_resnet.training.callbacks import progress
from keras_resnet.training.callbacks.progress import LineLogger


def test_lines_within_an_epoch_say_where_it_is(monkeypatch, caplog):
    caplog.set_level(logging.INFO)
    monkeypatch.setattr(progress, "_SECONDS_BETWEEN_LINES", 0)
    log = LineLogger()
    log.set_params({"steps": 5, "epochs": 2})
    log.on_epoch_begin(1)
    log.on_train_batch_end(2, {"loss": 0.25})
    assert caplog.messages == ["epoch 2/2 step 3/5: loss=0.25"]
