"""The embedded dataset: 1,797 scans of handwritten digits by 13 people, 8x8 pixels of 17 gray levels.

`digits.npz` holds scikit-learn's `load_digits` unchanged: the test set of "Optical Recognition of
Handwritten Digits" by E. Alpaydin and C. Kaynak (1998), UCI Machine Learning Repository, CC BY 4.0.
"""

import importlib.resources
from typing import TYPE_CHECKING

from keras_resnet.data.dataset import Dataset, Split

if TYPE_CHECKING:
    import numpy as np

CLASS_NAMES = tuple("0123456789")
IMAGE_SHAPE = (8, 8, 1)
# Every fifth image of each class is held out: fixed, stratified, and no random numbers to reproduce.
TEST_EVERY = 5
SPLIT_SIZES = {"train": 1442, "test": 355}


def digits_dataset() -> Dataset:
    """Describes the digits; their split "test" validates. Imports NumPy and TensorFlow when they are read."""

    def split(name: str) -> Split:
        def read(key, start=0, step=1):
            from keras_resnet.data.sources.arrays import split_from_arrays

            return split_from_arrays(name, *load(name)).read(key, start, step)

        return Split(name, SPLIT_SIZES[name], read, lambda index: f"image {index} of digits' {name}")

    return Dataset(
        name="digits",
        class_names=CLASS_NAMES,
        image_shape=IMAGE_SHAPE,
        train=split("train"),
        validation=split("test"),
        hflip=False,
    )


def load(split: str) -> "tuple[np.ndarray, np.ndarray]":
    """Returns the images and labels of a split, "train" or "test".

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
    selected = is_test == (split == "test")
    return images[selected], labels[selected]
