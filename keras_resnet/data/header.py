"""What a file of an image says of itself, read by TensorFlow's operations before anything is decoded.

What lies behind the end of a file is taken for zeros: an error of an operation on strings would show the
string, whose bytes are no text.
"""

from collections.abc import Callable

import tensorflow as tf

# Bytes of a file in which its size is told; behind the end of a shorter one are zeros.
_HEADER = 64
# Bytes in which a camera says how it was held, and most of what else it may say before that.
_EXIF, _MOST_TAGS = 1024, 64
_ORIENTATION = 0x0112
# In front of a GIF's first picture; encoders write three or four.
_MOST_GIF_EXTENSIONS = 1000


def apart(function: Callable[..., tf.Tensor]) -> Callable[..., tf.Tensor]:
    """A function that is one operation to the graph around it.

    For a branch that is seldom taken: else each of its operations is passed by, one after another.
    """
    return tf.function(function, autograph=False, experimental_attributes={"_noinline": True})


def without_animation(contents: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """A file as far as it is to be decoded, and the height and width, (2,) int64, that decoding it takes.

    Of a GIF all but the first picture is left out: the decoder would hold a whole animation in memory.

    Args:
        contents: a JPEG, PNG, GIF, BMP or WebP file; of anything else the size is 0.
    """
    kinds = [
        (tf.io.is_jpeg(contents), lambda: tf.cast(tf.io.extract_jpeg_shape(contents)[:2], tf.int64)),
        (is_png(contents), lambda: tf.stack([_number(contents, at, 4, big=True) for at in (20, 16)])),
        # The sign of a height says from where the rows are counted.
        (_is_bmp(contents), lambda: tf.abs(tf.stack([_signed(contents, at) for at in (22, 18)]))),
        (_begins(contents, b"RIFF"), lambda: _webp_size(contents)),
    ]

    def as_it_is():
        return contents, tf.case(kinds, default=lambda: tf.zeros(2, tf.int64), exclusive=True)

    return tf.cond(_begins(contents, b"GIF8"), lambda: _first_of_gif(contents), as_it_is)


def is_png(contents: tf.Tensor) -> tf.Tensor:
    return _begins(contents, b"\x89PNG")


def is_jpeg_without_black(contents: tf.Tensor) -> tf.Tensor:
    """Whether it is a JPEG of grey or of three colours, and not CMYK."""
    return _and(tf.io.is_jpeg(contents), lambda: tf.io.extract_jpeg_shape(contents)[2] <= 3)


def orientation(contents: tf.Tensor) -> tf.Tensor:
    """How the picture of a JPEG lies, as its camera says (EXIF), 1..8; 1, upright, where nothing says so.

    Looked for where EXIF has to be: at the very beginning, or behind the header of JFIF.
    """
    # One expression, for it is asked of every picture.
    is_told = tf.strings.regex_full_match(tf.strings.substr(contents, 0, 28), r"\C{6}Exif\C*|\C{24}Exif")
    return tf.cond(is_told, lambda: _orientation(contents), lambda: tf.constant(1, tf.int64))


@apart
def _orientation(contents: tf.Tensor) -> tf.Tensor:
    """The orientation in a TIFF's first directory."""
    octets = tf.cast(tf.io.decode_raw(contents, tf.uint8, fixed_length=_EXIF), tf.int64)
    first = tf.reduce_all(octets[6:10] == tf.constant([*b"Exif"], tf.int64))
    start = tf.where(first, tf.constant(12, tf.int64), 30)
    big = octets[start] == ord("M")

    def number(place):
        """Of two bytes; what lies behind what is looked at counts for nothing."""
        here, next_ = (tf.gather(octets, tf.minimum(place + at, _EXIF - 1)) for at in (0, 1))
        return tf.where(big, 256 * here + next_, here + 256 * next_)

    one, other = number(start + 4), number(start + 6)
    directory = start + tf.where(big, 2**16 * one + other, one + 2**16 * other)
    entries = directory + 2 + 12 * tf.range(_MOST_TAGS, dtype=tf.int64)
    is_there = (tf.range(_MOST_TAGS, dtype=tf.int64) < number(directory)) & (entries + 12 <= _EXIF)
    told = tf.reduce_max(tf.where(is_there & (number(entries) == _ORIENTATION), number(entries + 8), 0))
    return tf.where((told >= 1) & (told <= 8), told, 1)


def is_bmp_with_palette(contents: tf.Tensor) -> tf.Tensor:
    return _and(_is_bmp(contents), lambda: _number(contents, 28, 2) == 8)


def bmp_palette(contents: tf.Tensor) -> tf.Tensor:
    """Red, green and blue of each colour of a BMP with a palette, (colours, 3) uint8."""
    told = _number(contents, 46, 4)
    start, colours = 14 + _number(contents, 14, 4), tf.where(told == 0, tf.constant(256, tf.int64), told)
    entries = tf.io.decode_raw(contents, tf.uint8)[start : start + 4 * colours]
    return tf.reshape(entries, [-1, 4])[:, 2::-1]


def _is_bmp(contents: tf.Tensor) -> tf.Tensor:
    return _begins(contents, b"BM")


def _begins(contents: tf.Tensor, signature: bytes) -> tf.Tensor:
    return tf.strings.substr(contents, 0, len(signature)) == signature


def _and(condition: tf.Tensor, other: Callable[[], tf.Tensor]) -> tf.Tensor:
    return tf.cond(condition, other, lambda: tf.constant(False))


def _number(contents: tf.Tensor, place: int, length: int, big: bool = False) -> tf.Tensor:
    """An unsigned integer of so many bytes of the header, the least first or the biggest, int64."""
    octets = tf.io.decode_raw(contents, tf.uint8, fixed_length=_HEADER)[place : place + length]
    values = [256**at for at in range(length)]
    return tf.reduce_sum(tf.cast(octets, tf.int64) * tf.constant(values[::-1] if big else values, tf.int64))


def _signed(contents: tf.Tensor, place: int) -> tf.Tensor:
    number = _number(contents, place, 4)
    return tf.where(number < 2**31, number, number - 2**32)


def _webp_size(contents: tf.Tensor) -> tf.Tensor:
    def lossy():
        return tf.stack([_number(contents, at, 2) % 2**14 for at in (28, 26)])

    def lossless():
        sides = _number(contents, 21, 4)
        return tf.stack([sides // 2**14 % 2**14, sides % 2**14]) + 1

    def extended():
        return tf.stack([_number(contents, at, 3) for at in (27, 24)]) + 1

    kind = _number(contents, 12, 4)
    kinds = [
        (kind == int.from_bytes(name, "little"), size)
        for name, size in ((b"VP8 ", lossy), (b"VP8L", lossless), (b"VP8X", extended))
    ]
    return tf.case(kinds, default=lambda: tf.zeros(2, tf.int64), exclusive=True)


def _first_of_gif(contents: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    octets = tf.cast(tf.io.decode_raw(contents, tf.uint8), tf.int32)
    last = tf.size(octets) - 1

    def at(place):
        return octets[tf.minimum(place, last)]

    def table(place):
        """Bytes of the table of colours that the flags at this place tell of."""
        return tf.where(at(place) >= 128, 3 * 2 ** (at(place) % 8 + 1), 0)

    def sides(place):
        return tf.cast(tf.stack([at(place + side) + 256 * at(place + side + 1) for side in (2, 0)]), tf.int64)

    # Data come in blocks, each behind its length, up to one of length 0: from each byte, if it were such a
    # length, to the next; then two steps at a time, four, ... to the end.
    places = tf.range(last + 1)
    steps = tf.where(octets == 0, places, tf.minimum(places + 1 + octets, last))
    _, ends = tf.while_loop(
        lambda count, _: count <= last,
        lambda count, ends: (2 * count, tf.gather(ends, ends)),
        (tf.constant(1), steps),
    )
    # Comments and the like, each of two bytes and data.
    (picture,) = tf.while_loop(
        lambda place: (place < last) & (at(place) == ord("!")),
        lambda place: (ends[tf.minimum(place + 2, last)] + 1,),
        (13 + table(10),),
        maximum_iterations=_MOST_GIF_EXTENSIONS,
    )
    data = picture + 10 + table(picture + 9) + 1
    end = ends[tf.minimum(data, last)] + 1
    is_picture = at(picture) == ord(",")
    size = tf.maximum(sides(6), tf.where(is_picture, sides(picture + 5), tf.zeros(2, tf.int64)))
    first = tf.where(is_picture, tf.strings.substr(contents, 0, end) + b";", b"")
    return first, size
