"""EXIF orientation of a JPEG file by TensorFlow's operations, for graphs that are exported."""

import tensorflow as tf

from keras_resnet.data.images.exif import (
    ALONE,
    APP1,
    BYTE_ORDERS,
    ENDS,
    MAX_SEGMENTS,
    ORIENTATION,
    SIGNATURE,
    TYPES,
)
from keras_resnet.data.images.headers import as_one_op

# Bytes in which each step looks for the next marker.
_WINDOW = 64
_ENTRY = 12
_BIG_ENDIAN = next(prefix for prefix, order in BYTE_ORDERS.items() if order == "big")


@as_one_op
def orientation(contents: tf.Tensor) -> tf.Tensor:
    """Returns the EXIF orientation of a JPEG, 1..8, int64: the same as `exif.jpeg_orientation`."""
    exif = _exif(contents)
    size = _length(exif)
    octets = tf.cast(tf.io.decode_raw(_padded(exif), tf.uint8), tf.int64)
    prefix = tf.strings.substr(_padded(exif), 0, len(_BIG_ENDIAN))

    def number(place, length):
        """Reads an integer of so many bytes at each of several places."""
        places = place[..., tf.newaxis] + tf.range(length, dtype=tf.int64)
        read = tf.gather(octets, tf.minimum(places, size))
        read = tf.where(prefix == _BIG_ENDIAN, tf.reverse(read, [-1]), read)
        return tf.reduce_sum(read * [256**at for at in range(length)], axis=-1)

    first = number(tf.constant(4, tf.int64), 4) + 2
    end = tf.minimum(first + _ENTRY * number(first - 2, 2), size - _ENTRY + 1)
    entries = tf.range(first, tf.maximum(first, end), _ENTRY)
    kinds, counts = number(entries + 2, 2), number(entries + 4, 4)
    values, known = tf.zeros_like(entries), tf.zeros_like(entries, tf.bool)
    for kind, length in TYPES.items():
        fits = (kinds == kind) & (counts >= 1) & (counts <= 4 // length)
        values, known = tf.where(fits, number(entries + 8, length), values), known | fits
    # Only the first counts; the 1 at the end stands for none.
    right = known & (number(entries, 2) == ORIENTATION)
    found = tf.concat([tf.boolean_mask(values, right), [1]], axis=0)[0]
    is_tiff = tf.reduce_any(prefix == list(BYTE_ORDERS))
    return tf.where(is_tiff & (found >= 1) & (found <= 8), found, 1)


def _exif(contents: tf.Tensor) -> tf.Tensor:
    """Returns what all segments of EXIF hold, joined: the same as `exif._exif`."""
    size = _length(contents)

    def octets(place, length):
        """Reads this many bytes, zeros behind the end of the file."""
        part = tf.strings.substr(contents, tf.minimum(place, size), length)
        return tf.cast(tf.io.decode_raw(part, tf.uint8, fixed_length=length), tf.int64)

    def step(place, exif):
        window = octets(place, _WINDOW)
        is_marker = (window[:-1] == 0xFF) & (window[1:] != 0xFF)
        at = tf.argmax(tf.cast(is_marker, tf.uint8)) + 1
        marker, found = window[at], tf.reduce_any(is_marker)
        segment = place + at + 1
        high, low = tf.unstack(octets(segment, 2))
        end = segment + 256 * high + low
        body = segment + 2 + len(SIGNATURE)
        signature = tf.strings.substr(contents, tf.minimum(segment + 2, size), len(SIGNATURE))
        is_exif = found & (marker == APP1) & (signature == SIGNATURE) & (body <= end)
        length = tf.where(is_exif, end - body, 0)
        exif = tf.strings.join([exif, tf.strings.substr(contents, tf.minimum(body, size), length)])
        following = tf.where(tf.gather(_table(ALONE), marker), segment, tf.maximum(end, segment + 2))
        following = tf.where(tf.gather(_table(ENDS), marker), size, following)
        return tf.where(found, following, place + _WINDOW - 1), exif

    _, exif = tf.while_loop(
        lambda place, _: place < size,
        step,
        (tf.constant(2, tf.int64), tf.constant(b"")),
        maximum_iterations=MAX_SEGMENTS,
    )
    return exif


def _table(markers: set[int]) -> tf.Tensor:
    return tf.constant([marker in markers for marker in range(256)])


def _length(contents: tf.Tensor) -> tf.Tensor:
    return tf.cast(tf.strings.length(contents), tf.int64)


def _padded(contents: tf.Tensor) -> tf.Tensor:
    return tf.strings.join([contents, tf.constant(bytes(_ENTRY))])
