"""Reads the rarer files by TensorFlow's operations, to Pillow's pixels, for graphs that are exported.

TensorFlow's own decoders return the indices of a BMP's palette and misread its masks, refuse transparency in
WebP, make it black in GIF, hold a whole animation for its first frame, and take a CMYK JPEG without Adobe's
marker for the negative of what Pillow takes it for.
"""

import tensorflow as tf

from keras_resnet.data.images.augment import upright
from keras_resnet.data.images.graph_exif import orientation
from keras_resnet.data.images.headers import DCT, Header, as_one_op, check_size, starts_with
from keras_resnet.data.images.readers import Reader

# Adobe's segment, without a transformation of colors; one that the file itself has comes later, and counts.
_ADOBE = b"\xff\xee\0\x0eAdobe\0\x64\0\0\0\0\0"
# Extensions in front of a GIF's first frame; encoders write three or four.
_MAX_GIF_EXTENSIONS = 1000
_GRAPHIC_CONTROL = 0xF9
# BMP: bits of a pixel, the shortest header with all fields, and the masks of red, green and blue.
_BMP_BITS, _BMP_HEADER, _BMP_MASKS = (8, 24, 32), 40, (0xFF0000, 0xFF00, 0xFF)
_UNCOMPRESSED, _MASKS = 0, 3
# WebP: the flag of an animation.
_ANIMATED = 2


def _pixels(contents: tf.Tensor) -> tf.Tensor:
    """Returns the pixels of a CMYK JPEG, GIF, BMP or WebP file, (H, W, 3) uint8.

    Animated WebP files are refused, and BMP files of 1, 4 or 16 bits a pixel, compressed, or with an unusual
    header.
    """
    pixels = tf.case(
        [
            (tf.io.is_jpeg(contents), lambda: _cmyk_jpeg(contents)),
            (starts_with(contents, b"GIF8"), lambda: _gif(contents)),
            (starts_with(contents, b"BM"), lambda: _bmp(contents)),
        ],
        default=lambda: _webp(contents),
    )
    return tf.ensure_shape(pixels, (None, None, 3))


def _cmyk_jpeg(contents: tf.Tensor) -> tf.Tensor:
    with tf.control_dependencies([check_size(tf.io.extract_jpeg_shape(contents)[:2])]):
        rest = tf.strings.substr(contents, 2, tf.strings.length(contents) - 2)
    pixels = tf.io.decode_jpeg(tf.strings.join([b"\xff\xd8", _ADOBE, rest]), 3, dct_method=DCT)
    return upright(pixels, orientation(contents))


def _bmp(contents: tf.Tensor) -> tf.Tensor:
    header = Header(contents)
    bits, compression = header.little(28, 2), header.little(30, 4)
    masks = tf.reduce_all(tf.stack([header.little(54 + 4 * i, 4) for i in range(3)]) == _BMP_MASKS)
    plain = (compression == _UNCOMPRESSED) | ((compression == _MASKS) & (bits == 32) & masks)
    known = plain & tf.reduce_any(bits == _BMP_BITS) & (header.little(14, 4) >= _BMP_HEADER)
    # The sign of the height says whether the rows are stored upward.
    size = tf.abs(tf.stack([header.signed(22), header.signed(18)]))
    checks = [tf.debugging.assert_equal(known, True, "it is a BMP of an unusual kind"), check_size(size)]
    with tf.control_dependencies(checks):
        contents = tf.identity(contents)

    def of_palette():
        return tf.gather(
            _bmp_palette(contents, header), tf.cast(tf.io.decode_bmp(contents)[..., 0], tf.int32)
        )

    return tf.cond(bits == 8, of_palette, lambda: tf.io.decode_image(contents, 3, expand_animations=False))


def _bmp_palette(contents: tf.Tensor, header: Header) -> tf.Tensor:
    """Returns red, green and blue of each color of a BMP's palette, (colors, 3) uint8."""
    declared = header.little(46, 4)
    start = 14 + header.little(14, 4)
    colors = tf.where(declared == 0, tf.constant(256, tf.int64), declared)
    entries = tf.io.decode_raw(contents, tf.uint8)[start : start + 4 * colors]
    return tf.reshape(entries, [-1, 4])[:, 2::-1]


def _webp(contents: tf.Tensor) -> tf.Tensor:
    header = Header(contents)
    kind = tf.where(starts_with(contents, b"RIFF"), header.little(12, 4), 0)
    lossless = header.little(21, 4)
    sizes = {
        b"VP8 ": lambda: [header.little(at, 2) % 2**14 for at in (28, 26)],
        b"VP8L": lambda: [lossless // 2**14 % 2**14 + 1, lossless % 2**14 + 1],
        b"VP8X": lambda: [header.little(at, 3) + 1 for at in (27, 24)],
    }
    size = tf.case(
        [
            (kind == int.from_bytes(name, "little"), lambda size=size: tf.stack(size()))
            for name, size in sizes.items()
        ],
        default=lambda: tf.zeros(2, tf.int64),
    )
    # Of which TensorFlow's decoder would write all frames into the memory of one.
    animated = (kind == int.from_bytes(b"VP8X", "little")) & (header.little(20, 1) // _ANIMATED % 2 == 1)
    checks = [
        tf.debugging.assert_equal(animated, False, "it is an animation in a WebP file"),
        check_size(size),
    ]
    with tf.control_dependencies(checks):
        contents = tf.identity(contents)
    # With as many channels as the file has: the decoder converts neither way.
    return tf.io.decode_image(contents, 0, expand_animations=False)[..., :3]


def _gif(contents: tf.Tensor) -> tf.Tensor:
    """Returns the first frame of a GIF, on a canvas of its transparent color, or else of its first one."""
    octets = tf.cast(tf.io.decode_raw(contents, tf.uint8), tf.int32)
    last = tf.size(octets) - 1

    def at(place):
        return octets[tf.minimum(place, last)]

    def palette_size(place):
        """Returns the bytes of the palette that the flags at this place declare."""
        return tf.where(at(place) >= 128, 3 * 2 ** (at(place) % 8 + 1), 0)

    def pair(place):
        """Returns height and width, or top and left, of which the second is stored first."""
        return tf.stack([at(place + side) + 256 * at(place + side + 1) for side in (2, 0)])

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

    def skip(place, background):
        """Steps over an extension, which is two bytes and data, and notes the transparent color."""
        transparent = (at(place + 1) == _GRAPHIC_CONTROL) & (at(place + 3) % 2 == 1)
        color = tf.where(transparent, at(place + 6), background)
        return ends[tf.minimum(place + 2, last)] + 1, color

    screen_end = 13 + palette_size(10)
    frame, background = tf.while_loop(
        lambda place, _: (place < last) & (at(place) == ord("!")),
        skip,
        (screen_end, tf.constant(0)),
        maximum_iterations=_MAX_GIF_EXTENSIONS,
    )
    local = palette_size(frame + 9)
    data = frame + 10 + local + 1
    end = ends[tf.minimum(data, last)] + 1
    corner, shape = pair(frame + 1), pair(frame + 5)
    canvas = tf.maximum(pair(6), corner + shape)
    checks = [tf.debugging.assert_equal(at(frame), ord(","), "it has no frame"), check_size(canvas)]
    with tf.control_dependencies(checks):
        contents = tf.identity(contents)

    def part(start, stop):
        return tf.strings.substr(contents, start, stop - start)

    # A file of that frame alone, in the corner of a screen of its size, and without the extension that makes
    # a color transparent.
    alone = [
        part(0, 6),
        part(frame + 5, frame + 9),
        part(10, screen_end),
        b",\0\0\0\0",
        part(frame + 5, tf.minimum(end, last + 1)),
        b";",
    ]
    pixels = tf.io.decode_image(tf.strings.join(alone), 3, expand_animations=False)
    color = tf.where(local > 0, frame + 10, 13) + 3 * background
    fill = tf.cast(tf.stack([at(color + channel) for channel in range(3)]), tf.uint8)
    paddings = tf.concat([tf.stack([corner, canvas - corner - shape], axis=1), [[0, 0]]], axis=0)
    # In arithmetic modulo 256.
    return tf.pad(pixels - fill, paddings) + fill


# Reads without Python: for exported graphs.
GRAPH = Reader(orientation, as_one_op(_pixels))
