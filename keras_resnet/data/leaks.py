"""Images of the validation or test split that are training images as well. Imports no TensorFlow."""

import collections
import contextlib
import hashlib
import logging
import os
from collections.abc import Callable, Hashable, Sequence
from typing import TypeVar

from keras_resnet.data.dataset import Dataset, Split

_LOG = logging.getLogger(__name__)
_T = TypeVar("_T")

# Of files of equal size, this much in the middle is compared before all of it.
_BLOCK = 4096


def warn_of_leaks(dataset: Dataset) -> None:
    """Logs a line for each split that shares images with the training split: its figure is too good."""
    for role, split in {"validation": dataset.validation, "test": dataset.test}.items():
        leaks = find_leaks(dataset.train, split) if split is not None else []
        if split is None or not leaks:
            continue
        index, same = leaks[0]
        _LOG.warning(
            "%s of the %s %s images are training images as well (%s is %s), so the %s accuracy is too high; "
            "`keras-resnet data validate FOLDER` lists such files.",
            f"{len(leaks):,}",
            f"{split.size:,}",
            role,
            split.describe(index),
            dataset.train.describe(same),
            role,
        )


def find_leaks(train: Split, other: Split) -> list[tuple[int, int]]:
    """Returns the images of a split that are training images as well, as (index, index in training).

    They are equal byte by byte: two arrays, or two files, which are read only as far as their sizes do not
    tell them apart, and not decoded. Images of other sources are not compared.
    """
    if train.paths is not None and other.paths is not None:
        same: list[tuple[list[int], list[int]]] = [(list(range(other.size)), list(range(train.size)))]
        for key in (_size, _middle, _digest):
            same = [group for some in same for group in _matches(*some, other.paths, train.paths, key)]
        return sorted((index, twins[0]) for indices, twins in same for index in indices)
    arrays = [getattr(split.read, "images", None) for split in (train, other)]
    if arrays[0] is None or arrays[1] is None:
        return []
    everything = list(range(other.size)), list(range(train.size))
    same = _matches(
        *everything, arrays[1], arrays[0], lambda image: hashlib.blake2b(image.tobytes()).digest()
    )
    return sorted((index, twins[0]) for indices, twins in same for index in indices)


def _matches(
    ours: Sequence[int],
    theirs: Sequence[int],
    our_images: Sequence[_T],
    their_images: Sequence[_T],
    key: Callable[[_T], Hashable],
) -> list[tuple[list[int], list[int]]]:
    """Returns the indices on either side of each key that both sides have; a key of None is no key."""
    found: dict[Hashable, tuple[list[int], list[int]]] = collections.defaultdict(lambda: ([], []))
    for side, indices, images in ((0, ours, our_images), (1, theirs, their_images)):
        for index in indices:
            one = key(images[index])
            # What is not on the first side cannot be on both.
            if one is not None and (side == 0 or one in found):
                found[one][side].append(index)
    return [both for both in found.values() if both[1]]


def _size(path: bytes) -> int | None:
    with contextlib.suppress(OSError):  # what cannot be read is left to `DecodeErrors`
        return os.stat(path).st_size
    return None


def _middle(path: bytes) -> bytes | None:
    with contextlib.suppress(OSError), open(path, "rb", buffering=0) as file:
        file.seek(max(0, os.fstat(file.fileno()).st_size // 2 - _BLOCK // 2))
        return file.read(_BLOCK)
    return None


def _digest(path: bytes) -> bytes | None:
    with contextlib.suppress(OSError), open(path, "rb") as file:
        return hashlib.file_digest(file, "blake2b").digest()
    return None
