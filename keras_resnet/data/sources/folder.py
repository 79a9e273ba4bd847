"""A folder of images as a dataset: a subfolder for each class. Imports no TensorFlow."""

import os
import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING

from keras_resnet.data.dataset import Dataset, Split, shuffled_indices
from keras_resnet.data.sources.folder_listing import LabeledFile, list_folder, log_unread

if TYPE_CHECKING:
    import tensorflow as tf

# Images, evenly spread over the folder, whose headers tell whether all are gray or of one size.
_MAX_HEADERS = 200


def folder_dataset(name: str, validation_fraction: float, *, require_disjoint: bool = False) -> Dataset:
    """Describes the images of a folder: train/CLASS/*, val/CLASS/* and test/CLASS/*, or CLASS/* alone.

    Without `val`, `test` is the validation split. Without any subfolder `train`, a part of each class is held
    out for validation. Files that are not read are counted in a warning.

    Args:
        name: path of the folder.
        validation_fraction: fraction of each class that is held out where the folder is not divided; which
            images depends on their names alone.
        require_disjoint: whether to refuse splits that share a file.

    Raises:
        UserError: the folder is not such a folder.
    """
    listing = list_folder(name, validation_fraction, require_disjoint=require_disjoint)
    log_unread(listing, name)
    splits = {role: _split(listing.split_names[role], files) for role, files in listing.splits.items()}
    return Dataset(
        name=name,
        class_names=listing.class_names,
        image_shape=_image_shape(listing.files),
        train=splits["train"],
        validation=splits["validation"],
        hflip=True,
        test=splits.get("test"),
    )


def _image_shape(files: Sequence[LabeledFile]) -> tuple[int | None, int | None, int]:
    """Returns the size that all sampled images share, if they do, and 1 channel if all are gray, else 3."""
    import PIL.Image

    sizes, modes = set(), set()
    for path, _, _ in files[:: -(-len(files) // _MAX_HEADERS)]:
        try:
            with warnings.catch_warnings():
                # Pillow warns at half the number of pixels that it refuses.
                warnings.simplefilter("ignore", PIL.Image.DecompressionBombWarning)
                with PIL.Image.open(path) as image:
                    sizes.add(image.size)
                    modes.add(image.mode)
        except (OSError, SyntaxError, ValueError, PIL.Image.DecompressionBombError):
            continue  # undecodable files are left to `DecodeErrors`
    width, height = sizes.pop() if len(sizes) == 1 else (None, None)
    return height, width, 1 if modes and modes <= {"1", "L", "I;16"} else 3


def _split(name: str, files: Sequence[LabeledFile]) -> Split:
    # In bytes, for names that are not UTF-8.
    paths, labels = [os.fsencode(file.path) for file in files], [file.label for file in files]

    def read(key: "tf.Tensor | None", start: "tf.Tensor | int" = 0, step: int = 1) -> "tf.data.Dataset":
        import tensorflow as tf

        all_paths, all_labels = tf.constant(paths), tf.constant(labels, tf.int64)
        return tf.data.Dataset.from_tensor_slices(shuffled_indices(len(paths), key)[start::step]).map(
            lambda index: (index, tf.io.read_file(all_paths[index]), all_labels[index]),
            num_parallel_calls=tf.data.AUTOTUNE,
        )

    return Split(name, len(paths), read, lambda index: paths[index].decode(errors="backslashreplace"), labels)
