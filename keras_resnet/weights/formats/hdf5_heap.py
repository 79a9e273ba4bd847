"""Checks the parts of an HDF5 file that its own library reads without checking."""

from collections.abc import Iterator
from typing import IO

_START = b"GCOL\x01\0\0\0"
_HEADER, _OBJECT = 16, 16
_CHUNK = 2**24


def check_heaps(file: IO[bytes]) -> int:
    """Checks the heaps of texts ("global heaps") in a file; returns the size in bytes of the longest text.

    HDF5's library loops forever on a damaged heap, and reads nested heaps over and over. The file is at its
    beginning afterwards.

    Raises:
        ValueError: a heap is damaged.
    """
    longest, end = 0, 0
    for start in list(_find_heaps(file)):
        if start < end:
            raise ValueError("a heap of texts lies inside another")
        file.seek(start + len(_START))
        size = int.from_bytes(file.read(8), "little")
        if not _HEADER <= size <= _CHUNK:
            raise ValueError("a heap of texts has an impossible size")
        file.seek(start)
        longest, end = max(longest, _longest_text(file.read(size), size)), start + size
    file.seek(0)
    return longest


def _find_heaps(file: IO[bytes]) -> Iterator[int]:
    """Yields the offset of each heap."""
    file.seek(0)
    start, tail = 0, b""
    while chunk := file.read(_CHUNK):
        content = tail + chunk
        found = content.find(_START)
        while found >= 0:
            yield start - len(tail) + found
            found = content.find(_START, found + 1)
        start += len(chunk)
        tail = content[1 - len(_START) :]


def _longest_text(heap: bytes, size: int) -> int:
    """Walks a heap's objects: number, reference count, size, content; number 0 is free space."""
    offset, longest = _HEADER, 0
    while size - offset >= _OBJECT:
        number = int.from_bytes(heap[offset : offset + 2], "little")
        length = int.from_bytes(heap[offset + 8 : offset + 16], "little")
        step = _OBJECT + -(-length // 8) * 8 if number else length
        if step < _OBJECT or offset + step > size or len(heap) != size:
            raise ValueError("a heap of texts is damaged")
        offset += step
        longest = max(longest, length)
    return longest
