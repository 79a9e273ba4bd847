import numpy as np
import PIL.Image

from keras_resnet.training.callbacks.curves import draw_curves, learning_rate_drops


def test_drops_are_found_with_their_first_epoch():
    assert learning_rate_drops([0.1, 0.1, 0.01, 0.01, 0.001]) == [(3, 0.01), (5, 0.001)]
    assert learning_rate_drops([0.1]) == []
    assert learning_rate_drops([0.1, 0.2]) == []


def test_a_steadily_falling_rate_has_no_drops(tmp_path):
    drawn = []
    for name, factor in (("steady", 1), ("falling", 0.9)):
        errors = [0.9 - epoch / 10 for epoch in range(8)]
        history = dict.fromkeys(("loss", "val_loss", "error", "val_error"), errors)
        history["learning_rate"] = [0.1 * factor**epoch for epoch in range(8)]
        draw_curves(history, tmp_path / f"{name}.png", "curves")
        with PIL.Image.open(tmp_path / f"{name}.png") as picture:
            drawn.append(np.asarray(picture))
    np.testing.assert_array_equal(*drawn)


def test_curves_are_drawn_whatever_the_errors(tmp_path):
    for name, error in (
        ("usual", [0.9, 0.5, 0.1]),
        ("perfect", [0.5, 0.0, 0.0]),
        ("at_once", [0.0, 0.0, 0.0]),
    ):
        history = {
            "loss": [2.0, 1.0, 0.5],
            "val_loss": [2.5, 1.5, 0.7],
            "error": error,
            "val_error": error,
            "learning_rate": [0.1, 0.1, 0.01],
        }
        draw_curves(history, tmp_path / f"{name}.png", rf"${name}_$\foo")
        with PIL.Image.open(tmp_path / f"{name}.png") as picture:
            assert picture.size == (1200, 480)
            assert len(picture.convert("RGB").getcolors(2**20)) > 50
    assert sorted(path.name for path in tmp_path.iterdir()) == ["at_once.png", "perfect.png", "usual.png"]
