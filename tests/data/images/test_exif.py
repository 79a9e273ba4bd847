"""Every way in which a JPEG may hold an EXIF orientation, beside Pillow."""

import functools
import io
import struct

import numpy as np
import PIL.Image
import PIL.ImageOps
import pytest
import tensorflow as tf
from helpers.encodings import exif, inserted, lying_jpeg, segment, tiff
from helpers.pictures import encoded, small

from keras_resnet.data.images import graph_exif
from keras_resnet.data.images.exif import jpeg_orientation
from keras_resnet.data.images.headers import is_plain_jpeg
from keras_resnet.data.images.readers import PILLOW

_ENTRY = struct.pack("<HHII", 0x010F, 4, 1, 0)
_THUMBNAIL = encoded(small(1, 160, 120))
_XMP = b"http://ns.adobe.com/xap/1.0/\0" + b'<x xmlns:tiff="http://ns.adobe.com/tiff/1.0/"/>'
# What may stand in front of EXIF.
BEFORE = {
    "nothing": b"",
    "a comment": segment(0xFE, b"x"),
    "a long comment": segment(0xFE, b"\xff\xdaExif\0\0" * 200),
    "ICC": segment(0xE2, b"ICC_PROFILE\0\1\1" + bytes(3000)) * 2,
    "XMP": segment(0xE1, _XMP),
    "APP13": segment(0xED, b"Photoshop 3.0\0" + _THUMBNAIL),
    "APP14": segment(0xEE, b"Adobe\0\x64\0\0\0\0\1"),
    "JFXX with a thumbnail": segment(0xE0, b"JFXX\0\x10" + _THUMBNAIL),
    "fill bytes": b"\xff" * 3,
    "many fill bytes": b"\xff" * 300,
    "an APP1 without a name": segment(0xE1, b""),
    "all of them": segment(0xFE, b"x") + segment(0xE1, _XMP) + segment(0xED, bytes(60_000)) + b"\xff" * 70,
}
# The EXIF itself, and whether it turns the picture.
EXIFS = {
    "SHORT": (tiff(6), True),
    "SHORT, big endian": (tiff(6, ">"), True),
    "LONG": (tiff(6, kind=4), True),
    "LONG, big endian": (tiff(6, ">", kind=4), True),
    "signed": (tiff(6, ">", kind=8), True),
    "signed LONG": (tiff(6, ">", kind=9), True),
    "BYTE": (tiff(6, kind=1), False),
    "two values": (tiff(6, count=2), True),
    "no value": (tiff(6, count=0), False),
    "0": (tiff(0), False),
    "9": (tiff(9), False),
    "negative": (tiff(-6, kind=9), False),
    "a directory at an odd place": (tiff(6, ">", directory=11), True),
    "a directory behind 1,024 bytes": (tiff(6, directory=5000), True),
    "a directory behind 1,024 bytes, big endian": (tiff(6, ">", 4, directory=65_000), True),
    "behind 100 others": (tiff(6, before=[_ENTRY] * 100), True),
    "behind another one": (tiff(6, before=[struct.pack("<HHIHH", 0x0112, 3, 1, 1, 0)]), False),
    "only in the second directory": (
        struct.pack("<2sHIHI", b"II", 42, 8, 0, 14) + tiff(6)[8:],
        False,
    ),
    "nothing": (b"", False),
    "not TIFF": (b"XX" + tiff(6)[2:], False),
    "another version of TIFF": (b"II\x2b\0" + tiff(6)[4:], False),
    "a directory outside": (tiff(6)[:4] + b"\xff\xff\xff\x7f" + tiff(6)[8:], False),
    "cut off in the header": (tiff(6)[:6], False),
    "cut off in the entry": (tiff(6)[:-9], False),
    "cut off behind the entry": (tiff(6)[:-4], True),
}


@functools.cache
def _in_graph():
    return tf.function(graph_exif.orientation, [tf.TensorSpec((), tf.string)], autograph=False)


@functools.cache
def _is_plain():
    return tf.function(is_plain_jpeg, [tf.TensorSpec((), tf.string)], autograph=False)


def _orientation(contents):
    """The orientation that all readers agree on."""
    found = jpeg_orientation(contents)
    tensor = tf.constant(contents)
    assert PILLOW.orientation(tensor) == _in_graph()(tensor) == found
    # Files for which the short way is taken are not looked at any further.
    assert found == 1 or not _is_plain()(tensor)
    return found


def _pillow_turns(contents):
    with PIL.Image.open(io.BytesIO(contents)) as image:
        return PIL.ImageOps.exif_transpose(image).size != image.size


@pytest.mark.parametrize("progressive", [False, True])
@pytest.mark.parametrize("name", BEFORE)
def test_exif_is_found_behind_anything(name, progressive):
    contents = lying_jpeg(progressive=progressive)
    for behind_jfif in (True, False):
        for orientation in (exif(6), exif(6, ">", kind=4)):
            file = inserted(contents, BEFORE[name], orientation, behind_jfif=behind_jfif)
            assert _pillow_turns(file)
            assert _orientation(file) == 6


@pytest.mark.parametrize("marker", [0xC0, 0xC4, 0xDA], ids=["size", "tables", "data"])
def test_exif_is_found_anywhere_in_front_of_the_data(marker):
    contents = lying_jpeg()
    place = contents.index(bytes([0xFF, marker]))
    file = contents[:place] + exif(6) + contents[place:]
    assert _pillow_turns(file)
    assert _orientation(file) == 6


def test_exif_behind_the_data_does_not_count():
    contents = lying_jpeg()
    assert _orientation(contents[:-2] + exif(6) + contents[-2:]) == 1
    assert _orientation(contents + exif(6)) == 1


@pytest.mark.filterwarnings("ignore::UserWarning")  # Pillow's, about damaged EXIF
@pytest.mark.parametrize("name", EXIFS)
def test_every_orientation_is_read_as_pillow_does(name):
    content, turned = EXIFS[name]
    file = inserted(lying_jpeg(), segment(0xE1, b"Exif\0\0" + content))
    assert _orientation(file) == (6 if turned else 1)
    if len(content) >= 8 and content[:2] in (b"II", b"MM") and content[2:4] != b"\x2b\0":  # else Pillow fails
        assert _pillow_turns(file) == turned


def test_exif_continues_in_the_next_segment():
    whole = tiff(6, directory=70_000)
    parts = [segment(0xE1, b"Exif\0\0" + whole[at : at + 60_000]) for at in (0, 60_000)]
    file = inserted(lying_jpeg(), parts[0], segment(0xFE, b"between"), parts[1])
    assert _pillow_turns(file)
    assert _orientation(file) == 6


def test_the_first_of_several_counts():
    file = inserted(lying_jpeg(), exif(1), exif(6))
    assert not _pillow_turns(file)
    assert _orientation(file) == 1


def test_most_files_go_the_short_way():
    photo = small(0)
    for options in ({}, {"quality": 30}, {"progressive": True}, {"optimize": True}, {"mode": "L"}):
        assert _is_plain()(tf.constant(encoded(photo, **options))), options
    for other in (encoded(photo, mode="CMYK"), encoded(photo, "PNG"), b"", b"\xff\xd8"):
        assert not _is_plain()(tf.constant(other))


def test_damage_is_read_alike():
    file = inserted(lying_jpeg(), segment(0xFE, b"x"), exif(6))
    end = file.index(b"\xff\xdb")
    numbers = np.random.default_rng(0)
    found = set()
    for _ in range(300):
        damaged = bytearray(file[: numbers.integers(2, end + 200)])
        for place in (
            numbers.integers(2, min(end, len(damaged)), numbers.integers(0, 4)) if len(damaged) > 2 else ()
        ):
            damaged[place] = numbers.choice([0, 1, 255, numbers.integers(256)])
        found.add(_orientation(bytes(damaged)))
    assert {1, 6} <= found
