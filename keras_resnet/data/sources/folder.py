"""A folder of images as a dataset: a subfolder for each class. Imports no TensorFlow."""

import collections
import hashlib
import logging
import os
import pathlib
import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING

from keras_resnet.data.dataset import Dataset, Split, held_out_count, shuffled_indices
from keras_resnet.errors import UserError

if TYPE_CHECKING:
    import tensorflow as tf

_LOG = logging.getLogger(__name__)

# Formats that the decoder reads; files with other suffixes are ignored.
SUFFIXES = (".jpg", ".jpeg", ".png", ".gif", ".bmp", ".webp")
_VALIDATION_FOLDERS = ("val", "validation")
_TEST_FOLDER = "test"
# Images, evenly spread over the folder, whose headers tell whether all are gray or of one size.
_MAX_HEADERS = 200

_File = tuple[pathlib.Path, int]


def folder_dataset(name: str, validation_fraction: float) -> Dataset:
    """Describes the images of a folder: train/CLASS/*, val/CLASS/* and test/CLASS/*, or CLASS/* alone.

    Without `val` (or `validation`), `test` is the validation split. Without any subfolder `train`, a part of
    each class is held out for validation.

    Args:
        name: path of the folder.
        validation_fraction: fraction of each class that is held out where the folder is not divided; which
            images depends on their names alone.

    Raises:
        UserError: the folder is not such a folder.
    """
    root = pathlib.Path(name)
    test: list[_File] = []
    if (root / "train").is_dir():
        class_names = _class_names(root / "train", name)
        validation_folder, test_folder = _held_out_folders(root, name)
        train = _files(root / "train", class_names)
        validation = _labeled_files(validation_folder, class_names, name)
        if test_folder is not None:
            test = _labeled_files(test_folder, class_names, name)
            if not test:
                _LOG.info("%s holds no labeled images: there will be no test figure.", test_folder)
        validation_name = validation_folder.name
        advice = f"put some of each class into {validation_folder}"
    else:
        class_names = _class_names(root, name)
        train, validation = _hold_out(_files(root, class_names), root, validation_fraction)
        validation_name = f"{validation_fraction:.0%} of each class"
        advice = "each class has one image, and needs two or more for one to be held out; add some"
    empty = set(range(len(class_names))) - {label for _, label in train}
    if empty:
        raise _refusal(
            name,
            f"the class {class_names[min(empty)]!r} has no training images; these end in "
            f"{', '.join(SUFFIXES)}.",
        )
    if not validation:
        raise _refusal(name, f"there are no images to validate on; {advice}.")
    return Dataset(
        name=name,
        class_names=class_names,
        image_shape=_image_shape([*train, *validation, *test]),
        train=_split("train", train),
        validation=_split(validation_name, validation),
        hflip=True,
        test=_split(_TEST_FOLDER, test) if test else None,
    )


def image_files(folder: pathlib.Path) -> list[pathlib.Path]:
    """Returns every file below a folder whose suffix is an image's, except hidden ones, sorted."""
    return sorted(
        path
        for path in folder.rglob("*")
        if path.suffix.lower() in SUFFIXES
        and not any(part.startswith(".") for part in path.relative_to(folder).parts)
        and path.is_file()
    )


def _refusal(name: str, reason: str) -> UserError:
    return UserError(reason, parameter="dataset", value=name)


def _held_out_folders(root: pathlib.Path, name: str) -> tuple[pathlib.Path, pathlib.Path | None]:
    """Returns the folders of the validation and of the test images."""
    test = root / _TEST_FOLDER if (root / _TEST_FOLDER).is_dir() else None
    validation = next((root / val for val in _VALIDATION_FOLDERS if (root / val).is_dir()), None)
    if validation is not None:
        return validation, test
    if test is None:
        raise _refusal(
            name,
            f"next to the folder train there is none of {', '.join((*_VALIDATION_FOLDERS, _TEST_FOLDER))}; "
            f"add one, or use dataset={root / 'train'} to have a part of each class held out.",
        )
    return test, None


def _labeled_files(folder: pathlib.Path, class_names: Sequence[str], name: str) -> list[_File]:
    unknown = sorted(set(_subfolders(folder)) - set(class_names))
    if unknown:
        raise _refusal(
            name,
            f"the class {unknown[0]!r} is in {folder.name} and not in train; add training images of it, or "
            "remove it.",
        )
    return _files(folder, class_names)


def _subfolders(folder: pathlib.Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if path.is_dir() and path.name[0] not in "._")


def _class_names(folder: pathlib.Path, name: str) -> tuple[str, ...]:
    names = tuple(_subfolders(folder))
    if len(names) < 2:
        raise _refusal(
            name,
            f"{folder} has {len(names)} class folders and needs two or more: a subfolder of images for each "
            "class, as cats/ and dogs/.",
        )
    for one in names:
        if not one.strip() or set("\r\n") & set(one) or one != one.encode(errors="replace").decode():
            raise _refusal(name, f"the class name {one!a} must be one line of UTF-8; rename its folder.")
    return names


def _files(folder: pathlib.Path, class_names: Sequence[str]) -> list[_File]:
    return [(path, label) for label, name in enumerate(class_names) for path in image_files(folder / name)]


def _hold_out(files: Sequence[_File], root: pathlib.Path, fraction: float) -> tuple[list[_File], list[_File]]:
    """Holds out the files of each class whose names hash lowest: the same on every machine and in any "
    "order."""
    classes = collections.defaultdict(list)
    for file in files:
        classes[file[1]].append(file)
    train: list[_File] = []
    validation: list[_File] = []
    for members in classes.values():
        count = held_out_count(len(members), fraction)
        ranked = sorted(members, key=lambda file: _hash(file[0].relative_to(root)))
        held_out = set(ranked[:count])
        validation.extend(file for file in members if file in held_out)
        train.extend(file for file in members if file not in held_out)
    return train, validation


def _hash(path: pathlib.Path) -> bytes:
    # As the name is on the disk, which may not be UTF-8.
    return hashlib.sha256(path.as_posix().encode(errors="surrogateescape")).digest()


def _image_shape(files: Sequence[_File]) -> tuple[int | None, int | None, int]:
    """Returns the size that all sampled images share, if they do, and 1 channel if all are gray, else 3."""
    import PIL.Image

    sizes, modes = set(), set()
    for path, _ in files[:: -(-len(files) // _MAX_HEADERS)]:
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


def _split(name: str, files: Sequence[_File]) -> Split:
    # In bytes, for names that are not UTF-8.
    paths, labels = [os.fsencode(path) for path, _ in files], [label for _, label in files]

    def read(key: "tf.Tensor | None", start: "tf.Tensor | int" = 0, step: int = 1) -> "tf.data.Dataset":
        import tensorflow as tf

        all_paths, all_labels = tf.constant(paths), tf.constant(labels, tf.int64)
        return tf.data.Dataset.from_tensor_slices(shuffled_indices(len(paths), key)[start::step]).map(
            lambda index: (index, tf.io.read_file(all_paths[index]), all_labels[index]),
            num_parallel_calls=tf.data.AUTOTUNE,
        )

    return Split(name, len(paths), read, lambda index: paths[index].decode(errors="backslashreplace"))
