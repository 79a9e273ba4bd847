"""A folder of pictures as a dataset: a subfolder for each class. Imports no TensorFlow."""

import collections
import hashlib
import os
import pathlib
import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING

from keras_resnet.data.order import ordered
from keras_resnet.data.source import Source, Split
from keras_resnet.errors import UserError

if TYPE_CHECKING:
    import tensorflow as tf

# What the decoder reads; other files are no pictures to us.
SUFFIXES = (".jpg", ".jpeg", ".png", ".gif", ".bmp", ".webp")
_TEST_FOLDERS = ("val", "validation", "test")
# Pictures whose headers are read, evenly over the folder, to learn whether all are grey or of one size.
_LOOKED_AT = 200

_File = tuple[pathlib.Path, int]


def folder_source(name: str, validation_fraction: float) -> Source:
    """The dataset in a folder: `train/CLASS/*` and `val/CLASS/*` (or `test`), or `CLASS/*` alone.

    Args:
        name: the folder.
        validation_fraction: share of each class that is held out where there are no folders `train` and
            `val`; which pictures depends on their names alone.

    Raises:
        UserError: it is not such a folder.
    """
    root = pathlib.Path(name)
    train_folder = root / "train"
    if train_folder.is_dir():
        test_folder = next((root / test for test in _TEST_FOLDERS if (root / test).is_dir()), None)
        if test_folder is None:
            raise UserError(
                f"--dataset={name} has the folder train but none of {', '.join(_TEST_FOLDERS)} beside it; "
                "add one, or give the folder train itself to have a part of each class held out."
            )
        class_names = _class_names(train_folder, name)
        unknown = sorted(set(_subfolders(test_folder)) - set(class_names))
        if unknown:
            raise UserError(
                f"--dataset={name}: the class {unknown[0]!r} is in {test_folder.name} and not in train; put "
                "pictures of it there too, or remove it."
            )
        train, test = (_files(folder, class_names) for folder in (train_folder, test_folder))
        test_name = test_folder.name
        advice = f"put some of each class into {test_folder}"
    else:
        class_names = _class_names(root, name)
        train, test = _hold_out(_files(root, class_names), root, validation_fraction)
        test_name = f"{validation_fraction:.0%} of each class"
        advice = "each class has one, and needs two or more for one to be held out; add some"
    empty = set(range(len(class_names))) - {label for _, label in train}
    if empty:
        raise UserError(
            f"--dataset={name}: the class {class_names[min(empty)]!r} has no pictures to train on; they end "
            f"in {', '.join(SUFFIXES)}."
        )
    if not test:
        raise UserError(f"--dataset={name} has no pictures to test on; {advice}.")
    return Source(
        name=name,
        class_names=class_names,
        image_shape=_image_shape([*train, *test]),
        train=_split("train", train),
        test=_split(test_name, test),
        mirrored=True,
    )


def pictures(folder: pathlib.Path) -> list[pathlib.Path]:
    """Every file below a folder that is called as a picture, hidden ones left out, in order."""
    return sorted(
        path
        for path in folder.rglob("*")
        if path.suffix.lower() in SUFFIXES
        and not any(part.startswith(".") for part in path.relative_to(folder).parts)
        and path.is_file()
    )


def _subfolders(folder: pathlib.Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if path.is_dir() and path.name[0] not in "._")


def _class_names(folder: pathlib.Path, name: str) -> tuple[str, ...]:
    names = tuple(_subfolders(folder))
    if len(names) < 2:
        raise UserError(
            f"--dataset={name}: {folder} holds {len(names)} class folders and needs two or more: a subfolder "
            "of pictures for each class, as cats/ and dogs/."
        )
    for one in names:
        if not one.strip() or set("\r\n") & set(one) or one != one.encode(errors="replace").decode():
            raise UserError(
                f"--dataset={name}: the name of class {one!a} must be one line of UTF-8; rename its folder."
            )
    return names


def _files(folder: pathlib.Path, class_names: Sequence[str]) -> list[_File]:
    return [(path, label) for label, name in enumerate(class_names) for path in pictures(folder / name)]


def _hold_out(files: Sequence[_File], root: pathlib.Path, fraction: float) -> tuple[list[_File], list[_File]]:
    """A share of each class, those whose names hash lowest: the same on every machine, in every order."""
    classes = collections.defaultdict(list)
    for file in files:
        classes[file[1]].append(file)
    train: list[_File] = []
    test: list[_File] = []
    for members in classes.values():
        # One at least, and one at least to train on.
        count = min(len(members) - 1, max(1, round(fraction * len(members))))
        ranked = sorted(members, key=lambda file: _hash(file[0].relative_to(root)))
        held_out = set(ranked[:count])
        test.extend(file for file in members if file in held_out)
        train.extend(file for file in members if file not in held_out)
    return train, test


def _hash(path: pathlib.Path) -> bytes:
    # As the name is on the disk, which may be no UTF-8.
    return hashlib.sha256(path.as_posix().encode(errors="surrogateescape")).digest()


def _image_shape(files: Sequence[_File]) -> tuple[int | None, int | None, int]:
    """The size all pictures looked at have, if they have one; 1 channel if all are grey, else 3."""
    import PIL.Image

    sizes, modes = set(), set()
    for path, _ in files[:: -(-len(files) // _LOOKED_AT)]:
        try:
            with warnings.catch_warnings():
                # The limit of pixels is twice that of which Pillow warns.
                warnings.simplefilter("ignore", PIL.Image.DecompressionBombWarning)
                with PIL.Image.open(path) as picture:
                    sizes.add(picture.size)
                    modes.add(picture.mode)
        except (OSError, SyntaxError, ValueError, PIL.Image.DecompressionBombError):
            continue  # a bad file is for --bad_images to deal with
    width, height = sizes.pop() if len(sizes) == 1 else (None, None)
    return height, width, 1 if modes and modes <= {"1", "L", "I;16"} else 3


def _split(name: str, files: Sequence[_File]) -> Split:
    # In bytes, for names that are no UTF-8.
    paths, labels = [os.fsencode(path) for path, _ in files], [label for _, label in files]

    def read(key: "tf.Tensor | None", start: "tf.Tensor | int" = 0, step: int = 1) -> "tf.data.Dataset":
        import tensorflow as tf

        all_paths, all_labels = tf.constant(paths), tf.constant(labels, tf.int64)
        return tf.data.Dataset.from_tensor_slices(ordered(len(paths), key)[start::step]).map(
            lambda index: (index, tf.io.read_file(all_paths[index]), all_labels[index]),
            num_parallel_calls=tf.data.AUTOTUNE,
        )

    return Split(name, len(paths), read, lambda index: paths[index].decode(errors="backslashreplace"))
