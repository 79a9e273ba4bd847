"""The figures of the experiments; brightness, dashes and marks tell their lines apart, also in gray."""

import itertools
import os
import statistics
from collections.abc import Mapping, Sequence

import matplotlib as mpl
from matplotlib.figure import Figure

from keras_resnet._utils.atomic import atomic_write
from keras_resnet.evaluation.responses import Response
from keras_resnet.experiments.degradation import KINDS, group
from keras_resnet.experiments.trainings import Outcome

_MARKS = "osD^v"


def draw_degradation(
    outcomes: Sequence[Outcome], depths: Sequence[int], steps: int, path: str | os.PathLike, title: str
) -> None:
    """Draws error against iterations, plain networks on the left and residual ones on the right, as Fig. 6.

    Dashed is training and solid is validation; the mean of the seeds, with a band from the least to the
    largest.

    Args:
        steps: between two values of a history.
    """
    figure = Figure(figsize=(10, 4.2), layout="constrained")
    figure.suptitle(title, parse_math=False)
    panels = figure.subplots(1, 2, sharey=True)
    for axes, kind in zip(panels, KINDS, strict=True):
        for color, mark, depth in zip(_shades(len(depths)), itertools.cycle(_MARKS), depths, strict=False):
            some = [outcome.history for outcome in outcomes if outcome.group == group(kind, depth)]
            for key, dashes, label in (("error", "--", None), ("val_error", "-", f"{depth} layers")):
                values = [[100 * value for value in history[key]] for history in some]
                at = [steps * place for place in range(1, len(values[0]) + 1)]
                mean = [statistics.fmean(one) for one in zip(*values, strict=True)]
                low, high = ([end(one) for one in zip(*values, strict=True)] for end in (min, max))
                axes.fill_between(at, low, high, color=color, alpha=0.25, linewidth=0)
                axes.plot(at, mean, dashes, color=color, marker=mark, markersize=4, label=label)
        axes.set_title(f"{kind} networks")
        axes.set_xlabel("iterations")
        axes.grid(alpha=0.3)
        axes.legend(title="solid: validation, dashed: training", fontsize=8, title_fontsize=8)
    panels[0].set_ylabel("top-1 error (%)")
    panels[0].set_ylim(bottom=0)
    _save(figure, path)


def draw_options(errors: Mapping[str, Sequence[float]], path: str | os.PathLike, title: str) -> None:
    """Draws the validation error of each shortcut option: a mark for each seed, and a line at their mean.

    Args:
        errors: in percent, one a seed.
    """
    figure = Figure(figsize=(6, 3.6), layout="constrained")
    axes = figure.subplots()
    axes.set_title(title, parse_math=False)
    for place, (mark, values) in enumerate(zip(_MARKS, errors.values(), strict=False)):
        axes.plot([place] * len(values), values, mark, color="#1b4f72", markersize=6, markerfacecolor="none")
        axes.hlines(statistics.fmean(values), place - 0.2, place + 0.2, color="black", linewidth=1.5)
    axes.set_xticks(range(len(errors)), list(errors))
    axes.set_xlim(-0.6, len(errors) - 0.4)
    axes.set_ylabel("validation error (%)")
    axes.grid(axis="y", alpha=0.3)
    _save(figure, path)


def draw_responses(responses: Mapping[str, Sequence[Response]], path: str | os.PathLike) -> None:
    """Draws the standard deviation of each 3x3 layer's response, in layer order and sorted, as Fig. 7."""
    figure = Figure(figsize=(9, 6.5), layout="constrained")
    iterate_once, by_size = figure.subplots(2, 1)
    for place, (name, layers) in enumerate(responses.items()):
        values = [layer.std for layer in layers]
        style = {
            "color": _shades(len(responses))[place],
            "linestyle": ("-", "--", ":", "-.")[place % 4],
            "marker": _MARKS[place % len(_MARKS)],
            "markersize": 3,
            "linewidth": 1,
        }
        iterate_once.plot(range(1, len(values) + 1), values, label=name, **style)
        by_size.plot(range(1, len(values) + 1), sorted(values, reverse=True), label=name, **style)
    for axes, label in ((iterate_once, "layer, in order"), (by_size, "layer, sorted by magnitude")):
        axes.set_xlabel(label)
        axes.set_ylabel("std of the response")
        axes.set_ylim(bottom=0)
        axes.grid(alpha=0.3)
        for text in axes.legend(fontsize=8).get_texts():
            text.set_parse_math(False)
    _save(figure, path)


def _shades(count: int) -> list:
    """This many colors of one hue, from light to dark."""
    shades = mpl.colormaps["Blues"]
    return [shades(0.45 + 0.55 * place / max(count - 1, 1)) for place in range(count)]


def _save(figure: Figure, path: str | os.PathLike) -> None:
    with atomic_write(path) as written:
        figure.savefig(written, dpi=120)
