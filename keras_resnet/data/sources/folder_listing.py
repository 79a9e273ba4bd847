"""The labeled images of a folder: the one listing that all commands share. Imports no TensorFlow."""

import collections
import dataclasses
import itertools
import logging
import pathlib
from collections.abc import Mapping, Sequence

from keras_resnet.data.sources.folder_layout import (
    check_number_of_classes,
    class_folders,
    find_splits,
    refusal,
    refuse_splits_in_class,
)
from keras_resnet.data.sources.hold_out import hold_out
from keras_resnet.data.sources.image_files import Identity, describe_unread, find_images, no_images, scan
from keras_resnet.data.sources.labeled_files import LabeledFile, missing_classes, warn_of_missing_classes
from keras_resnet.errors import format_value

_LOG = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True)
class FolderListing:
    """What a folder holds.

    Args:
        class_names: sorted.
        splits: files of "train", "validation" and, where there are any, "test".
        split_names: what each split is called in the folder.
        unread: number of files that are in none of them, by suffix or by what they are.
    """

    class_names: tuple[str, ...]
    splits: dict[str, list[LabeledFile]]
    split_names: dict[str, str]
    unread: collections.Counter[str]

    @property
    def files(self) -> list[LabeledFile]:
        """The files of all splits."""
        return list(itertools.chain.from_iterable(self.splits.values()))


def list_folder(name: str, validation_fraction: float, *, require_disjoint: bool = False) -> FolderListing:
    """Lists the images of train/CLASS/*, val/CLASS/* and test/CLASS/*, or of CLASS/* alone.

    Args:
        name: path of the folder.
        validation_fraction: fraction of each class that is held out where there are no splits; which images
            depends on their names alone.
        require_disjoint: whether to refuse a file that is in two splits, or in two classes.

    Raises:
        UserError: the folder is not such a folder.
    """
    root = pathlib.Path(name)
    folders = find_splits(root, name)
    unread: collections.Counter[str] = collections.Counter()
    if folders:
        classes = class_folders(folders["train"], name)
        check_number_of_classes(list(classes), folders["train"], name)
        splits = {role: _files(folder, list(classes), name, unread) for role, folder in folders.items()}
        split_names = {role: folder.name for role, folder in folders.items()}
        unread["in no class folder"] += _images_directly_in(root)
        example = folders["validation"] / next(iter(classes))
        advice = (
            f"put some of each class into a folder of its own, as {format_value(example)}, or use "
            f"dataset={format_value(folders['train'])} to have a part of each class held out"
        )
    else:
        classes = class_folders(root, name)
        check_number_of_classes(list(classes), root, name)
        files = _files(root, list(classes), name, unread)
        train, validation = _hold_out(files, root, validation_fraction)
        splits = {"train": train, "validation": validation}
        split_names = {"train": "train", "validation": f"{validation_fraction:.0%} of each class"}
        advice = "each class has one image, and needs two or more for one to be held out; add some"
    unread += collections.Counter()  # without zeros
    class_names = tuple(classes)
    for empty in missing_classes(splits["train"], class_names)[:1]:
        instead = no_images(find_images(classes[empty]).unread)
        raise refusal(name, f"the class {empty!r} has no training images: its folder {instead}")
    if not splits["validation"]:
        raise refusal(name, f"there are no images to validate on; {advice}.")
    if "test" in splits and not splits["test"]:
        place = format_value(folders["test"])
        _LOG.warning("%s holds no labeled images: there will be no test figure.", place)
        del splits["test"], split_names["test"]
    for role in splits if folders else ():
        warn_of_missing_classes(splits[role], class_names, format_value(folders[role]))
    if require_disjoint:
        _check_disjoint(splits, split_names, class_names, name)
    return FolderListing(class_names, splits, split_names, unread)


def log_unread(listing: FolderListing, name: str) -> None:
    """Logs a warning about the files that are not read, if there are any."""
    if listing.unread:
        _LOG.warning("%s: not read: %s.", format_value(name), describe_unread(listing.unread))


def _files(
    split: pathlib.Path, class_names: Sequence[str], name: str, unread: collections.Counter[str]
) -> list[LabeledFile]:
    """Returns the images of a split; counts other files."""
    folders = class_folders(split, name)
    unknown = sorted(set(folders) - set(class_names))
    if unknown:
        raise refusal(
            name,
            f"the class {unknown[0]!r} is in {split.name} and not in train; add training images of it, or "
            "remove it.",
        )
    files: list[LabeledFile] = []
    for label, class_name in enumerate(class_names):
        if class_name not in folders:
            continue
        found = find_images(folders[class_name])
        refuse_splits_in_class(folders[class_name], found.subfolders, name)
        files.extend(LabeledFile(path, (label,), identity) for path, identity in found.images)
        unread.update(found.unread)
    unread["in no class folder"] += _images_directly_in(split)
    return files


def _images_directly_in(folder: pathlib.Path) -> int:
    return sum(entry.kind == "image" for entry in scan(folder))


def _hold_out(
    files: Sequence[LabeledFile], root: pathlib.Path, fraction: float
) -> tuple[list[LabeledFile], list[LabeledFile]]:
    """Returns the files that train and those that are held out, each a group of its own."""
    names = [file.path.relative_to(root).as_posix() for file in files]
    held_out = hold_out([file.label for file in files], names, fraction)
    train = [file for file, is_held_out in zip(files, held_out, strict=True) if not is_held_out]
    return train, list(itertools.compress(files, held_out))


def _check_disjoint(
    splits: Mapping[str, Sequence[LabeledFile]],
    split_names: Mapping[str, str],
    class_names: Sequence[str],
    name: str,
) -> None:
    """Refuses a file that is in two splits or classes, through a link or under two names."""
    first_paths: dict[Identity, tuple[str, LabeledFile]] = {}
    for role, files in splits.items():
        for file in files:
            if file.identity is None:
                continue
            other_role, other = first_paths.setdefault(file.identity, (role, file))
            where = (split_names[other_role], split_names[role])
            if role == other_role:
                where = (class_names[other.label], class_names[file.label])
            if where[0] != where[1]:
                raise refusal(
                    name,
                    f"{format_value(file.path)} and {format_value(other.path)} are the same file, once in "
                    f"{where[0]} and once in {where[1]}; remove one of them.",
                )
