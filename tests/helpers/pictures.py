"""Real photographs as files of every kind, good and bad."""

import functools
import io
import struct
import zlib

import numpy as np
import PIL.Image
from sklearn.datasets import load_sample_images

PHOTOS = load_sample_images().images


def encoded(pixels, kind="JPEG", mode=None, **options):
    """An image as the bytes of a file."""
    picture = PIL.Image.fromarray(pixels)
    if mode:
        picture = picture.convert(mode)
    file = io.BytesIO()
    picture.save(file, kind, **options)
    return file.getvalue()


def lying(pixels, orientation, **options):
    """A JPEG of an upright picture as a camera that was held otherwise writes it."""
    exif = PIL.Image.Exif()
    exif[0x010F], exif[0x0112] = "A maker of cameras", orientation
    return encoded(LAID[orientation](pixels), quality=95, exif=exif, **options)


# What lies on the side of the sensor for each orientation (EXIF 2.3, 4.6.4 A), as row 0 and column 0 tell.
LAID = {
    1: lambda upright: upright,
    2: lambda upright: upright[:, ::-1],
    3: lambda upright: upright[::-1, ::-1],
    4: lambda upright: upright[::-1],
    5: lambda upright: upright.transpose(1, 0, 2),
    6: lambda upright: upright.transpose(1, 0, 2)[::-1],
    7: lambda upright: upright.transpose(1, 0, 2)[::-1, ::-1],
    8: lambda upright: upright.transpose(1, 0, 2)[:, ::-1],
}


@functools.cache
def small(label, width=100, height=75):
    """One of the two photographs at another size."""
    return np.asarray(PIL.Image.fromarray(PHOTOS[label]).resize((width, height)))


@functools.cache
def part_of(label, number, width=100, height=75):
    """One of the two photographs without its left and upper edge, by a number another picture than others."""
    photo = PHOTOS[label]
    part = photo[8 * (number % 20) :, 12 * number :]
    return np.asarray(PIL.Image.fromarray(part).resize((width, height)))


def bomb():
    """A PNG of 60,000 x 60,000 pixels in 100 bytes, as its header has it."""

    def chunk(kind, data):
        body = kind + data
        return struct.pack(">I", len(data)) + body + struct.pack(">I", zlib.crc32(body))

    header = struct.pack(">IIBBBBB", 60_000, 60_000, 8, 2, 0, 0, 0)
    parts = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\0" * 10)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + parts


@functools.cache
def animation(kind="GIF"):
    frames = [PIL.Image.fromarray(small(label)) for label in (0, 1)]
    file = io.BytesIO()
    frames[0].save(file, kind, save_all=True, append_images=frames[1:])
    return file.getvalue()


def frame(width, height):
    """A picture of a GIF, as its header has it, of which nothing follows."""
    return b"," + struct.pack("<HHHH", 0, 0, width, height) + b"\0\x02\0"


@functools.cache
def kinds():
    """Files by name: the kind that validation finds (None: nothing), whether it is unusable, the content."""
    photo = small(0)
    jpeg = encoded(photo)
    wide = np.arange(75 * 100, dtype="uint16").reshape(75, 100) * 8
    return {
        "good.jpg": (None, False, jpeg),
        "good.png": (None, False, encoded(photo, "PNG")),
        "good.bmp": (None, False, encoded(photo, "BMP")),
        "good.webp": (None, False, encoded(photo, "WEBP")),
        "grey.jpg": (None, False, encoded(photo, mode="L")),
        "alpha.png": (None, False, encoded(photo, "PNG", "RGBA")),
        "palette.png": (None, False, encoded(photo, "PNG", "P")),
        "cmyk.jpg": ("CMYK", False, encoded(photo, mode="CMYK")),
        "wide.png": ("16-bit", False, encoded(wide, "PNG")),
        "png.jpg": ("misnamed", False, encoded(photo, "PNG")),
        "animated.gif": ("animated", False, animation()),
        "animated.png": ("animated", False, animation("PNG")),
        "cut.gif": ("animated", False, animation()[: -len(animation()) // 4]),
        "palette.bmp": (None, False, encoded(photo, "BMP", "P")),
        "grey.bmp": (None, False, encoded(photo, "BMP", "L")),
        "one.bmp": (None, False, encoded(photo, "BMP", "1")),
        "animated.webp": ("animated", False, animation("WEBP")),
        "empty.jpg": ("empty", True, b""),
        "text.jpg": ("unreadable", True, b"This is no picture.\n" * 20),
        "truncated.jpg": ("truncated", True, jpeg[: len(jpeg) // 2]),
        "truncated.png": ("truncated", True, encoded(photo, "PNG")[:5000]),
        "tiff.jpg": ("unsupported", True, encoded(photo, "TIFF")),
        "empty-behind.png": ("unreadable", True, encoded(photo, "PNG")[:12]),
        "bomb.png": ("bomb", True, bomb()),
    }


def write_folder(root, images=10, split=True):
    """Good pictures of two classes: train/CLASS/*.jpg and val/CLASS/*.jpg, or CLASS/*.jpg."""
    for label, name in enumerate(("church", "flower")):
        for part, count in (("train", images), ("val", 2)) if split else (("", images),):
            folder = root / part / name
            folder.mkdir(parents=True)
            for i in range(count):
                number = i if part != "val" else images + i
                (folder / f"{i:02}.jpg").write_bytes(encoded(part_of(label, number, 100 + i, 75)))
    return root


def write_files(root, *paths, count=1):
    """Empty files, for tests of where files lie: for a/ some that are called images, for a/b.txt that one."""
    for path in paths:
        for file in [f"{path}{i}.jpg" for i in range(count)] if path.endswith("/") else [path]:
            (root / file).parent.mkdir(parents=True, exist_ok=True)
            (root / file).touch()
    return root
