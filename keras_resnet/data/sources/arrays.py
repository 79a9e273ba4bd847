"""Datasets in memory: arrays of pixels and labels. Imports no TensorFlow until they are read."""

import dataclasses
import functools
import hashlib
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from keras_resnet.data.dataset import Dataset, Split, shuffled_indices
from keras_resnet.data.sources.hold_out import hold_out
from keras_resnet.errors import UserError

if TYPE_CHECKING:
    import tensorflow as tf

Arrays = tuple[np.ndarray, np.ndarray]


def from_arrays(
    train: Arrays,
    validation: Arrays | None = None,
    test: Arrays | None = None,
    *,
    class_names: Sequence[str] | None = None,
    name: str = "arrays",
    validation_fraction: float = 0.1,
    hflip: bool = True,
) -> Dataset:
    """Makes a dataset of pixels and labels in memory.

    Shapes: each split is a pair of images (N, H, W, 1 or 3) or (N, H, W), whole pixels from 0 to 255, and
    labels (N,) or (N, 1), integers from 0 on, or one-hot labels (N, classes). Lists and the arrays of other
    libraries are taken as NumPy takes them.

    Args:
        train: images to train on, at least one of each class.
        validation: images that choose learning rate drops and the best epoch; None: a part of each class of
            the training images, always the same ones, is held out.
        test: images for the reported figure only.
        class_names: name of each class, in the order of the labels; None: "0", "1", ...
        name: name of the dataset, for messages and in the settings of a run.
        validation_fraction: fraction of each class that is held out where there is no `validation`.
        hflip: whether an image flipped left to right still belongs to its class.

    Raises:
        UserError: an array has another shape or type, pixels are scaled to 0..1 or have fractions, a label is
            out of range or a class without training images.
    """
    splits = {"train": _checked("train", train)}
    for split, arrays in (("validation", validation), ("test", test)):
        if arrays is not None:
            splits[split] = _checked(split, arrays)
    names = _class_names(class_names, max(int(labels.max()) for _, labels in splits.values()) + 1)
    shape = splits["train"][0].shape[1:]
    for split, (images, labels) in splits.items():
        if labels.max() >= len(names):
            raise UserError(
                f"has the label {labels.max()}, and there are {len(names)} class names.", parameter=split
            )
        if images.shape[1:] != shape:
            raise UserError(
                f"has images of shape {images.shape[1:]}, and the training images have {shape}.",
                parameter=split,
            )
    missing = sorted(set(range(len(names))) - set(splits["train"][1].tolist()))
    if missing:
        raise UserError(f"has no image of the class {names[missing[0]]!r}.", parameter="train")
    if validation is None:
        splits["train"], splits["validation"] = _hold_out(*splits["train"], validation_fraction)
    made = {split: split_from_arrays(split, *arrays) for split, arrays in splits.items()}
    return Dataset(
        name, names, shape, made["train"], made["validation"], hflip, made.get("test"), _fingerprint(splits)
    )


def split_from_arrays(name: str, images: np.ndarray, labels: np.ndarray) -> Split:
    """Makes a split of images (N, H, W, C) uint8 and labels (N,)."""

    def describe(index: int) -> str:
        return f"image {index} of {name}"

    return Split(name, len(images), ArrayReader(images, labels), describe, labels=labels)


@dataclasses.dataclass(frozen=True, eq=False)
class ArrayReader:
    """Reads images (N, H, W, C) uint8 and labels (N,) in memory, as a split's `read`."""

    images: np.ndarray
    labels: np.ndarray

    def __call__(
        self, key: "tf.Tensor | None", start: "tf.Tensor | int" = 0, step: int = 1
    ) -> "tf.data.Dataset":
        import tensorflow as tf

        pixels, classes = self._tensors
        return tf.data.Dataset.from_tensor_slices(shuffled_indices(len(self.images), key)[start::step]).map(
            lambda index: (index, pixels[index], classes[index])
        )

    @functools.cached_property
    def _tensors(self) -> "tuple[tf.Tensor, tf.Tensor]":
        import tensorflow as tf

        # Outside the graph that may be reading them: a graph cannot hold more than 2 GB.
        with tf.init_scope(), tf.device("CPU"):
            return tf.constant(self.images), tf.constant(self.labels, tf.int64)


def _checked(split: str, arrays: Any) -> Arrays:
    """Returns images (N, H, W, C) uint8 and labels (N,) int64."""
    if isinstance(arrays, tuple | list) and len(arrays) == 3:
        raise UserError(
            "has a third part, as fit takes for sample weights, which a training does not use; leave it out.",
            parameter=split,
        )
    try:
        images, labels = (np.asarray(array) for array in arrays)
    except (TypeError, ValueError) as error:
        raise UserError(
            "must be a pair of arrays, images of one size and labels; training.train takes tf.data.",
            parameter=split,
        ) from error
    images, labels = _pixels(split, images), _integers(split, labels)
    if len(labels) != len(images):
        raise UserError(f"has {len(images)} images and {len(labels)} labels.", parameter=split)
    if labels.min() < 0:
        raise UserError(f"has the label {labels.min()}; labels count from 0.", parameter=split)
    return images, labels


def _pixels(split: str, images: np.ndarray) -> np.ndarray:
    """Returns (N, H, W, C) uint8, also from other types of numbers, where none changes."""
    if images.ndim == 3:
        images = images[..., np.newaxis]
    if (
        images.dtype.kind not in "iuf"
        or images.ndim != 4
        or images.shape[-1] not in (1, 3)
        or not images.size
    ):
        raise UserError(
            "must have images of shape (N, H, W, 1 or 3) or (N, H, W), pixels from 0 to 255; got "
            f"{images.shape} of {images.dtype}.",
            parameter=split,
        )
    if images.dtype == np.uint8:
        return images
    lowest, highest = images.min(), images.max()
    if images.dtype.kind == "f" and lowest >= -1 and highest <= 1:
        raise UserError(
            f"has {images.dtype} images from {lowest:g} to {highest:g}, which are scaled already; the model "
            "scales pixels itself: pass them as they were, from 0 to 255.",
            parameter=split,
        )
    if not (lowest >= 0 and highest <= 255):  # NaN is neither
        raise UserError(f"must have pixels from 0 to 255; got {lowest:g} to {highest:g}.", parameter=split)
    pixels = images.astype("uint8")
    if (pixels != images).any():
        raise UserError(
            f"has {images.dtype} images with fractions; a dataset holds whole pixels: round them.",
            parameter=split,
        )
    return pixels


def _integers(split: str, labels: np.ndarray) -> np.ndarray:
    """Returns labels (N,) int64; one-hot vectors become the class that they mark."""
    if labels.ndim == 2 and labels.shape[1] == 1:
        labels = labels[:, 0]
    whole = labels.dtype.kind in "iu" or (labels.dtype.kind == "f" and (labels == np.floor(labels)).all())
    if whole and labels.ndim == 1 and np.isfinite(labels).all():
        return labels.astype("int64")
    if whole and labels.ndim == 2 and (labels.sum(axis=1) == 1).all() and set(np.unique(labels)) <= {0, 1}:
        return labels.argmax(axis=1)
    raise UserError(
        "must have labels of shape (N,) or (N, 1), integers, or one-hot labels of shape (N, classes); got "
        f"{labels.shape} of {labels.dtype}.",
        parameter=split,
    )


def _fingerprint(splits: Mapping[str, Arrays]) -> str:
    digest = hashlib.sha256()
    for array in (array for arrays in splits.values() for array in arrays):
        digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()[:16]


def _class_names(names: Sequence[str] | None, classes: int) -> tuple[str, ...]:
    if names is None:
        names = tuple(map(str, range(classes)))
    if len(names) < 2:
        raise UserError(f"there must be two classes or more; got {len(names)}.", parameter="class_names")
    for one in names:
        if not isinstance(one, str) or not one.strip() or set("\r\n") & set(one):
            raise UserError(f"each must be one line that is not empty; got {one!r}.", parameter="class_names")
    if len(set(names)) < len(names):
        raise UserError("must be different from each other.", parameter="class_names", value=tuple(names))
    return tuple(names)


def _hold_out(images: np.ndarray, labels: np.ndarray, fraction: float) -> tuple[Arrays, Arrays]:
    """Holds out the images of each class whose indices hash lowest: random, and the same on every machine."""
    if not 0 < fraction < 1:
        raise UserError("must be between 0 and 1, as 0.1.", parameter="validation_fraction", value=fraction)
    is_held_out = np.array(hold_out(labels.tolist(), list(map(str, range(len(labels)))), fraction))
    if not is_held_out.any():
        raise UserError(
            "has one image of each class, and needs two or more of one for some to be held out; add images, "
            "or pass a validation split.",
            parameter="train",
        )
    return (images[~is_held_out], labels[~is_held_out]), (images[is_held_out], labels[is_held_out])
