"""What of an HDF5 file has to be whole before its library may read it."""

from collections.abc import Iterator
from typing import IO

_START = b"GCOL\x01\0\0\0"
_HEADER, _OBJECT = 16, 16
_CHUNK = 2**24


def check_heaps(file: IO[bytes]) -> int:
    """Bytes of the longest text in a file's heaps ("global heaps").

    HDF5's library goes round for ever in a damaged one, and reads those inside of others again and again.

    The file is at its beginning afterwards.

    Raises:
        ValueError: a heap is damaged.
    """
    longest, end = 0, 0
    for place in list(_places(file)):
        if place < end:
            raise ValueError("a heap of texts inside another")
        file.seek(place + len(_START))
        size = int.from_bytes(file.read(8), "little")
        if not _HEADER <= size <= _CHUNK:
            raise ValueError("a heap of texts of an odd size")
        file.seek(place)
        longest, end = max(longest, _checked(file.read(size), size)), place + size
    file.seek(0)
    return longest


def _places(file: IO[bytes]) -> Iterator[int]:
    """Where heaps begin."""
    file.seek(0)
    start, before = 0, b""
    while chunk := file.read(_CHUNK):
        text = before + chunk
        found = text.find(_START)
        while found >= 0:
            yield start - len(before) + found
            found = text.find(_START, found + 1)
        start += len(chunk)
        before = text[1 - len(_START) :]


def _checked(heap: bytes, size: int) -> int:
    """A heap is a row of objects: number, count of references, size, content; number 0 is left over."""
    place, longest = _HEADER, 0
    while size - place >= _OBJECT:
        number = int.from_bytes(heap[place : place + 2], "little")
        length = int.from_bytes(heap[place + 8 : place + 16], "little")
        step = _OBJECT + -(-length // 8) * 8 if number else length
        if step < _OBJECT or place + step > size or len(heap) != size:
            raise ValueError("a damaged heap of texts")
        place += step
        longest = max(longest, length)
    return longest
