"""Draws what a model gets right and wrong."""

import os
from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure

from keras_resnet._utils.atomic import atomic_write
from keras_resnet._utils.fonts import fonts_for

# Up to so many classes are named and counted in the drawing; more would be too small to read.
_MAX_NAMED = 30


def draw_confusion(
    matrix: np.ndarray, class_names: Sequence[str], path: str | os.PathLike, title: str
) -> None:
    """Draws a confusion matrix as a PNG: in each cell the images, and their share of the true class's.

    The darker, the larger the share.

    Args:
        matrix: counts, rows are the true classes.
        path: the file to write.
    """
    with fonts_for([title, *class_names]):
        figure = _draw(matrix, class_names, title)
        with atomic_write(path) as written:
            figure.savefig(written, dpi=120)


def _draw(matrix: np.ndarray, class_names: Sequence[str], title: str) -> Figure:
    shares = matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1)
    named = len(class_names) <= _MAX_NAMED
    side = max(5.0, 2 + 0.45 * len(class_names)) if named else 8.0
    figure = Figure(figsize=(side, side), layout="constrained")
    axes = figure.subplots()
    axes.set_title(title, parse_math=False)
    # One hue from light to dark, so that it reads the same in gray.
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    axes.set_xlabel("predicted")
    axes.set_ylabel("true")
    if named:
        places = range(len(class_names))
        axes.set_xticks(places, class_names, rotation=90, parse_math=False)
        axes.set_yticks(places, class_names, parse_math=False)
        for row, column in np.argwhere(matrix):
            color = "white" if shares[row, column] > 0.5 else "black"
            text = f"{matrix[row, column]:,}\n{100 * shares[row, column]:.0f}%"
            axes.text(column, row, text, ha="center", va="center", color=color, size=6)
    return figure
