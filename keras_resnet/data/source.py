"""What a dataset is to this package, wherever it comes from. Imports no TensorFlow."""

import dataclasses
from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import tensorflow as tf


# Pixels of an image; what Pillow, too, takes for an attempt to fill the memory.
LARGEST = 178_956_970


class Read(Protocol):
    """Gives the images of a split, or every `step`-th from a position of their order on.

    Those before and between are not read: one that cannot be would count for none, and move all behind it.
    """

    def __call__(
        self, key: "tf.Tensor | None", start: "tf.Tensor | int" = 0, step: int = 1
    ) -> "tf.data.Dataset": ...


@dataclasses.dataclass(frozen=True)
class Split:
    """The images of one part of a dataset, each with an index of its own, 0..size-1.

    Args:
        name: what the dataset calls it.
        size: number of images.
        read: takes None for an order that is always the same, or a pair of integers for an order that depends
            on them alone; gives tf.data of (index int64, image, label int64), where the image is an encoded
            file (a scalar string) or pixels, uint8 (H, W, C). Of that order it gives every `step`-th image
            from position `start` on.
        describe: where the image of an index lies, for messages.
    """

    name: str
    size: int
    read: Read
    describe: Callable[[int], str]


@dataclasses.dataclass(frozen=True)
class Source:
    """A dataset of labelled images.

    Args:
        name: as the user gave it.
        class_names: name of each class, in the order of the labels.
        image_shape: (H, W, C), with None for sizes that vary.
        train: images to train on.
        test: images that are never trained on.
        mirrored: whether an image's mirror image is one of the same class.
    """

    name: str
    class_names: tuple[str, ...]
    image_shape: tuple[int | None, int | None, int]
    train: Split
    test: Split
    mirrored: bool

    @property
    def channels(self) -> int:
        return self.image_shape[-1]
