"""The shortcut options compared with each other and with no shortcuts (section 4.1, Tables 2 and 3)."""

import dataclasses
import functools
import itertools
import logging
import os
import statistics
import time
from collections.abc import Mapping, Sequence
from typing import Any

from keras_resnet._utils.environment import prepare
from keras_resnet.errors import UserError
from keras_resnet.experiments.config import (
    MODELS,
    ExperimentConfig,
    ExperimentResult,
    load_images,
    make_setup,
)
from keras_resnet.experiments.trainings import Outcome, Setup, Training, last_errors, with_spread
from keras_resnet.models.architectures import is_cifar_depth
from keras_resnet.runs.options import make_config, option
from keras_resnet.runs.provenance import command_of, versions

_LOG = logging.getLogger(__name__)
_CLAIM = (
    "Shortcuts without parameters (option A) are enough to address degradation; projections where dimensions "
    "grow (B) or everywhere (C) are slightly better, for more parameters (He et al. 2015, section 4.1)."
)
_FIGURE = "shortcuts.png"
DEFAULTS: dict[str, Any] = {
    "num_validations": 5,
    "iterations": 600,
    "batch_size": 128,
    "learning_rate": 0.1,
}
# Name and value of each option.
OPTIONS = {"plain": None, "A": "A", "B": "B", "C": "C"}
_ROUNDS, _STEPS = 7, 5


@dataclasses.dataclass(frozen=True)
class ShortcutsConfig(ExperimentConfig):
    """Shortcut options A, B and C and no shortcuts, trained alike."""

    iterations: int | None = option(
        None, "Number of steps of each training. Default: 600.", "int", minimum=20, group="Trainings"
    )
    batch_size: int | None = option(
        None, "Number of images of a step. Default: 128.", "int", minimum=1, group="Trainings"
    )
    learning_rate: float | None = option(
        None, "Peak learning rate. Default: 0.1.", "float", above=0, group="Trainings"
    )
    output_dir: str | os.PathLike = option(
        "saved_models/experiments/shortcuts",
        "Folder of the experiment; the same call resumes in it.",
        group="Trainings",
    )
    depth: int = option(20, "Number of layers, 6n+2.", "int", group=MODELS)


def run(config: ShortcutsConfig | None = None, **fields: Any) -> ExperimentResult:
    """Trains the models that are not trained yet, measures a step of each, and writes figure, page and
    numbers.

    Args:
        config, fields: of `ShortcutsConfig`.

    Raises:
        UserError: a field cannot be used.
        Interrupted: by SIGINT or SIGTERM; the same call resumes.
    """
    config = make_config(ShortcutsConfig, config, fields)
    if not is_cifar_depth(config.depth):
        raise UserError(
            "must be 6n+2 (8, 14, 20, ...) for a CIFAR network.", parameter="depth", value=config.depth
        )
    dataset = load_images(config)
    environment = prepare()
    setup = make_setup(config, dataset, **DEFAULTS)

    from keras_resnet.experiments.figures import draw_options
    from keras_resnet.experiments.report import write_report
    from keras_resnet.experiments.trainings import run_trainings
    from keras_resnet.runs.build import dtype_policy

    _LOG.info(environment)
    policy = dtype_policy(config.mixed_precision)
    outcomes = run_trainings(setup, trainings(config.depth, config.seeds, policy))
    _LOG.info("Measuring the time of a step, in turns.")
    times = measure_step_seconds(setup, config.depth, policy)
    found = ExperimentResult(setup.folder, table(outcomes, times), verdict(outcomes))
    title = f"Shortcut options: {config.depth} layers on {dataset.name}"
    draw_options(last_validation_errors(outcomes), setup.folder / _FIGURE, title)
    about = {
        "command": command_of(config, "experiment shortcuts"),
        "versions": versions(),
        "seconds_per_step": times,
    }
    write_report(setup, outcomes, title=title, claim=_CLAIM, result=found, figure=_FIGURE, about=about)
    return found


def trainings(depth: int, seeds: int, policy: str | None = None) -> list[Training]:
    """All options with all seeds; every option once before any has a second seed."""
    from keras_resnet.experiments.models import convolutional_model

    return [
        Training(
            name,
            f"{depth} layers, {policy}",
            seed,
            functools.partial(convolutional_model, depth, option, policy=policy),
        )
        for seed in range(seeds)
        for name, option in OPTIONS.items()
    ]


def measure_step_seconds(setup: Setup, depth: int, policy: str | None = None) -> dict[str, list[float]]:
    """Seconds of a training step of each option, several measurements in turns."""
    from keras_resnet.experiments.models import convolutional_model
    from keras_resnet.training.engines import default_engine

    pipeline = setup.pipeline(0)
    mean = pipeline.mean(per_pixel=setup.per_pixel)
    with setup.decode_errors.translate():
        batches = list(itertools.islice(pipeline.train_batches(setup.recipe.batch_size, 1, mean), 2))
    functions = {
        name: default_engine().make_steps(convolutional_model(depth, option, pipeline, policy), setup.recipe)
        for name, option in OPTIONS.items()
    }
    for steps in functions.values():
        for batch in batches:
            steps.train_step(*batch)
    times: dict[str, list[float]] = {name: [] for name in functions}
    for _ in range(_ROUNDS):
        for name, steps in functions.items():
            start = time.perf_counter()
            for batch in itertools.islice(itertools.cycle(batches), _STEPS):
                steps.train_step(*batch)
            times[name].append((time.perf_counter() - start) / _STEPS)
    return times


def last_validation_errors(outcomes: Sequence[Outcome]) -> dict[str, list[float]]:
    """The last validation error of each seed in percent, by option."""
    return {name: last_errors(outcomes, name, "val_error") for name in OPTIONS}


def table(outcomes: Sequence[Outcome], times: Mapping[str, Sequence[float]]) -> str:
    """What each option costs and brings, as Markdown."""
    lines = [
        "| shortcut | seeds | training error, % | validation error, % | parameters | MACs | ms per step "
        "(range) |",
        "|---|---|---|---|---|---|---|",
    ]
    for name, test in last_validation_errors(outcomes).items():
        first = next(outcome for outcome in outcomes if outcome.group == name)
        low, middle, high = (1000 * pick(times[name]) for pick in (min, statistics.median, max))
        training = with_spread(last_errors(outcomes, name, "error"))
        lines.append(
            f"| {name} | {len(test)} | {training} | {with_spread(test)} | {first.parameters:,} | "
            f"{first.macs:,} | {middle:.1f} ({low:.1f} to {high:.1f}) |"
        )
    return "\n".join(lines)


def verdict(outcomes: Sequence[Outcome]) -> str:
    """Says which options differ by more than their seeds."""
    test = last_validation_errors(outcomes)
    ranked = sorted(test, key=lambda name: statistics.fmean(test[name]))
    order = ", ".join(f"{name} {with_spread(test[name])}%" for name in ranked)
    best, others = ranked[0], ranked[1:]
    if min(map(len, test.values())) < 2:
        return (
            f"By validation error: {order}. One seed cannot tell whether that is chance; use seeds=2 or more."
        )
    apart = [name for name in others if min(test[name]) > max(test[best])]
    if not apart:
        return f"By validation error: {order}. No option has all its seeds behind those of {best}."
    together = [name for name in others if name not in apart]
    rest = f"; {' and '.join(together)} cannot be distinguished from it" if together else ""
    others_apart = " and ".join(apart)
    return (
        f"By validation error: {order}. Every seed of {best} is ahead of every one of {others_apart}{rest}."
    )
