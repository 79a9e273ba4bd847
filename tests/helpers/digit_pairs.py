"""Images with several labels, of real scans: two digits side by side, whose labels are both."""

import csv

import numpy as np
import PIL.Image
from sklearn.datasets import load_digits


def digit_pairs(count, classes=4, seed=0):
    """Returns images (count, 16, 16, 1) uint8 and labels (count, classes) float32.

    On each side there is one of the digits below `classes` or, for a quarter of the sides, none.
    """
    digits = load_digits()
    pool = np.flatnonzero(digits.target < classes)
    random = np.random.default_rng(seed)
    images, labels = np.zeros((count, 16, 16, 1), "uint8"), np.zeros((count, classes), "float32")
    for index in range(count):
        for side in range(2):
            if random.random() < 0.75:
                chosen = random.choice(pool)
                scan = np.uint8(digits.images[chosen] * 15.9)
                images[index, 4:12, 8 * side : 8 * side + 8, 0] = scan
                labels[index, digits.target[chosen]] = 1
    return images, labels


def write_digit_pairs(folder, count=120, classes=4, *, separator=";", splits=None, seed=0):
    """Writes such images as PNG files and a table of them, and returns its path.

    Args:
        separator: of the labels in a cell; None: a column of 0 and 1 for each.
        splits: of each image, where the table says so.
    """
    folder.mkdir(parents=True, exist_ok=True)
    images, labels = digit_pairs(count, classes, seed)
    names = [f"digit {digit}" for digit in range(classes)]
    header = ["path", *(names if separator is None else ["labels"]), *(["split"] if splits else [])]
    rows = []
    for index, (pixels, own) in enumerate(zip(images, labels, strict=True)):
        PIL.Image.fromarray(pixels[..., 0]).save(folder / f"{index:03}.png")
        present = [names[label] for label in np.flatnonzero(own)]
        cells = [int(value) for value in own] if separator is None else [separator.join(present)]
        rows.append([f"{index:03}.png", *cells, *([splits[index]] if splits else [])])
    with (folder / "labels.csv").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([header, *rows])
    return str(folder / "labels.csv")
