"""Which images of each class are held out for validation where a dataset holds out none."""

import collections
import hashlib
import unicodedata
from collections.abc import Sequence

from keras_resnet.data.dataset import held_out_count


def hold_out(labels: Sequence[int], groups: Sequence[str], fraction: float) -> list[bool]:
    """Returns for each image whether it is held out.

    Of each class, `held_out_count` images are held out, or fewer where groups do not add up to that. Groups
    are chosen by the hash of their names alone: on every machine the same, in any order, and an image that
    comes or goes hardly moves others.

    Args:
        labels: class of each image.
        groups: group of each image, all of which are held out or none: a patient, or the image's own name.
        fraction: of each class, 0..1.
    """
    sizes: dict[str, collections.Counter[int]] = collections.defaultdict(collections.Counter)
    for label, group in zip(labels, groups, strict=True):
        sizes[group][label] += 1
    training = collections.Counter(labels)  # images of each class that are not held out
    targets = {label: held_out_count(size, fraction) for label, size in training.items()}
    wanted = collections.Counter(targets)  # of these, images that are not held out yet
    of_class: dict[int, list[str]] = collections.defaultdict(list)
    for group in sorted(sizes, key=hash_name):
        for label in sizes[group]:
            of_class[label].append(group)
    held_out: set[str] = set()

    def take(group: str) -> None:
        held_out.add(group)
        training.subtract(sizes[group])
        wanted.subtract(sizes[group])

    # Classes of few groups first, as other classes have more to choose from.
    for label in sorted(of_class, key=lambda label: (len(of_class[label]), label)):
        for group in of_class[label]:
            if wanted[label] <= 0:
                break
            if group not in held_out and all(size <= wanted[other] for other, size in sizes[group].items()):
                take(group)
        if 0 < targets[label] == wanted[label]:
            # All are too large: the smallest of those that leave each class something to train on.
            left = [
                group
                for group in of_class[label]
                if group not in held_out and all(size < training[one] for one, size in sizes[group].items())
            ]
            if left:
                take(min(left, key=lambda group: sizes[group].total()))
    return [group in held_out for group in groups]


def hash_name(name: str) -> bytes:
    """Returns a hash that orders names at random, the same on every machine."""
    # Composed, as macOS stores names otherwise than Linux; a name on the disk may not be UTF-8.
    return hashlib.sha256(unicodedata.normalize("NFC", name).encode(errors="surrogateescape")).digest()
