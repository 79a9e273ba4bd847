"""The names that splits go by, in folders and in TFDS."""

import functools
import re

# In lower case; any case is understood.
SPLIT_NAMES = {
    "train": ("train", "training"),
    "validation": ("validation", "val", "valid"),
    "test": ("test", "testing"),
}


@functools.cache
def split_role(name: str) -> str | None:
    """Returns "train", "validation" or "test", or None for a name that is not a split's."""
    return next((role for role, names in SPLIT_NAMES.items() if name.casefold() in names), None)


def mentioned_role(name: str) -> str | None:
    """Returns the role that a part of a name would have: train for "train2017", "x_train" and "TrainSet"."""
    words = re.findall(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])", name)
    return next(filter(None, map(split_role, words)), None)
