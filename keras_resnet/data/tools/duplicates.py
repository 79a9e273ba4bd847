"""Finds images that are in a dataset more than once, also when they were encoded or scaled again."""

import collections
import dataclasses
import hashlib
import pathlib
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import PIL.Image

# Side of the thumbnails that are compared, and of their blocks that are compared before all of one.
_SIDE, _BLOCK = 16, 4
# Two images are nearly identical where their thumbnails differ by less than this share of the contrast of
# either (root mean squares over pixels and channels). Of images of 28 or 32 pixels, JPEG of quality 75 makes
# a difference of 0.03 in the mean and 0.08 at most; a crop of 98% in each direction one of 0.24. The closest
# two of 20,000 images of CIFAR-10 that are not one picture differ by more than 0.2. Fashion-MNIST has 91
# groups within this among 70,000: garments of one cut.
_MAX_DIFFERENCE = 0.08
# Below this contrast in gray levels, only identical pixels count: all empty pages look alike.
_MIN_CONTRAST = 2.0
# Images compared with all others at a time.
_ROWS = 512


class Sketch(NamedTuple):
    """What tells whether two images are the same: a hash of all pixels, and a thumbnail (16, 16, 3) uint8."""

    digest: bytes
    thumbnail: np.ndarray


@dataclasses.dataclass(frozen=True)
class Duplicate:
    """An image that is not the only one of its kind.

    Args:
        path: of the file.
        split: name of its split, and None where the folder has no clear splits.
        class_name: its class, and None where the folder has no clear classes.
        version: equal for images of a group with identical pixels, 0, 1, ...
    """

    path: pathlib.Path
    split: str | None
    class_name: str | None
    version: int


@dataclasses.dataclass(frozen=True)
class DuplicateGroup:
    """Images that are all one picture, in the order of the files; each is like one other at least."""

    images: tuple[Duplicate, ...]

    @property
    def is_identical(self) -> bool:
        """Whether all have the same pixels; otherwise some were encoded or scaled again."""
        return len({image.version for image in self.images}) == 1

    @property
    def splits(self) -> list[str]:
        """The splits they are in; with two or more, one of them tests what another one taught."""
        return sorted({image.split for image in self.images if image.split is not None})

    @property
    def classes(self) -> list[str]:
        """The classes they are in."""
        return sorted({image.class_name for image in self.images if image.class_name is not None})

    @property
    def is_contradictory(self) -> bool:
        """Whether identical pixels are in two classes, of which one must be wrong."""
        classes = collections.defaultdict(set)
        for image in self.images:
            classes[image.version].add(image.class_name)
        return any(len(names) > 1 for names in classes.values())


def sketch(image: PIL.Image.Image) -> Sketch:
    """Returns the sketch of an image, upright and RGB."""
    digest = hashlib.blake2b(repr(image.size).encode() + image.tobytes(), digest_size=16).digest()
    small = image.resize((_SIDE, _SIDE), PIL.Image.Resampling.BILINEAR, reducing_gap=4.0)
    return Sketch(digest, np.asarray(small))


def find_groups(sketches: Sequence[Sketch]) -> list[list[tuple[int, int]]]:
    """Returns groups of (index, version) of images that are the same; equal versions have identical pixels.

    Pictures that were encoded again, scaled or turned upright by EXIF are the same; crops, flips and changes
    of colors are not.
    """
    equal: dict[bytes, list[int]] = {}
    for index, one in enumerate(sketches):
        equal.setdefault(one.digest, []).append(index)
    versions = list(equal.values())
    parents = list(range(len(versions)))

    def root(version: int) -> int:
        while parents[version] != version:
            parents[version] = parents[parents[version]]
            version = parents[version]
        return version

    if versions:
        for one, other in near_pairs(np.stack([sketches[indices[0]].thumbnail for indices in versions])):
            parents[root(int(one))] = root(int(other))
    groups = collections.defaultdict(list)
    for version in range(len(versions)):
        groups[root(version)].append(version)
    found = [
        sorted((index, number) for number, version in enumerate(members) for index in versions[version])
        for members in groups.values()
    ]
    return sorted(group for group in found if len(group) > 1)


def near_pairs(thumbnails: np.ndarray) -> np.ndarray:
    """Returns the pairs of thumbnails that are nearly identical, (pairs, 2) places.

    All such pairs are found. The means of blocks differ by no more than the pixels do, so most thumbnails are
    told apart by their brightness alone, and most others by 48 numbers: 100,000 take seconds.

    Shapes: (N, 16, 16, 3) uint8 -> (pairs, 2) int64.
    """
    count, blocks = len(thumbnails), _SIDE // _BLOCK
    means = np.empty((count, blocks * blocks * 3), "float32")
    contrasts = np.empty(count, "float32")
    for start in range(0, count, _ROWS):
        rows = slice(start, start + _ROWS)
        pixels = thumbnails[rows].astype("float32")
        contrasts[rows] = pixels.std(axis=(1, 2, 3))
        split = pixels.reshape(-1, blocks, _BLOCK, blocks, _BLOCK, 3)
        means[rows] = split.mean(axis=(2, 4)).reshape(len(pixels), -1) - 128
    brightness = means.mean(axis=1)
    order = np.argsort(brightness, kind="stable")
    order = order[contrasts[order] >= _MIN_CONTRAST]
    brightness, limits, means = brightness[order], _MAX_DIFFERENCE * contrasts[order], means[order]
    squares = (means**2).mean(axis=1)
    found = [np.empty((0, 2), "int64")]
    for start in range(0, len(order), _ROWS):
        rows = slice(start, min(start + _ROWS, len(order)))
        farthest = brightness[rows.stop - 1] + limits[rows].max()
        others = slice(start, int(np.searchsorted(brightness, farthest, side="right")))
        products = means[rows] @ means[others].T * (2 / means.shape[1])
        distances = squares[rows, np.newaxis] + squares[others] - products
        limit = np.minimum(limits[rows, np.newaxis], limits[others])
        # With some more than rounding errors of single precision.
        one, other = np.nonzero(distances <= limit**2 + 0.1)
        one, other = one + start, other + start
        one, other = one[one < other], other[one < other]
        found.append(_verified(thumbnails, order[one], order[other], np.minimum(limits[one], limits[other])))
    return np.concatenate(found)


def _verified(thumbnails: np.ndarray, one: np.ndarray, other: np.ndarray, limit: np.ndarray) -> np.ndarray:
    pairs = [np.empty((0, 2), "int64")]
    for start in range(0, len(one), _ROWS):
        rows = slice(start, start + _ROWS)
        difference = thumbnails[one[rows]].astype("float32") - thumbnails[other[rows]]
        near = (difference**2).mean(axis=(1, 2, 3)) <= limit[rows] ** 2
        pairs.append(np.stack([one[rows][near], other[rows][near]], axis=1))
    return np.concatenate(pairs)
