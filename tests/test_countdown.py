from keras_resnet import countdown
from keras_resnet.countdown import Countdown


def test_a_count_is_told_with_the_time_left_until_all_are_done(monkeypatch):
    monkeypatch.setattr(countdown, "_SECONDS_BETWEEN_LINES", -1)
    lines = []
    count = Countdown(3000, lines.append, "pictures")
    for _ in range(3):
        count.add(1000)
    assert [line.split(", about ")[0] for line in lines] == [
        "1,000 of 3,000 pictures",
        "2,000 of 3,000 pictures",
    ]
    assert all(line.endswith(" left") for line in lines)
