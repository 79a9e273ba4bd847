"""Reads headers of image files with TensorFlow's operations, before anything is decoded.

Exported graphs and training both need that: a decoder allocates whatever size a header declares, turns no
JPEG upright, decodes a whole animation for its first frame, and knows no palette of BMP.

Bytes behind the end of a file count as zeros: the error of an operation on strings would quote the string,
and its bytes are not text.
"""

from collections.abc import Callable

import tensorflow as tf

# Bytes of a file in which all formats declare their size.
_HEADER = 64
# Bytes in which EXIF's orientation is looked for, and most entries of the directory before it.
_EXIF, _MAX_TAGS = 1024, 64
_ORIENTATION = 0x0112
# Extensions in front of a GIF's first frame; encoders write three or four.
_MAX_GIF_EXTENSIONS = 1000


def as_one_op(function: Callable[..., tf.Tensor]) -> Callable[..., tf.Tensor]:
    """Makes a function a single operation of the graph around it.

    For a branch that is seldom taken: each of its operations would otherwise be scheduled in order to be
    skipped.
    """
    return tf.function(function, autograph=False, experimental_attributes={"_noinline": True})


def first_frame(contents: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Returns the part of a file to decode, and the height and width that its header declares, (2,) int64.

    Of a GIF that is the first frame: the decoder would hold a whole animation in memory.

    Args:
        contents: a JPEG, PNG, GIF, BMP or WebP file; for anything else the size is 0.
    """
    return tf.cond(
        _starts_with(contents, b"GIF8"),
        lambda: _first_gif_frame(contents),
        lambda: (contents, _declared_size(contents)),
    )


def is_png(contents: tf.Tensor) -> tf.Tensor:
    return _starts_with(contents, b"\x89PNG")


def is_gray_or_rgb_jpeg(contents: tf.Tensor) -> tf.Tensor:
    """Whether a file is a JPEG of one or three channels, and not CMYK."""
    return _and(tf.io.is_jpeg(contents), lambda: tf.io.extract_jpeg_shape(contents)[2] <= 3)


def orientation(contents: tf.Tensor) -> tf.Tensor:
    """Returns the EXIF orientation of a JPEG, 1..8; 1 (upright) where there is none.

    It is looked for where EXIF has to be: at the very beginning, or behind the header of JFIF.
    """
    # One expression, because it is evaluated for every image.
    has_exif = tf.strings.regex_full_match(tf.strings.substr(contents, 0, 28), r"\C{6}Exif\C*|\C{24}Exif")
    return tf.cond(has_exif, lambda: _exif_orientation(contents), lambda: tf.constant(1, tf.int64))


@as_one_op
def _exif_orientation(contents: tf.Tensor) -> tf.Tensor:
    """Returns the orientation in the first directory of the TIFF that EXIF is.

    The second directory describes the thumbnail, and may hold an orientation that does not apply to the
    image: so a search for the tag's bytes would not do.
    """
    octets = tf.cast(tf.io.decode_raw(contents, tf.uint8, fixed_length=_EXIF), tf.int64)
    first = tf.reduce_all(octets[6:10] == tf.constant([*b"Exif"], tf.int64))
    start = tf.where(first, tf.constant(12, tf.int64), 30)
    big_endian = octets[start] == ord("M")

    def number(place):
        """Reads two bytes; bytes behind `_EXIF` are not used."""
        here, following = (tf.gather(octets, tf.minimum(place + at, _EXIF - 1)) for at in (0, 1))
        return tf.where(big_endian, 256 * here + following, here + 256 * following)

    one, other = number(start + 4), number(start + 6)
    directory = start + tf.where(big_endian, 2**16 * one + other, one + 2**16 * other)
    entries = directory + 2 + 12 * tf.range(_MAX_TAGS, dtype=tf.int64)
    exists = (tf.range(_MAX_TAGS, dtype=tf.int64) < number(directory)) & (entries + 12 <= _EXIF)
    value = tf.reduce_max(tf.where(exists & (number(entries) == _ORIENTATION), number(entries + 8), 0))
    return tf.where((value >= 1) & (value <= 8), value, 1)


def is_palette_bmp(contents: tf.Tensor) -> tf.Tensor:
    """Whether a file is a BMP of 8 bits per pixel, which the decoder returns as indices of its palette."""
    return _and(_starts_with(contents, b"BM"), lambda: _Header(contents).little(28, 2) == 8)


def bmp_palette(contents: tf.Tensor) -> tf.Tensor:
    """Returns red, green and blue of each color of a BMP's palette, (colors, 3) uint8."""
    header = _Header(contents)
    declared = header.little(46, 4)
    start = 14 + header.little(14, 4)
    colors = tf.where(declared == 0, tf.constant(256, tf.int64), declared)
    entries = tf.io.decode_raw(contents, tf.uint8)[start : start + 4 * colors]
    return tf.reshape(entries, [-1, 4])[:, 2::-1]


class _Header:
    """The first bytes of a file, as unsigned integers."""

    def __init__(self, contents: tf.Tensor):
        self._octets = tf.cast(tf.io.decode_raw(contents, tf.uint8, fixed_length=_HEADER), tf.int64)

    def little(self, place: int, length: int) -> tf.Tensor:
        """Reads an integer of so many bytes, the least significant first."""
        return tf.reduce_sum(self._octets[place : place + length] * [256**at for at in range(length)])

    def big(self, place: int, length: int) -> tf.Tensor:
        """Reads an integer of so many bytes, the most significant first."""
        return tf.reduce_sum(self._octets[place : place + length] * [256**at for at in range(length)][::-1])

    def signed(self, place: int) -> tf.Tensor:
        """Reads a signed integer of four bytes, the least significant first."""
        number = self.little(place, 4)
        return tf.where(number < 2**31, number, number - 2**32)


def _declared_size(contents: tf.Tensor) -> tf.Tensor:
    """Returns the height and width that a JPEG, PNG, BMP or WebP file declares, (2,) int64, or 0."""
    header = _Header(contents)
    webp_kind = tf.where(_starts_with(contents, b"RIFF"), header.little(12, 4), 0)
    lossless = header.little(21, 4)
    sizes = [
        (is_png(contents), lambda: [header.big(20, 4), header.big(16, 4)]),
        # The sign of a height says whether the rows are stored upward.
        (_starts_with(contents, b"BM"), lambda: [tf.abs(header.signed(22)), tf.abs(header.signed(18))]),
        (webp_kind == _webp(b"VP8 "), lambda: [header.little(at, 2) % 2**14 for at in (28, 26)]),
        (webp_kind == _webp(b"VP8L"), lambda: [lossless // 2**14 % 2**14 + 1, lossless % 2**14 + 1]),
        (webp_kind == _webp(b"VP8X"), lambda: [header.little(at, 3) + 1 for at in (27, 24)]),
    ]
    return tf.case(
        [
            (tf.io.is_jpeg(contents), lambda: tf.cast(tf.io.extract_jpeg_shape(contents)[:2], tf.int64)),
            *((matches, lambda size=size: tf.stack(size())) for matches, size in sizes),
        ],
        default=lambda: tf.zeros(2, tf.int64),
    )


def _webp(kind: bytes) -> int:
    return int.from_bytes(kind, "little")


def _starts_with(contents: tf.Tensor, signature: bytes) -> tf.Tensor:
    return tf.strings.substr(contents, 0, len(signature)) == signature


def _and(condition: tf.Tensor, other: Callable[[], tf.Tensor]) -> tf.Tensor:
    return tf.cond(condition, other, lambda: tf.constant(False))


def _first_gif_frame(contents: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Returns a GIF cut off behind its first frame, and the larger of that frame's and the screen's size."""
    octets = tf.cast(tf.io.decode_raw(contents, tf.uint8), tf.int32)
    last = tf.size(octets) - 1

    def at(place):
        return octets[tf.minimum(place, last)]

    def palette(place):
        """Returns the bytes of the palette that the flags at this place declare."""
        return tf.where(at(place) >= 128, 3 * 2 ** (at(place) % 8 + 1), 0)

    def size(place):
        return tf.cast(tf.stack([at(place + side) + 256 * at(place + side + 1) for side in (2, 0)]), tf.int64)

    # Data are stored in blocks, each behind its length, up to one of length 0. From every byte, as if it were
    # such a length, this steps to the next; then two steps at a time, four, ... to the end: a loop over the
    # blocks would take as many rounds as a hostile file has blocks.
    places = tf.range(last + 1)
    steps = tf.where(octets == 0, places, tf.minimum(places + 1 + octets, last))
    _, ends = tf.while_loop(
        lambda count, _: count <= last,
        lambda count, ends: (2 * count, tf.gather(ends, ends)),
        (tf.constant(1), steps),
    )
    # Extensions, as comments, are two bytes and data.
    (frame,) = tf.while_loop(
        lambda place: (place < last) & (at(place) == ord("!")),
        lambda place: (ends[tf.minimum(place + 2, last)] + 1,),
        (13 + palette(10),),
        maximum_iterations=_MAX_GIF_EXTENSIONS,
    )
    data = frame + 10 + palette(frame + 9) + 1
    end = ends[tf.minimum(data, last)] + 1
    is_frame = at(frame) == ord(",")
    largest = tf.maximum(size(6), tf.where(is_frame, size(frame + 5), tf.zeros(2, tf.int64)))
    return tf.where(is_frame, tf.strings.substr(contents, 0, end) + b";", b""), largest
