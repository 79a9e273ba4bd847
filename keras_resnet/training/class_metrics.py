"""Metrics in which every class counts the same, however many images it has."""

import numpy as np

CLASS_METRICS = ("macro_f1", "balanced_accuracy")


def class_metrics(images: np.ndarray, predictions: np.ndarray, hits: np.ndarray) -> dict[str, float]:
    """Returns `macro_f1`, the mean F1 of the classes, and `balanced_accuracy`, their mean recall, 0..1.

    As in scikit-learn, classes without images have no recall, and those without predictions as well no F1.

    Args:
        images: number of images of each class, (classes,).
        predictions: how often it was predicted, (classes,).
        hits: how often it was predicted for its own images, (classes,).
    """
    found = images > 0
    either = found | (predictions > 0)
    return {
        "macro_f1": float(np.mean(2 * hits[either] / (images + predictions)[either])),
        "balanced_accuracy": float(np.mean(hits[found] / images[found])),
    }


def confusion_metrics(confusion: np.ndarray) -> dict[str, float]:
    """Returns the same of a confusion matrix, (classes, classes), whose rows are the true classes."""
    return class_metrics(confusion.sum(axis=1), confusion.sum(axis=0), np.diag(confusion))
