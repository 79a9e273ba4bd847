"""The learning rate by the paper's numbers, and by hand."""

import dataclasses
import math

import pytest

from keras_resnet.training.estimates import describe_batch, describe_schedule, describe_unfreezing
from keras_resnet.training.recipes import RECIPES, Recipe
from keras_resnet.training.schedule import LearningRate


def test_cifar_drops_at_32k_and_48k():
    rate = LearningRate(RECIPES["cifar"], 391)
    steps = (0, 31_999, 32_000, 47_999, 48_000, 63_999)
    assert [rate.at(step) for step in steps] == pytest.approx([0.1, 0.1, 0.01, 0.01, 0.001, 0.001])
    assert RECIPES["cifar"].total_steps(391) == 64_000
    assert RECIPES["cifar"].total_epochs(391) == 164


def test_cifar110_warms_up_until_the_training_error_is_below_80_percent():
    rate = LearningRate(RECIPES["cifar110"], 391)
    for _ in range(500):
        rate.after_step(0.9)
        assert rate.at(100) == pytest.approx(0.01)
    steps = 0
    while rate.at(600) < 0.1:
        rate.after_step(0.6)
        steps += 1
    assert 1 < steps < 50  # a mean over steps, not one lucky batch
    rate.after_step(1.0)
    rate.after_step(1.0)
    assert rate.at(601) == pytest.approx(0.1)  # once is enough


def test_plateau_divides_by_ten_three_times():
    rate = LearningRate(Recipe("this test", 10, epochs=100, learning_rate=0.5, patience=3), 10)
    errors = [0.5, 0.4, *[0.4] * 3, 0.39995, *[0.4] * 20]
    drops = [rate.after_epoch(error) for error in errors]
    # The best is 0.4, of the second epoch; 0.39995 is noise. Every third epoch after it, three times.
    assert [i for i, dropped in enumerate(drops) if dropped] == [4, 7, 10]
    assert rate.at(0) == pytest.approx(0.5e-3)


def test_one_cycle_goes_up_and_down():
    recipe = dataclasses.replace(RECIPES["modern"], epochs=10, learning_rate=0.4, warmup_epochs=2.5)
    rate = LearningRate(recipe, 100)
    rates = [rate.at(step) for step in range(1000)]
    assert max(rates) == rates[250] == pytest.approx(0.4)
    assert rates[0] == pytest.approx(0.4 / 251)
    assert rates[125] == pytest.approx(0.4 * 126 / 251)
    assert rates[625] == pytest.approx(0.2)
    assert rates[999] == pytest.approx(0.2 * (1 + math.cos(math.pi * 749 / 750)))
    assert rates == sorted(rates[:251]) + sorted(rates[251:], reverse=True)


def test_its_state_is_its_fields():
    recipe = Recipe("this test", 10, epochs=100, patience=2)
    rate = LearningRate(recipe, 10)
    for error in (0.5, 0.6, 0.6, 0.6):
        rate.after_epoch(error)
    copy = LearningRate(recipe, 10, **dataclasses.asdict(rate))
    assert (copy.at(5), copy.num_bad_epochs, copy.best_error) == (rate.at(5), 1, 0.5)
    assert copy.after_epoch(0.6)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("cifar", "0.1 to step 32,000, 0.01 to step 48,000, 0.001 to step 64,000"),
        ("cifar110", "0.01 until the training error is below 80%, then 0.1 to step 32,000"),
        ("plateau", "0.1, divided by 10 after 10 epochs without a lower validation error"),
        ("modern", "from 0 to 0.1 in 391 steps, then half a cosine from 0.1 to 0 at step 11,730"),
    ],
)
def test_schedules_in_words(name, text):
    assert describe_schedule(RECIPES[name], 391).startswith(text)


def test_phases_begin_at_a_step():
    recipe = dataclasses.replace(RECIPES["finetune"], epochs=0, iterations=1003)
    # At 0.2 and 0.5 of 1003 steps: 200.6 and 501.5.
    assert recipe.phases(45) == {0: "head", 201: "conv4", 502: "conv1"}
    thirds = dataclasses.replace(
        recipe, unfreeze=tuple((stage, 1 / 3) for stage in ("head", "conv3", "conv1"))
    )
    assert thirds.phases(45) == {0: "head", 334: "conv3", 669: "conv1"}
    # Of two steps the first two phases begin at the first one; and none begins when all are done.
    assert dataclasses.replace(recipe, iterations=2).phases(45) == {0: "conv4", 1: "conv1"}
    assert dataclasses.replace(recipe, iterations=1).phases(45) == {0: "conv1"}
    assert RECIPES["plateau"].phases(45) == {}


def test_unfreezing_in_words():
    assert describe_unfreezing(RECIPES["finetune"], 45) == (
        "head to step 180, from conv4 on to step 450, from conv1 on to step 900"
    )
    assert not describe_unfreezing(RECIPES["plateau"], 45)


def test_batches_in_words():
    assert describe_batch(RECIPES["imagenet"], 8, 2) == "256 = 8 devices x 32, in 2 parts of 16"
    assert describe_batch(RECIPES["cifar"], 1, 1) == "128"
