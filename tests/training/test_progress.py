from keras_resnet.training import progress
from keras_resnet.training.progress import PlainLog


def test_a_plain_log_says_where_it_is_within_an_epoch(monkeypatch, capsys):
    monkeypatch.setattr(progress, "_SECONDS_A_LINE", 0)
    log = PlainLog()
    log.set_params({"steps": 5, "epochs": 2})
    log.on_epoch_begin(1)
    log.on_train_batch_end(2, {"loss": 0.25})
    assert capsys.readouterr().out == "epoch 2/2 step 3/5: loss=0.25\n"
