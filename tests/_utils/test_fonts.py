"""Names in any script, in drawings: no warning of Matplotlib's, and one line where no font has them."""

import logging
import warnings

import matplotlib as mpl
import numpy as np
import pytest
from matplotlib.figure import Figure

from keras_resnet._utils.fonts import fonts_for
from keras_resnet.evaluation.figures import draw_confusion
from keras_resnet.training.callbacks.curves import draw_curves


@pytest.mark.parametrize(
    "name", ["\u732b\u72ac", "\U0001f431", "\u0e41\u0e21\u0e27", "\u05d7\u05ea\u05d5\u05dc", "\ue000", "a\nb"]
)
def test_drawings_with_names_in_any_script_warn_of_nothing(tmp_path, name):
    history = {key: [1.0, 0.5] for key in ("loss", "val_loss", "error", "val_error", "learning_rate")}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        draw_confusion(np.eye(2, dtype=int), [name, "dog"], tmp_path / "confusion.png", name)
        draw_curves(history, tmp_path / "curves.png", name)
    assert (tmp_path / "confusion.png").stat().st_size > 1000


def test_characters_that_no_font_has_are_logged_once(caplog):
    with caplog.at_level(logging.INFO), fonts_for(["\U000f0000\U000f0001", "abc\u00e4"]):
        figure = Figure()
        figure.suptitle("\U000f0000")
        figure.canvas.draw()
    assert len(caplog.messages) <= 1


def test_fonts_of_latin_names_stay():
    before = list(mpl.rcParams["font.family"])
    with fonts_for(["caf\u00e9", "\u039b"]):
        assert mpl.rcParams["font.family"] == before
    assert mpl.rcParams["font.family"] == before
