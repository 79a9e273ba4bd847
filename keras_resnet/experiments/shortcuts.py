"""The shortcut options beside each other, and beside no shortcut (section 4.1, Tables 2 and 3)."""

import functools
import itertools
import statistics
import time
from collections.abc import Mapping, Sequence

from keras_resnet.experiments.nets import convolutional_net
from keras_resnet.experiments.trainings import Outcome, Setup, Training, last_errors, with_spread
from keras_resnet.training.step import Steps

# What is printed of each option, and the option.
OPTIONS = {"plain": None, "A": "A", "B": "B", "C": "C"}
_ROUNDS, _STEPS = 7, 5


def trainings(depth: int, seeds: int, policy: str | None = None) -> list[Training]:
    """All options with all seeds; every option once before any has a second seed."""
    return [
        Training(
            name,
            f"{depth} layers, {policy}",
            seed,
            functools.partial(convolutional_net, depth, option, policy=policy),
        )
        for seed in range(seeds)
        for name, option in OPTIONS.items()
    ]


def seconds_a_step(setup: Setup, depth: int, policy: str | None = None) -> dict[str, list[float]]:
    """Time of a training step of each option, several measurements by turns."""
    images = setup.images(0)
    mean = images.mean(per_pixel=setup.view.whole)
    batches = images.training_batches(setup.recipe.batch_size, 1, mean)
    with setup.bad_images.told():
        given = list(itertools.islice(batches, 2))
    nets = {
        name: Steps(convolutional_net(depth, option, images, policy), setup.recipe)
        for name, option in OPTIONS.items()
    }
    for steps in nets.values():
        for batch in given:
            steps.train(*batch)
    times: dict[str, list[float]] = {name: [] for name in nets}
    for _ in range(_ROUNDS):
        for name, steps in nets.items():
            start = time.perf_counter()
            for batch in itertools.islice(itertools.cycle(given), _STEPS):
                steps.train(*batch)
            times[name].append((time.perf_counter() - start) / _STEPS)
    return times


def last_test_errors(outcomes: Sequence[Outcome]) -> dict[str, list[float]]:
    """The last test error of each seed in percent, by option."""
    return {name: last_errors(outcomes, name, "val_error") for name in OPTIONS}


def table(outcomes: Sequence[Outcome], times: Mapping[str, Sequence[float]]) -> str:
    """Markdown: what each option costs and brings."""
    lines = [
        "| shortcut | seeds | training error, % | test error, % | parameters | MACs | ms a step (range) |",
        "|---|---|---|---|---|---|---|",
    ]
    for name, test in last_test_errors(outcomes).items():
        first = next(outcome for outcome in outcomes if outcome.group == name)
        low, middle, high = (1000 * pick(times[name]) for pick in (min, statistics.median, max))
        training = with_spread(last_errors(outcomes, name, "error"))
        lines.append(
            f"| {name} | {len(test)} | {training} | {with_spread(test)} | "
            f"{first.parameters:,} | {first.macs:,} | {middle:.1f} ({low:.1f} to {high:.1f}) |"
        )
    return "\n".join(lines)


def verdict(outcomes: Sequence[Outcome]) -> str:
    """What was seen, in words."""
    test = last_test_errors(outcomes)
    ranked = sorted(test, key=lambda name: statistics.fmean(test[name]))
    order = ", ".join(f"{name} {with_spread(test[name])}%" for name in ranked)
    best, others = ranked[0], ranked[1:]
    if min(map(len, test.values())) < 2:
        return f"By test error: {order}. One seed cannot tell whether that is chance; give --seeds=2 or more."
    apart = [name for name in others if min(test[name]) > max(test[best])]
    if not apart:
        return f"By test error: {order}. No option has all its seeds behind those of {best}."
    together = [name for name in others if name not in apart]
    rest = f"; {' and '.join(together)} cannot be told from it" if together else ""
    return (
        f"By test error: {order}. Every seed of {best} is ahead of every one of {' and '.join(apart)}{rest}."
    )
