"""`TrainConfig.class_weight`: how often the loss of an image of each class counts."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

from keras_resnet.data.dataset import Dataset
from keras_resnet.errors import UserError, format_value

if TYPE_CHECKING:
    import numpy as np

BALANCED = "balanced"


def check_class_weight(class_weight: str | Mapping[str, float] | None, dataset: Dataset) -> None:
    """Refuses weights of classes that a dataset does not have.

    Raises:
        UserError: with the classes that it has.
    """
    if not isinstance(class_weight, Mapping):
        return
    for name in class_weight:
        if name not in dataset.class_names:
            raise UserError(
                f"{dataset.name} has no class {name!r}; it has {', '.join(dataset.class_names)}.",
                parameter="class_weight",
                value=class_weight,
            )


def class_weights(class_weight: str | Mapping[str, float] | None, dataset: Dataset) -> list[float] | None:
    """Returns the weight of each class in the order of the labels, or None if all count the same."""
    if class_weight is None:
        return None
    if isinstance(class_weight, Mapping):
        return [class_weight.get(name, 1.0) for name in dataset.class_names]
    from keras_resnet.data.label_counts import label_counts

    return balanced_weights(label_counts(dataset.train, len(dataset.class_names)))


def balanced_weights(counts: "np.ndarray") -> list[float]:
    """Returns weights in inverse proportion to numbers of images, which are 1 on average over the images.

    As scikit-learn's `compute_class_weight("balanced")`: n / (classes * n of the class). A class without
    images gets 1.
    """
    import numpy as np

    present = counts > 0
    mean = counts.sum() / present.sum()
    return np.where(present, mean / np.maximum(counts, 1), 1.0).tolist()


def describe_class_weight(class_weight: str | Mapping[str, float] | None) -> str:
    """Returns what weights mean in a few words; empty for none."""
    if class_weight is None:
        return ""
    if class_weight == BALANCED:
        return "balanced: the loss of an image counts in inverse proportion to its class's images"
    return f"the loss of an image counts by its class: {format_value(class_weight)}; 1 for others"
