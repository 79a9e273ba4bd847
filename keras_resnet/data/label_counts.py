"""How many images of each class a split has."""

import numpy as np

from keras_resnet.data.dataset import Split

_BATCH = 4096


def label_counts(split: Split, classes: int) -> np.ndarray:
    """Counts the images of each class, (classes,), without decoding any.

    Images are read where their labels are not known otherwise; those that cannot be are not counted.
    """
    if split.labels is not None:
        return np.bincount(np.asarray(split.labels, "int64"), minlength=classes)
    counts = np.zeros(classes, "int64")
    labels = split.read(None).map(lambda index, image, label: label).ignore_errors().batch(_BATCH)
    for batch in labels.as_numpy_iterator():
        counts += np.bincount(batch, minlength=classes)
    return counts
