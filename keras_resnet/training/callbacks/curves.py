"""A plot of a training: loss and error on both splits, with the drops of the learning rate."""

import itertools
import os
import time
from collections.abc import Mapping, Sequence

import keras
import numpy as np
from matplotlib import ticker
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from keras_resnet._utils.atomic import atomic_write, warn_if_not_written
from keras_resnet._utils.fonts import fonts_for

# Readable in grayscale and by the color-blind: the two lines differ in color, brightness and dashes.
_STYLES = {
    "training": {"color": "#7fb3d5", "linestyle": "--"},
    "validation": {"color": "#1b4f72", "linestyle": "-"},
}

# Time between two drawings, as a multiple of the time that one takes.
_INTERVAL = 20
_MAX_DROPS = 6


def draw_curves(history: Mapping[str, Sequence[float]], path: str | os.PathLike, title: str) -> None:
    """Draws loss and error (%) over the epochs as a PNG file.

    Args:
        history: `loss`, `val_loss`, `error`, `val_error` (0..1) and `learning_rate`, one value per epoch.
        path: the file to write.
        title: of the plot.
    """
    with fonts_for([title]):
        figure = _draw(history, title)
        with warn_if_not_written(path), atomic_write(path) as written:
            figure.savefig(written, dpi=120)


def _draw(history: Mapping[str, Sequence[float]], title: str) -> Figure:
    figure = Figure(figsize=(10, 4), layout="constrained")
    figure.suptitle(title, parse_math=False)  # a dataset may be called $5
    drops = learning_rate_drops(history["learning_rate"])
    if len(drops) > _MAX_DROPS:  # a schedule that falls at every epoch has no single drops
        drops = []
    epochs = range(1, len(history["loss"]) + 1)
    for axes, metric, scale, label in zip(
        figure.subplots(1, 2), ("loss", "error"), (1, 100), ("loss", "top-1 error (%)"), strict=True
    ):
        for name, key in (("training", metric), ("validation", f"val_{metric}")):
            axes.plot(epochs, [scale * value for value in history[key]], label=name, **_STYLES[name])
        _logarithmic(axes)
        for epoch, rate in drops:
            axes.axvline(epoch, color="0.6", linewidth=0.8, linestyle=":")
            axes.text(epoch, 0.98, f" lr {rate:.2g}", transform=axes.get_xaxis_transform(), va="top", size=7)
        axes.set_xlabel("epoch")
        axes.xaxis.set_major_locator(ticker.MaxNLocator(integer=True))
        axes.set_ylabel(label)
        axes.grid(alpha=0.3)
        axes.legend(loc="lower left", fontsize=8)
    return figure


def _logarithmic(axes: Axes) -> None:
    """Sets a logarithmic scale with plain numbers; an error of 0 is clipped at the bottom."""
    values = [value for line in axes.lines for value in np.asarray(line.get_ydata()) if value > 0]
    if not values:
        return
    axes.set_yscale("log", nonpositive="clip")
    axes.set_ylim(bottom=0.9 * min(values))
    axes.yaxis.set_major_locator(ticker.LogLocator(subs=(1, 2, 5)))
    axes.yaxis.set_major_formatter("{x:g}")
    axes.yaxis.set_minor_locator(ticker.NullLocator())


def learning_rate_drops(rates: Sequence[float]) -> list[tuple[int, float]]:
    """Returns (epoch counted from 1, learning rate) of each epoch with a lower rate than the one before."""
    return [
        (epoch + 1, rate)
        for epoch, (before, rate) in enumerate(itertools.pairwise(rates), start=1)
        if rate < before
    ]


class PlotCurves(keras.callbacks.Callback):
    """Draws the curves after each epoch, and at the end.

    Where epochs take less than twenty times as long as drawing, it draws after some of them only.

    Args:
        path: the PNG file to write.
        title: of the plot.
    """

    def __init__(self, path: str | os.PathLike, title: str):
        super().__init__()
        self._path, self._title = path, title
        self._last_drawn, self._seconds = 0.0, 0.0

    def on_epoch_end(self, epoch, logs=None):
        start = time.monotonic()
        if start - self._last_drawn >= _INTERVAL * self._seconds:
            draw_curves(self.params["history"], self._path, self._title)
            self._last_drawn, self._seconds = time.monotonic(), time.monotonic() - start

    def on_train_end(self, logs=None):
        draw_curves(self.params["history"], self._path, self._title)
