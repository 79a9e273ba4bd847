import numpy as np
import PIL.Image

from keras_resnet.evaluation.figures import draw_confusion


def test_names_are_no_formulas(tmp_path):
    """matplotlib would take what is between two dollars for one, and fail."""
    names = ["$_$", r"$\foo$", "US$ and A$"]
    draw_confusion(np.eye(3, dtype=int), names, tmp_path / "confusion.png", r"$\bar$ images")
    with PIL.Image.open(tmp_path / "confusion.png") as picture:
        assert min(picture.size) >= 600
