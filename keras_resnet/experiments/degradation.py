"""Plain nets get worse with depth, residual nets do not (section 1, Fig. 1; section 4.2, Fig. 6)."""

import dataclasses
import functools
import logging
import os
import statistics
from collections.abc import Sequence
from typing import Any

from keras_resnet._utils.environment import prepare
from keras_resnet.errors import UserError
from keras_resnet.experiments.config import (
    MODELS,
    ExperimentConfig,
    ExperimentResult,
    load_images,
    make_setup,
    replaced,
)
from keras_resnet.experiments.trainings import Outcome, Training, last_errors, with_spread
from keras_resnet.models.architectures import is_cifar_depth
from keras_resnet.runs.options import make_config, option
from keras_resnet.runs.provenance import command_of, versions

_LOG = logging.getLogger(__name__)

# Names of the models, and their shortcut options.
KINDS = {"plain": None, "residual": "A"}

_CLAIM = (
    "A deeper plain network has a higher *training* error than a shallower one, although it could copy that "
    "one and add identity layers; residual networks of the same depths do not (He et al. 2015, sections 1 "
    "and 4.2)."
)
_FIGURE = "degradation.png"
# A few epochs are too short for 0.1: the paper starts its network of 110 layers with 0.01.
CONVOLUTIONAL: dict[str, Any] = {
    "num_validations": 6,
    "iterations": 300,
    "batch_size": 128,
    "learning_rate": 0.02,
}
QUICK: dict[str, Any] = {"num_validations": 20, "iterations": 440, "batch_size": 64, "learning_rate": 0.01}
_DEFAULT_DEPTHS, _QUICK_DEPTHS = (20, 56), (20, 62)


@dataclasses.dataclass(frozen=True)
class DegradationConfig(ExperimentConfig):
    """Plain and residual networks of several depths, trained alike."""

    seeds: int = option(
        3, "Number of trainings of each model, with different seeds.", "int", minimum=1, group="Trainings"
    )
    iterations: int | None = option(
        None,
        "Number of steps of each training. Default: 300, and 440 with quick.",
        "int",
        minimum=20,
        group="Trainings",
    )
    batch_size: int | None = option(
        None,
        "Number of images of a step. Default: 128, and 64 with quick.",
        "int",
        minimum=1,
        group="Trainings",
    )
    learning_rate: float | None = option(
        None, "Peak learning rate. Default: 0.02, and 0.01 with quick.", "float", above=0, group="Trainings"
    )
    output_dir: str | os.PathLike = option(
        "saved_models/experiments/degradation",
        "Folder of the experiment; the same call resumes in it.",
        group="Trainings",
    )
    quick: bool = option(
        False, "Train networks of fully connected blocks on the digits, in minutes.", "bool", group=MODELS
    )
    depths: tuple[int, ...] = option(
        (), "Numbers of layers to compare. Default: 20,56, and 20,62 with quick.", "ints", group=MODELS
    )


def run(config: DegradationConfig | None = None, **fields: Any) -> ExperimentResult:
    """Trains the models that are not trained yet, and writes figure, page and numbers.

    Args:
        config, fields: of `DegradationConfig`.

    Raises:
        UserError: a field cannot be used.
        Interrupted: by SIGINT or SIGTERM; the same call resumes.
    """
    config = make_config(DegradationConfig, config, fields)
    if config.quick:
        if config.mixed_precision != "none":
            raise UserError(
                "applies to the convolutional models; leave it out with quick=true.",
                parameter="mixed_precision",
                value=config.mixed_precision,
            )
        config = replaced(
            config,
            dataset="digits",
            output_dir=f"{DegradationConfig.__dataclass_fields__['output_dir'].default}-quick",
        )
    depths = _checked_depths(config)
    dataset = load_images(config)
    defaults = QUICK if config.quick else CONVOLUTIONAL
    environment = prepare()
    setup = make_setup(config, dataset, **defaults, crop_padding=0 if config.quick else None)

    from keras_resnet.experiments.figures import draw_degradation
    from keras_resnet.experiments.report import write_report
    from keras_resnet.experiments.trainings import run_trainings
    from keras_resnet.runs.build import dtype_policy

    _LOG.info(environment)
    policy = dtype_policy(config.mixed_precision)
    outcomes = run_trainings(setup, trainings(depths, config.seeds, dense=config.quick, policy=policy))
    found = ExperimentResult(setup.folder, table(outcomes, depths), verdict(outcomes, depths))
    kind = "fully connected" if config.quick else "convolutional"
    title = f"Degradation: {kind} models on {dataset.name}"
    draw_degradation(outcomes, depths, setup.steps_between_validations, setup.folder / _FIGURE, title)
    write_report(
        setup,
        outcomes,
        title=title,
        claim=_CLAIM,
        result=found,
        figure=_FIGURE,
        about={"command": command_of(config, "experiment degradation"), "versions": versions()},
    )
    return found


def _checked_depths(config: DegradationConfig) -> list[int]:
    depths = sorted(set(config.depths or (_QUICK_DEPTHS if config.quick else _DEFAULT_DEPTHS)))
    if len(depths) < 2:
        raise UserError(
            "must be two depths or more to compare, such as 20,56.", parameter="depths", value=depths
        )
    for depth in depths:
        if config.quick and (depth < 4 or depth % 2):
            raise UserError(
                f"a network of dense blocks has 2n+2 layers (4, 6, 8, ...), not {depth}.",
                parameter="depths",
                value=depths,
            )
        if not config.quick and not is_cifar_depth(depth):
            raise UserError(
                f"a CIFAR network has 6n+2 layers (8, 14, 20, ...), not {depth}.",
                parameter="depths",
                value=depths,
            )
    return depths


def trainings(depths: Sequence[int], seeds: int, *, dense: bool, policy: str | None = None) -> list[Training]:
    """All models with all seeds; every model once before any has a second seed.

    Args:
        dense: networks of dense blocks, or the CIFAR networks.
        policy: of the CIFAR networks, as of `build_classifier`.
    """
    from keras_resnet.experiments.models import convolutional_model, dense_model

    build = dense_model if dense else functools.partial(convolutional_model, policy=policy)
    layers = "fully connected" if dense else f"convolutional, {policy}"
    return [
        Training(group(kind, depth), layers, seed, functools.partial(build, depth, shortcut))
        for seed in range(seeds)
        for depth in depths
        for kind, shortcut in KINDS.items()
    ]


def group(kind: str, depth: int) -> str:
    """Name of the trainings of one model."""
    return f"{kind}-{depth}"


def verdict(outcomes: Sequence[Outcome], depths: Sequence[int]) -> str:
    """Says what the training errors of the deepest and the shallowest model of each kind show.

    Two models differ where every seed of one is on the same side of every seed of the other.
    """
    sentences = []
    shallow, deep = min(depths), max(depths)
    errors = {
        kind: [last_errors(outcomes, group(kind, depth), "error") for depth in (shallow, deep)]
        for kind in KINDS
    }
    for kind, (less, more) in errors.items():
        points = statistics.fmean(more) - statistics.fmean(less)
        if min(more) > max(less):
            what = f"has a training error {points:.1f} points higher than that"
        elif max(more) < min(less):
            what = f"has a training error {-points:.1f} points lower than that"
        else:
            what = f"has a training error that {len(more)} seed(s) cannot tell from that"
        sentences.append(
            f"The {kind} network of {deep} layers {what} of {shallow} layers ({with_spread(more)}% and "
            f"{with_spread(less)}%)."
        )
    if min(len(seeds) for pair in errors.values() for seeds in pair) < 2:
        sentences.append("One seed cannot tell whether that is chance: use seeds=2 or more.")
        return " ".join(sentences)
    plain, residual = (more for _, more in errors.values())
    if min(plain) > max(residual):
        sentences.append(
            f"With {deep} layers, shortcuts bring the training error from {with_spread(plain)}% down to "
            f"{with_spread(residual)}%: the plain network does not lack capacity, and does not overfit."
        )
    return " ".join(sentences)


def table(outcomes: Sequence[Outcome], depths: Sequence[int]) -> str:
    """The last errors of each model, as Markdown."""
    lines = [
        "| model | layers | parameters | seeds | training error, % | validation error, % | seconds a "
        "training |",
        "|---|---|---|---|---|---|---|",
    ]
    for kind in KINDS:
        for depth in depths:
            name = group(kind, depth)
            some = [outcome for outcome in outcomes if outcome.group == name]
            training, test = (with_spread(last_errors(outcomes, name, key)) for key in ("error", "val_error"))
            seconds = statistics.fmean(outcome.seconds for outcome in some)
            lines.append(
                f"| {kind} | {depth} | {some[0].parameters:,} | {len(some)} | {training} | {test} | "
                f"{seconds:.0f} |"
            )
    return "\n".join(lines)
