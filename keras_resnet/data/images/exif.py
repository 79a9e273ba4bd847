"""EXIF orientation of a JPEG file: how it has to be turned to be upright.

This is the definition. `graph_exif.orientation` computes the same with TensorFlow's operations.
"""

from typing import Literal

BYTE_ORDERS: dict[bytes, Literal["little", "big"]] = {b"II*\0": "little", b"MM\0*": "big"}
ORIENTATION = 0x0112
SIGNATURE = b"Exif\0\0"
# Segments in front of the image that are looked at; cameras and editors write a few dozen.
MAX_SEGMENTS = 400
# The types of a directory's entry whose value may be an orientation, and the bytes of each: those that Pillow
# takes. The standard has 3, SHORT; some writers use others.
TYPES = {3: 2, 4: 4, 6: 1, 8: 2, 9: 4, 13: 4}

APP1 = 0xE1
# Start of a scan, end of the image: the markers behind which no EXIF is looked for.
ENDS = {0xDA, 0xD9}
# Markers that stand alone; all others are followed by the length of their segment.
ALONE = {0x00, 0x01, *range(0xD0, 0xD9)}


def jpeg_orientation(contents: bytes) -> int:
    """Returns the EXIF orientation of a JPEG, 1..8; 1 (upright) where there is none, or none that is valid.

    All APP1 segments of EXIF in front of the image's data count, wherever they stand there: an EXIF longer
    than 64 KiB continues in the next of them. XMP's orientation does not count.
    """
    tiff = _exif(contents)
    order = BYTE_ORDERS.get(tiff[:4])
    if order is None:
        return 1

    def number(place: int, length: int) -> int:
        return int.from_bytes(tiff[place : place + length], order)

    entries = number(4, 4) + 2
    count = number(entries - 2, 2)
    for entry in range(entries, min(entries + 12 * count, len(tiff) - 11), 12):
        kind = number(entry + 2, 2)
        # A directory holds up to four bytes of values itself; the first one counts.
        if number(entry, 2) == ORIENTATION and 1 <= number(entry + 4, 4) <= 4 // TYPES.get(kind, 5):
            value = number(entry + 8, TYPES[kind])  # a negative one is too large
            return value if 1 <= value <= 8 else 1
    return 1


def _exif(contents: bytes) -> bytes:
    """Returns what all segments of EXIF hold, joined."""
    exif, place = b"", 2
    for _ in range(MAX_SEGMENTS):
        # Decoders skip bytes between segments, too; and fill bytes, which repeat a marker's first one.
        marker = contents.find(b"\xff", place)
        while contents[marker : marker + 1] == b"\xff":
            marker += 1
        if marker <= 0 or marker >= len(contents) or contents[marker] in ENDS:
            break
        place = marker + 1
        if contents[marker] in ALONE:
            continue
        end = place + int.from_bytes(contents[place : place + 2], "big")
        if contents[marker] == APP1 and contents[place + 2 : end].startswith(SIGNATURE):
            exif += contents[place + 2 + len(SIGNATURE) : end]
        place = max(end, place + 2)
    return exif
