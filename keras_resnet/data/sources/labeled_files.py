"""Image files with labels: what folders and tables have in common. Imports no TensorFlow."""

import logging
import os
import pathlib
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from keras_resnet.data.dataset import Split, shuffled_indices
from keras_resnet.data.sources.image_files import Identity

if TYPE_CHECKING:
    import numpy as np
    import tensorflow as tf

_LOG = logging.getLogger(__name__)

# Images, evenly spread over the files, whose headers tell whether all are gray or of one size.
_MAX_HEADERS = 200


class LabeledFile(NamedTuple):
    """An image file, the indices of its labels, and what is equal for two paths of it."""

    path: pathlib.Path
    labels: tuple[int, ...]
    identity: Identity | None

    @property
    def label(self) -> int:
        """Index of its class, where each image has one."""
        return self.labels[0]


def split_of_files(name: str, files: Sequence[LabeledFile], num_labels: int | None = None) -> Split:
    """Describes files, in their order, as a split of this name.

    Args:
        num_labels: for a multi-label dataset, the size of its vectors of labels.
    """
    # In bytes, for names that are not UTF-8.
    paths = [os.fsencode(file.path) for file in files]
    labels: Any = [file.label for file in files] if num_labels is None else _vectors(files, num_labels)

    def read(key: "tf.Tensor | None", start: "tf.Tensor | int" = 0, step: int = 1) -> "tf.data.Dataset":
        import tensorflow as tf

        dtype = tf.int64 if num_labels is None else tf.float32
        all_paths, all_labels = tf.constant(paths), tf.constant(labels, dtype)
        return tf.data.Dataset.from_tensor_slices(shuffled_indices(len(paths), key)[start::step]).map(
            lambda index: (index, tf.io.read_file(all_paths[index]), all_labels[index]),
            num_parallel_calls=tf.data.AUTOTUNE,
        )

    def describe(index: int) -> str:
        return paths[index].decode(errors="backslashreplace")

    return Split(name, len(paths), read, describe, tuple(paths), labels)


def _vectors(files: Sequence[LabeledFile], num_labels: int) -> "np.ndarray":
    """Returns (files, num_labels) float32: 1 for each label that a file has, else 0."""
    import numpy as np

    vectors = np.zeros((len(files), num_labels), "float32")
    for row, file in enumerate(files):
        vectors[row, list(file.labels)] = 1
    return vectors


def common_shape(files: Sequence[LabeledFile]) -> tuple[int | None, int | None, int]:
    """Returns the size that all sampled images share, if they do, and 1 channel if all are gray, else 3.

    It decides what a model takes: never pass test images, which no choice may depend on.
    """
    from keras_resnet.data.images.pixels import GRAY_MODES, sample_headers

    headers = list(sample_headers([file.path for file in files], _MAX_HEADERS))
    sizes, modes = {size for size, _ in headers}, {mode for _, mode in headers}
    width, height = sizes.pop() if len(sizes) == 1 else (None, None)
    return height, width, 1 if modes and modes <= set(GRAY_MODES) else 3


def missing_classes(files: Sequence[LabeledFile], class_names: Sequence[str]) -> list[str]:
    """Returns the classes of which there is no file."""
    present = {label for file in files for label in file.labels}
    return [name for index, name in enumerate(class_names) if index not in present]


def warn_of_missing_classes(files: Sequence[LabeledFile], class_names: Sequence[str], place: str) -> None:
    """Logs which classes a split lacks: its figures are not about them.

    Args:
        place: where its files come from.
    """
    missing = missing_classes(files, class_names)
    if missing:
        counts = f"{len(missing):,} of the {len(class_names):,} classes"
        _LOG.warning("%s holds no images of %s, as %s.", place, counts, missing[0])
