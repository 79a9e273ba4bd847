from keras_resnet.training import progress
from keras_resnet.training.progress import Countdown, PlainLog


def test_a_plain_log_says_where_it_is_within_an_epoch(monkeypatch, capsys):
    monkeypatch.setattr(progress, "_SECONDS_A_LINE", 0)
    log = PlainLog()
    log.set_params({"steps": 5, "epochs": 2})
    log.on_epoch_begin(1)
    log.on_train_batch_end(2, {"loss": 0.25})
    assert capsys.readouterr().out == "epoch 2/2 step 3/5: loss=0.25\n"


def test_a_count_is_told_with_the_time_left_until_all_are_done(monkeypatch):
    monkeypatch.setattr(progress, "_SECONDS_BETWEEN_LINES", -1)
    lines = []
    count = Countdown(3000, lines.append, "pictures")
    for _ in range(3):
        count.add(1000)
    assert [line.split(", about ")[0] for line in lines] == [
        "1,000 of 3,000 pictures",
        "2,000 of 3,000 pictures",
    ]
    assert all(line.endswith(" left") for line in lines)
