"""What a dataset is to this package, wherever it comes from. Imports no TensorFlow."""

import dataclasses
import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Protocol

from keras_resnet.data.sources.split_names import mentioned_role

if TYPE_CHECKING:
    import numpy as np
    import tensorflow as tf


# Classes that a summary names.
_MAX_NAMES = 10
# Most pixels of an image that is decoded: Pillow's limit, too, beyond which it suspects a decompression bomb.
MAX_PIXELS = 178_956_970


class Read(Protocol):
    """Reads the images of a split, every `step`-th from position `start` of their order on.

    Images before and between are skipped without being read: an unreadable one among them must count, or all
    positions behind it would shift.
    """

    def __call__(
        self, key: "tf.Tensor | None", start: "tf.Tensor | int" = 0, step: int = 1
    ) -> "tf.data.Dataset": ...


@dataclasses.dataclass(frozen=True)
class Split:
    """The images of one part of a dataset, each with an index of its own, 0..size-1.

    Args:
        name: the split's name in its dataset.
        size: number of images.
        read: takes a key: None for a fixed order, or a pair of integers that alone decides the order. Returns
            a tf.data.Dataset of (index int64, image, label), where the image is an encoded file (a scalar
            string) or pixels, uint8 (H, W, C), and the label int64, or float32 (classes,) of 0 and 1 in a
            multi-label dataset.
        describe: takes an index and returns where that image is stored, for messages.
        paths: file of each image, by its index, in bytes, since names may not be UTF-8; None where images are
            not files of their own.
        labels: of all images in the order of their indices, where they are known without reading any.
    """

    name: str
    size: int
    read: Read
    describe: Callable[[int], str]
    paths: Sequence[bytes] | None = None
    labels: "Sequence[int] | np.ndarray | None" = dataclasses.field(default=None, repr=False, compare=False)


@dataclasses.dataclass(frozen=True)
class Dataset:
    """A dataset of labeled images.

    Args:
        name: a folder, or the name in the catalog it comes from.
        class_names: name of each class, in the order of the labels.
        image_shape: (H, W, C), with None for sizes that vary.
        train: images to train on.
        validation: images, never trained on, that choose: the learning rate's drops and the best epoch.
        hflip: whether an image flipped left to right still belongs to its class.
        test: images that neither train nor choose, for the figure that is reported; None where there are
            none.
        fingerprint: hash of the content, where the name does not say which images these are; it makes a run
            another one.
        multi_label: whether an image has any number of labels, instead of one class.
        label_counts: of a multi-label dataset, the number of training images with each label.
    """

    name: str
    class_names: tuple[str, ...]
    image_shape: tuple[int | None, int | None, int]
    train: Split
    validation: Split
    hflip: bool
    test: Split | None = None
    fingerprint: str | None = None
    multi_label: bool = False
    label_counts: tuple[int, ...] = ()

    @property
    def channels(self) -> int:
        """Channels of the images: 1 (gray) or 3 (RGB)."""
        return self.image_shape[-1]

    def summary(self) -> str:
        """Returns its classes and splits: "2 classes (cat, dog), 20 training, 4 validation (val) images".

        Of a multi-label dataset: "2 labels (cat 12, dog 14), 1.30 an image, 20 training, ...".
        """
        names = list(self.class_names[:_MAX_NAMES])
        if self.multi_label and self.label_counts:
            names = [f"{name} {count:,}" for name, count in zip(names, self.label_counts, strict=False)]
        named = ", ".join(names)
        rest = len(self.class_names) - _MAX_NAMES
        if rest > 0:
            named += f" and {rest:,} more"
        splits = {"training": self.train, "validation": self.validation, "test": self.test}
        counts = [
            f"{split.size:,} {_role(role, split)}" for role, split in splits.items() if split is not None
        ]
        kind, density = ("labels" if self.multi_label else "classes"), ""
        if self.multi_label and self.label_counts:
            density = f", {sum(self.label_counts) / self.train.size:.2f} an image"
        return f"{len(self.class_names):,} {kind} ({named}){density}, {', '.join(counts)} images"

    @property
    def validates_on_test(self) -> bool:
        """Whether the validation images are those of the test split, which measure and should not choose."""
        return self.test is None and mentioned_role(self.validation.name) == "test"

    @property
    def reported_split(self) -> Split:
        """The split that an evaluation reports: test, or validation where there is no test split."""
        return self.test or self.validation

    def describe_roles(self) -> str:
        """Returns what validation and test are for, as a clause."""
        validation = f"{_role('validation', self.validation)} is looked at after each epoch"
        if self.test is None:
            return f"{validation} and is reported, for there is no test split"
        return f"{validation}; {_role('test', self.test)} is read once, after the training, and is reported"


def _role(role: str, split: Split) -> str:
    """Returns "validation", or "validation (val)" where the split is called so."""
    return role if split.name in (role, "train") else f"{role} ({split.name})"


def held_out_count(size: int, fraction: float) -> int:
    """Returns how many images of a class to hold out: at least one, but never the last to train on."""
    return min(size - 1, max(1, round(fraction * size)))


def max_left_out(count: int, max_fraction: float) -> int:
    """Returns how many of some images may be left out as unusable: at least one, but never all."""
    return min(count - 1, max(1, math.floor(max_fraction * count)))


def shuffled_indices(count: int, key: "tf.Tensor | None") -> "tf.Tensor":
    """Returns 0..count-1, int64: in order for None, else in an order that the key's two integers decide."""
    import tensorflow as tf

    indices = tf.range(count, dtype=tf.int64)
    return indices if key is None else tf.random.experimental.stateless_shuffle(indices, key)
