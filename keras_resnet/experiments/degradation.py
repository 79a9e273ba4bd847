"""Plain nets get worse with depth, residual nets do not (section 1, Fig. 1; section 4.2, Fig. 6)."""

import functools
import statistics
from collections.abc import Sequence

from keras_resnet.experiments.nets import convolutional_net, dense_net
from keras_resnet.experiments.trainings import Outcome, Training, last_errors, with_spread

# What the nets are called, and their shortcut options.
KINDS = {"plain": None, "residual": "A"}


def trainings(depths: Sequence[int], seeds: int, *, dense: bool, policy: str | None = None) -> list[Training]:
    """All nets with all seeds; every net once before any has a second seed.

    Args:
        dense: nets of dense blocks, or the CIFAR nets.
        policy: of the CIFAR nets, as of `build_classifier`.
    """
    build = dense_net if dense else functools.partial(convolutional_net, policy=policy)
    layers = "fully connected" if dense else f"convolutional, {policy}"
    return [
        Training(group(kind, depth), layers, seed, functools.partial(build, depth, shortcut))
        for seed in range(seeds)
        for depth in depths
        for kind, shortcut in KINDS.items()
    ]


def group(kind: str, depth: int) -> str:
    """What the trainings of a net are called."""
    return f"{kind}-{depth}"


def verdict(outcomes: Sequence[Outcome], depths: Sequence[int]) -> str:
    """What was seen, in words: the training error of the deepest against the shallowest net of each kind.

    Two nets are told apart where every seed of one is on the same side of every seed of the other.
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
            f"The {kind} net of {deep} layers {what} of {shallow} layers ({with_spread(more)}% and "
            f"{with_spread(less)}%)."
        )
    if min(len(seeds) for pair in errors.values() for seeds in pair) < 2:
        sentences.append("One seed cannot tell whether that is chance: give --seeds=2 or more.")
        return " ".join(sentences)
    plain, residual = (more for _, more in errors.values())
    if min(plain) > max(residual):
        sentences.append(
            f"With {deep} layers, shortcuts bring the training error from {with_spread(plain)}% down to "
            f"{with_spread(residual)}%: what the plain net lacks is not capacity, and it does not overfit."
        )
    return " ".join(sentences)


def table(outcomes: Sequence[Outcome], depths: Sequence[int]) -> str:
    """Markdown: the last errors of each net."""
    lines = [
        "| net | layers | parameters | seeds | training error, % | test error, % | seconds a training |",
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
