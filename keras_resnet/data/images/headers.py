"""Reads headers of image files with TensorFlow's operations, before anything is decoded.

A decoder allocates whatever size a header declares, and turns no JPEG upright.

Bytes behind the end of a file count as zeros: the error of an operation on strings would quote the string,
and its bytes are not text.
"""

from collections.abc import Callable

import tensorflow as tf

from keras_resnet.data.dataset import MAX_PIXELS

# The transform by which JPEG files are decoded: Pillow's, and 2% slower than TensorFlow's default.
DCT = "INTEGER_ACCURATE"
# Bytes of a file in which all formats declare their size, and how they lie.
_HEADER = 72
# Bytes in which the header of a JPEG ends that holds nothing but JFIF and tables.
_JPEG_HEADER = 1200
# Bytes above 127 cannot be named: \C{2} is a marker. In order: JFIF's segment without a thumbnail, tables of
# quantization, the size, tables of Huffman's code or the interval of restarts, and, behind everything up to
# there, the first scan of one or three components.
_PLAIN = (
    r"\C{2}(\C{2}\x00\x10JFIF\x00\C{9})?(\C{2}\x00(\x43\C{65}|\x84\C{130}))+"
    r"\C{2}\x00(\x0b\x08\C{4}\x01\C{3}|\x11\x08\C{4}\x03\C{9})"
    r"\C{2}([\x00\x01]\C[\x00\x01\x10\x11]|\x00\x04)\C*"
    r"(\x00\x0c\x03\x01\C\x02\C\x03\C|\x00\x08\x01\x01\C)\x00[\x3f\x00][\x00\x01]\C*"
)
_EXIF = r"\C*Exif\x00\x00\C*"


def as_one_op(function: Callable[..., tf.Tensor]) -> Callable[..., tf.Tensor]:
    """Makes a function a single operation of the graph around it.

    For a branch that is seldom taken: each of its operations would otherwise be scheduled in order to be
    skipped.
    """
    return tf.function(function, autograph=False, experimental_attributes={"_noinline": True})


def is_png(contents: tf.Tensor) -> tf.Tensor:
    return starts_with(contents, b"\x89PNG")


def is_gray_or_rgb_jpeg(contents: tf.Tensor) -> tf.Tensor:
    """Whether a file is a JPEG of one or three channels, and not CMYK."""
    return and_(tf.io.is_jpeg(contents), lambda: tf.io.extract_jpeg_shape(contents)[2] <= 3)


def png_size(contents: tf.Tensor) -> tf.Tensor:
    """Returns the height and width that a PNG declares, (2,) int64."""
    header = Header(contents)
    return tf.stack([header.big(20, 4), header.big(16, 4)])


def is_plain_jpeg(contents: tf.Tensor) -> tf.Tensor:
    """Whether a file is a gray or RGB JPEG whose first bytes show that no EXIF turns it, as most are.

    For others the answer is False: their headers have to be read segment by segment.
    """
    header = tf.strings.substr(contents, 0, _JPEG_HEADER)
    # Two expressions and nothing else, because they are evaluated for every image.
    return tf.strings.regex_full_match(header, _PLAIN) & ~tf.strings.regex_full_match(header, _EXIF)


class Header:
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


def starts_with(contents: tf.Tensor, signature: bytes) -> tf.Tensor:
    return tf.strings.substr(contents, 0, len(signature)) == signature


def check_size(shape: tf.Tensor, what: str = "it has") -> tf.Operation:
    """Asserts that an image of this height and width has no more than `MAX_PIXELS`."""
    pixels = tf.reduce_prod(tf.cast(shape, tf.int64))
    return tf.debugging.assert_less_equal(
        pixels, tf.constant(MAX_PIXELS, tf.int64), f"{what} more than {MAX_PIXELS:,} pixels"
    )


def and_(condition: tf.Tensor, other: Callable[[], tf.Tensor]) -> tf.Tensor:
    return tf.cond(condition, other, lambda: tf.constant(False))
