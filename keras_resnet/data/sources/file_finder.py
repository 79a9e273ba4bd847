"""Finds the image file that a table means by a path or a name without suffix."""

import collections
import functools
import os
import stat
import unicodedata
from collections.abc import Iterator
from typing import NamedTuple

from keras_resnet.data.sources.image_files import SUFFIXES, Identity
from keras_resnet.errors import format_value


class NotFound(NamedTuple):
    """Why a name is not that of a file.

    Args:
        kind: "missing", or "ambiguous" for several files.
        reason: without a period.
    """

    kind: str
    reason: str


class FileFinder:
    """Finds files below a folder, or by absolute paths.

    Args:
        folder: that relative paths start from.
    """

    def __init__(self, folder: str):
        self._folder = folder
        self._by_stem = functools.cache(_files_by_stem)

    def find(self, name: str) -> tuple[str, Identity] | NotFound:
        """Returns the path of a file and what is equal for two paths of it, or why there is none.

        Args:
            name: path with `/`, or `\\` as in Windows; without suffix where just one image has that name.
        """
        is_folder = False
        for spelling in _spellings(name):
            path = os.path.join(self._folder, spelling)
            found = _stat(path)
            if found is not None and stat.S_ISREG(found.st_mode):
                return path, (found.st_dev, found.st_ino)
            is_folder = is_folder or found is not None
        if name.lower().endswith(SUFFIXES):
            kind = "not a file" if is_folder else "not there"
            return NotFound("missing", f"{format_value(name)} is {kind}")
        for spelling in _spellings(name):
            folder, stem = os.path.split(os.path.join(self._folder, spelling))
            files = self._by_stem(folder).get(stem, [])
            if len(files) > 1:
                listed = " and ".join(map(format_value, sorted(files)))
                return NotFound("ambiguous", f"{format_value(name)} is the name of {listed}")
            for file in files:
                path = os.path.join(folder, file)
                found = _stat(path)
                if found is not None and stat.S_ISREG(found.st_mode):
                    return path, (found.st_dev, found.st_ino)
        kind = "a folder" if is_folder else "not there"
        reason = f"{format_value(name)} is {kind}, with or without the suffix of an image"
        return NotFound("missing", reason)


def _stat(path: str) -> os.stat_result | None:
    try:
        return os.stat(path)
    except (OSError, ValueError):  # no path holds a NUL
        return None


def _spellings(name: str) -> Iterator[str]:
    """Yields a path as it stands, with slashes, and in the Unicode forms in which systems store names."""
    spellings = [name]
    if "\\" in name:
        spellings.append(name.replace("\\", "/"))
    if not name.isascii():
        spellings += [unicodedata.normalize(form, one) for one in spellings for form in ("NFC", "NFD")]
    yield from dict.fromkeys(spellings)


def _files_by_stem(folder: str) -> dict[str, list[str]]:
    """Returns the names of a folder's images by what they are without suffix."""
    files: dict[str, list[str]] = collections.defaultdict(list)
    try:
        names = os.listdir(folder or os.curdir)
    except OSError:
        return files
    for name in names:
        stem, suffix = os.path.splitext(name)
        if suffix.lower() in SUFFIXES:
            files[stem].append(name)
    return files
