import numpy as np
import pytest
from sklearn.datasets import load_digits

from keras_resnet.data.sources import digits


def test_embedded_scans_are_those_of_scikit_learn():
    theirs = load_digits()
    ours = {split: digits.load(split) for split in ("train", "test")}
    images = np.concatenate([ours["train"][0], ours["test"][0]])
    rows = sorted(map(bytes, images.reshape(len(images), -1)))
    expected = np.round(theirs.images * 255 / 16).astype("uint8")
    assert rows == sorted(map(bytes, expected.reshape(len(expected), -1)))


@pytest.mark.parametrize("split", ["train", "test"])
def test_labels_belong_to_their_images(split):
    theirs = load_digits()
    label_of = dict(zip(map(bytes, theirs.images.astype("uint8")), theirs.target, strict=True))
    images, labels = digits.load(split)
    scans = np.round(images[..., 0] * (16 / 255)).astype("uint8")
    assert [label_of[bytes(scan)] for scan in scans] == labels.tolist()


def test_split_is_stratified_and_of_the_stated_size():
    counts = {split: np.bincount(digits.load(split)[1]) for split in ("train", "test")}
    assert {split: count.sum() for split, count in counts.items()} == digits.SPLIT_SIZES
    share = counts["test"] / (counts["test"] + counts["train"])
    assert np.all(abs(share - 0.2) < 0.006)
