import pytest

from keras_resnet.cli.main import main


def _inspect(capsys, *flags):
    assert main(["inspect", *flags]) == 0
    return capsys.readouterr().out


@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        (
            ["--depth=50"],
            ["56x56x256       3", "7x7x2048       3", "25,557,032", "3.86e9 here, 3.8e9 in the paper"],
        ),
        (["--depth=34", "--shortcut=A"], ["21,623,848", "3.64e9 here, 3.6e9 in the paper", "25.03%"]),
        (["--depth=34", "--plain"], ["21,623,848", "3.64e9 here, 3.6e9 in the paper", "28.54%"]),
        (["--depth=110"], ["1,727,962", "1.73M here, 1.7M in the paper", "6.43%"]),
        (
            ["--depth=50", "--variant=v1.5"],
            ["4,089,184,256", "The paper reports nothing about this architecture"],
        ),
        (["--depth=20", "--image_size=8", "--channels=1"], ["8x8x1, 10 classes", "2x2x64"]),
    ],
)
def test_table(capsys, flags, expected):
    out = _inspect(capsys, *flags)
    for text in expected:
        assert text in out
