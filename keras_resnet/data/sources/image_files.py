"""Which files below a folder are images, by their names: the same for every command that takes a folder."""

import collections
import os
import pathlib
import stat
from collections.abc import Mapping
from typing import NamedTuple

from keras_resnet.errors import UserError

# Formats that the decoder reads, and the suffixes each goes by.
FORMATS = {
    "JPEG": (".jpg", ".jpeg", ".jpe", ".jfif", ".jif", ".jfi", ".pjpeg", ".pjp", ".mpo"),
    "PNG": (".png", ".apng"),
    "GIF": (".gif",),
    "BMP": (".bmp", ".dib"),
    "WEBP": (".webp",),
}
SUFFIXES = tuple(suffix for suffixes in FORMATS.values() for suffix in suffixes)
# What operating systems, archivers and Python leave behind, besides names that begin with a period.
_SYSTEM_NAMES = {
    "$recycle.bin",
    "@eadir",
    "__macosx",
    "__pycache__",
    "desktop.ini",
    "ehthumbs.db",
    "icon\r",
    "lost+found",
    "system volume information",
    "thumbs.db",
}
# Suffixes that are named of files that are not read: of img.0001, img.0002, ... each is another.
_MAX_KINDS = 8

Identity = tuple[int, int]


class Entry(NamedTuple):
    """A name in a folder.

    Args:
        path: of the entry.
        kind: "folder", "image", "broken link", "unreadable" or "other".
        what: why it is neither a folder nor an image: its suffix, or what it is instead of a file.
        identity: equal for two paths of the same file or folder; None where there is nothing behind a link.
    """

    path: pathlib.Path
    kind: str
    what: str
    identity: Identity | None


class ImageFile(NamedTuple):
    """An image file, and what is equal for two paths of it; None where there is nothing behind a link."""

    path: pathlib.Path
    identity: Identity | None


class FoundImages(NamedTuple):
    """The content of a folder and its subfolders.

    Args:
        images: sorted by path.
        unread: number of other files, by suffix or by what they are.
        subfolders: names of the folders directly in it.
    """

    images: list[ImageFile]
    unread: collections.Counter[str]
    subfolders: list[str]


def scan(folder: pathlib.Path) -> list[Entry]:
    """Returns the content of one folder, sorted, except hidden and system files.

    A link is what it leads to. One with the suffix of an image is an image even if it leads nowhere, so that
    it is missed when it is read.

    Raises:
        UserError: the folder cannot be read.
    """
    try:
        names = sorted(os.listdir(folder))
    except OSError as error:
        raise UserError(f"this folder cannot be read ({error.strerror}).", value=folder) from error
    return [_entry(folder / name) for name in names if not _is_ignored(name)]


def find_images(folder: pathlib.Path) -> FoundImages:
    """Returns the image files in a folder and its subfolders.

    Links are followed, but each folder is read once, and none that the folder itself lies in: those hold the
    images of other classes.

    Raises:
        UserError: a folder cannot be read.
    """
    images: list[ImageFile] = []
    unread: collections.Counter[str] = collections.Counter()
    subfolders: list[str] = []
    first = _entry(folder)
    parents = {*folder.absolute().parents, *folder.resolve().parents}
    above = {_entry(parent).identity for parent in parents}
    visited, pending = set(above), [first]
    while pending:
        entry = pending.pop()
        if entry.kind == "image":
            images.append(ImageFile(entry.path, entry.identity))
        elif entry.kind != "folder":
            unread[entry.what] += 1
        elif entry.identity not in visited:
            visited.add(entry.identity)
            content = scan(entry.path)
            if entry is first:
                subfolders = [inside.path.name for inside in content if inside.kind == "folder"]
            pending.extend(reversed(content))
        elif entry.identity in above:
            unread["link to a folder above it"] += 1
    return FoundImages(images, unread, subfolders)


def describe_unread(unread: Mapping[str, int]) -> str:
    """Returns "3 .heic, 1 no suffix", the most frequent first, and of many only those."""
    counts = collections.Counter(unread).most_common()
    parts = [f"{count:,} {what}" for what, count in counts[:_MAX_KINDS]]
    rest = sum(count for _, count in counts[_MAX_KINDS:])
    return ", ".join([*parts, f"{rest:,} others"] if rest else parts)


def no_images(unread: Mapping[str, int]) -> str:
    """Returns the sentence for a folder without images, with what it holds instead."""
    instead = f"; it holds {describe_unread(unread)}" if unread else ""
    return f"holds no images, which end in {', '.join(SUFFIXES)}{instead}."


def _is_ignored(name: str) -> bool:
    return name.startswith(".") or name.casefold() in _SYSTEM_NAMES


def _entry(path: pathlib.Path) -> Entry:
    suffix = path.suffix.lower()
    is_image = suffix in SUFFIXES
    try:
        found = os.stat(path)
    except OSError:
        what = "broken link" if os.path.islink(path) else "unreadable"
        return Entry(path, "image" if is_image else what, what, None)
    identity = (found.st_dev, found.st_ino)
    if stat.S_ISDIR(found.st_mode):
        return Entry(path, "folder", "", identity)
    if not stat.S_ISREG(found.st_mode):
        return Entry(path, "other", "special file", identity)
    printed = suffix if suffix.isprintable() else ascii(suffix)
    return Entry(path, "image" if is_image else "other", printed or "no suffix", identity)
