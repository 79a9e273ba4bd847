"""Tables and verdicts of outcomes whose numbers are known."""

import statistics

import pytest

from keras_resnet.experiments import degradation, shortcuts
from keras_resnet.experiments.trainings import Outcome, with_spread


def _outcome(group, seed, error, test=0.5):
    history = {"loss": [1.0], "error": [error], "val_loss": [1.0], "val_error": [test]}
    return Outcome(group, seed, history, 10.0, 1234, 5678)


def _outcomes(**errors):
    return [
        _outcome(group.replace("_", "-"), seed, error, error)
        for group, values in errors.items()
        for seed, error in enumerate(values)
    ]


def test_spread_is_the_standard_deviation():
    assert with_spread([1.0, 2.0, 4.0]) == f"{7 / 3:.2f} ± {statistics.stdev([1, 2, 4]):.2f}"
    assert with_spread([3.0]) == "3.00"


@pytest.mark.parametrize(
    ("plain_20", "plain_56", "says"),
    [
        (
            [0.1, 0.12],
            [0.3, 0.2],
            "The plain network of 56 layers has a training error 14.0 points higher than that of 20 layers",
        ),
        (
            [0.3, 0.2],
            [0.1, 0.12],
            "The plain network of 56 layers has a training error 14.0 points lower than that of 20 layers",
        ),
        (
            [0.1, 0.2],
            [0.3, 0.15],
            "has a training error that 2 seed(s) cannot tell from that of 20 layers",
        ),
    ],
)
def test_a_verdict_needs_all_seeds_apart(plain_20, plain_56, says):
    outcomes = _outcomes(
        plain_20=plain_20, plain_56=plain_56, residual_20=[0.1, 0.1], residual_56=[0.05, 0.06]
    )
    text = degradation.verdict(outcomes, (20, 56))
    assert says in text
    assert "The residual network of 56 layers has a training error 4.5 points lower than that of 20" in text
    assert "(5.50 ± 0.71% and 10.00 ± 0.00%)" in text


def test_one_seed_has_no_verdict():
    one = _outcomes(plain_20=[0.1], plain_56=[0.3], residual_20=[0.1], residual_56=[0.05])
    assert degradation.verdict(one, (20, 56)).endswith(
        "One seed cannot tell whether that is chance: use seeds=2 or more."
    )
    options = _outcomes(plain=[0.3], A=[0.1], B=[0.09], C=[0.13])
    assert "Every seed" not in shortcuts.verdict(options)
    assert "use seeds=2 or more" in shortcuts.verdict(options)


def test_table_of_depths():
    outcomes = _outcomes(plain_20=[0.1], plain_56=[0.3], residual_20=[0.1], residual_56=[0.05])
    lines = degradation.table(outcomes, (20, 56)).splitlines()
    assert len(lines) == 6
    assert lines[3] == "| plain | 56 | 1,234 | 1 | 30.00 | 30.00 | 10 |"


def test_options_are_ranked_and_compared():
    outcomes = _outcomes(plain=[0.3, 0.31], A=[0.10, 0.12], B=[0.09, 0.11], C=[0.13, 0.14])
    text = shortcuts.verdict(outcomes)
    assert text.startswith("By validation error: B 10.00 ± 1.41%, A 11.00 ± 1.41%, C")
    assert "Every seed of B is ahead of every one of C and plain; A cannot be distinguished from it." in text
    table = shortcuts.table(outcomes, {name: [0.001, 0.003, 0.002] for name in shortcuts.OPTIONS})
    assert "| C | 2 | 13.50 ± 0.71 | 13.50 ± 0.71 | 1,234 | 5,678 | 2.0 (1.0 to 3.0) |" in table
    same = _outcomes(plain=[0.1, 0.2], A=[0.1, 0.2], B=[0.1, 0.2], C=[0.1, 0.2])
    assert "No option has all its seeds behind those of plain." in shortcuts.verdict(same)
