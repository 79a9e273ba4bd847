from keras_resnet._utils import progress
from keras_resnet._utils.progress import ProgressLogger


def test_lines_have_the_time_left_until_all_is_done(monkeypatch):
    monkeypatch.setattr(progress, "_SECONDS_BETWEEN_LINES", -1)
    lines = []
    count = ProgressLogger(3000, log=lines.append, unit="pictures")
    for _ in range(3):
        count.add(1000)
    assert [line.split(", about ")[0] for line in lines] == [
        "1,000 of 3,000 pictures",
        "2,000 of 3,000 pictures",
    ]
    assert all(line.endswith(" left") for line in lines)
