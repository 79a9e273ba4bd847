"""Which subfolders of a folder are splits, and which are classes: understood, or refused with a cure."""

import collections
import logging
import pathlib
import unicodedata
from collections.abc import Sequence

from keras_resnet.data.sources.image_files import scan
from keras_resnet.data.sources.split_names import SPLIT_NAMES, mentioned_role, split_role
from keras_resnet.errors import UserError, format_value

_LOG = logging.getLogger(__name__)


def find_splits(root: pathlib.Path, name: str) -> dict[str, pathlib.Path]:
    """Returns the folders "train", "validation" and "test", or {} where the subfolders are classes.

    Without a folder for validation, that for tests is "validation", and nothing is "test".

    Args:
        name: of the dataset, for messages.

    Raises:
        UserError: the splits are not clear from the names.
    """
    folders = subfolders(root, name)
    splits = _named_splits(folders, name)
    if not splits:
        _refuse_similar_names(folders, name)
        return {}
    if "train" not in splits:
        (first, *_) = splits.values()
        raise refusal(
            name,
            f"the subfolder {first.name} is a split by its name, and there is no folder train next to it; "
            f"add train, or rename {first.name} if it is a class.",
        )
    train = splits["train"]
    classes = {class_name(folder) for folder in subfolders(train, name)}
    if not classes:
        raise refusal(
            name,
            f"the subfolder {train.name} is the training split by its name, and holds no class folders; put "
            f"the images of each class into a folder of {train.name}, or rename {train.name} if it is itself "
            "a class.",
        )
    others = [folder for folder in folders if folder not in splits.values()]
    for folder in others:
        alike = classes & {class_name(inside) for inside in subfolders(folder, name)}
        if alike and "validation" not in splits:
            raise refusal(
                name,
                f"the subfolder {format_value(folder.name)} has class folders and no split's name; rename it "
                "to val or test, or move it elsewhere.",
            )
    if others:
        names = ", ".join(format_value(folder.name) for folder in others)
        _LOG.warning(
            "%s: the subfolders %s are not read: their names are not those of splits.",
            format_value(name),
            names,
        )
    if "validation" in splits:
        return splits
    if "test" not in splits:
        names = ", ".join((*SPLIT_NAMES["validation"], *SPLIT_NAMES["test"]))
        raise refusal(
            name,
            f"next to the folder {train.name} there is none of {names}; add one, or use "
            f"dataset={format_value(train)} to have a part of each class held out.",
        )
    return {"train": train, "validation": splits["test"]}


def subfolders(folder: pathlib.Path, name: str) -> list[pathlib.Path]:
    """Returns the folders directly in a folder, sorted, except hidden ones.

    Raises:
        UserError: the folder cannot be read, or a link in it that could be to a folder leads nowhere.
    """
    entries = scan(folder)
    for entry in entries:
        if entry.kind == "broken link" and not entry.path.suffix:
            raise refusal(
                name, f"{format_value(entry.path)} is a link that leads nowhere; repair or remove it."
            )
    return [entry.path for entry in entries if entry.kind == "folder"]


def class_folders(folder: pathlib.Path, name: str) -> dict[str, pathlib.Path]:
    """Returns the folder of each class by its name, sorted by name.

    Raises:
        UserError: a name cannot be that of a class, or two are the same.
    """
    found: dict[str, pathlib.Path] = {}
    for path in subfolders(folder, name):
        one = class_name(path)
        if not one.strip() or set("\r\n") & set(one) or one != one.encode(errors="replace").decode():
            raise refusal(name, f"the class name {one!a} must be one line of UTF-8; rename its folder.")
        if one in found:
            raise refusal(
                name,
                f"{format_value(folder)} has two folders {one!r}, in Unicode {found[one].name!a} and "
                f"{path.name!a}; "
                "put their images into one of them.",
            )
        found[one] = path
    return dict(sorted(found.items()))


def check_number_of_classes(classes: Sequence[str], folder: pathlib.Path, name: str) -> None:
    """Refuses fewer than two classes.

    Raises:
        UserError: with the folder inside that was meant, if there is one.
    """
    if len(classes) >= 2:
        return
    hint = ""
    if len(classes) == 1:
        (inside,) = subfolders(folder, name)
        if len(subfolders(inside, name)) >= 2:
            hint = f"; did you mean dataset={format_value(inside)}?"
    raise refusal(
        name,
        f"{format_value(folder)} has {len(classes)} class folders and needs two or more: a subfolder of "
        f"images for each class, as cats/ and dogs/{hint or '.'}",
    )


def class_name(folder: pathlib.Path) -> str:
    """Returns the name of a class: that of its folder, composed, since macOS decomposes names."""
    return unicodedata.normalize("NFC", folder.name)


def refuse_splits_in_class(folder: pathlib.Path, inside: Sequence[str], name: str) -> None:
    """Refuses a class folder that is divided into splits, which belong above the classes.

    Args:
        inside: names of the folders in it.

    Raises:
        UserError: there is one for training and another one.
    """
    roles = {role: one for one in inside if (role := split_role(one))}
    if "train" in roles and len(roles) > 1:
        raise refusal(
            name,
            f"the class folder {format_value(folder.name)} holds the splits {' and '.join(roles.values())}; "
            f"put the splits above the classes, as {roles['train']}/{format_value(folder.name)}.",
        )


def refusal(name: str, reason: str) -> UserError:
    """Returns the error for a folder that is not a dataset."""
    return UserError(reason, parameter="dataset", value=name)


def _named_splits(folders: Sequence[pathlib.Path], name: str) -> dict[str, pathlib.Path]:
    splits: dict[str, pathlib.Path] = {}
    for folder in folders:
        role = split_role(folder.name)
        if role in splits:
            raise refusal(
                name,
                f"the subfolders {splits[role].name} and {folder.name} are the same split by their names; "
                "put their images into one of them, or rename one that is a class.",
            )
        if role is not None:
            splits[role] = folder
    return {role: splits[role] for role in SPLIT_NAMES if role in splits}


def _refuse_similar_names(folders: Sequence[pathlib.Path], name: str) -> None:
    """Refuses class folders that are splits by all appearance: train2017 and val2017, x_train and x_test."""
    similar = collections.defaultdict(list)
    for folder in folders:
        similar[mentioned_role(folder.name)].append(folder)
    unlike = similar.pop(None, [])
    if "train" not in similar or len(similar) < 2:
        return
    named = [folder for same in similar.values() for folder in same]
    inside = [{class_name(one) for one in subfolders(folder, name)} for folder in named]
    if not unlike or set.intersection(*inside):
        names = " and ".join(format_value(folder.name) for folder in named[:2])
        raise refusal(
            name,
            f"the subfolders {names} seem to be splits; rename them to train and val or test, or, if they "
            "are classes, without these words.",
        )
