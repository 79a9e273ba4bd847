"""The embedded dataset: 1,797 scans of handwritten digits by 13 people, 8x8 pixels of 17 grey levels.

`digits.npz` holds scikit-learn's `load_digits` unchanged: the test set of "Optical Recognition of
Handwritten Digits" by E. Alpaydin and C. Kaynak (1998), UCI Machine Learning Repository, CC BY 4.0.
"""

import importlib.resources
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np

CLASS_NAMES = tuple("0123456789")
IMAGE_SHAPE = (8, 8, 1)
# Every fifth image of each class is a test image: fixed, stratified, and no random numbers to reproduce.
TEST_EVERY = 5
SPLIT_SIZES = {"train": 1442, "test": 355}


def load(split: str) -> "tuple[np.ndarray, np.ndarray]":
    """The images and labels of a split, "train" or "test".

    Shapes: (N, 8, 8, 1) uint8 in 0..255, (N,) int64.
    """
    import numpy as np

    with (importlib.resources.files(__package__) / "digits.npz").open("rb") as file:
        arrays = np.load(file, allow_pickle=False)
        scans, labels = arrays["images"], arrays["labels"].astype("int64")
    images = np.round(scans[..., np.newaxis] * (255 / 16)).astype("uint8")
    is_test = np.zeros(len(labels), bool)
    for label in np.unique(labels):
        is_test[np.flatnonzero(labels == label)[TEST_EVERY - 1 :: TEST_EVERY]] = True
    chosen = is_test == (split == "test")
    return images[chosen], labels[chosen]
