"""One photograph in every encoding that an image file may have, written by Pillow or byte by byte."""

import functools
import io
import struct
import warnings
import zlib

import numpy as np
import PIL.Image
import PIL.ImageOps

from helpers.pictures import LAID, encoded, small

WIDTH, HEIGHT = 50, 37
PHOTO = small(0, WIDTH, HEIGHT)
# Half of it is transparent; the colors behind are those of the photograph.
ALPHA = np.where(np.arange(WIDTH) < WIDTH // 2, 0, 200).astype("uint8")[np.newaxis].repeat(HEIGHT, axis=0)
TRANSPARENT = np.dstack([PHOTO, ALPHA])
GRAY = np.asarray(PIL.Image.fromarray(PHOTO).convert("L"))


def file_of(image, kind, **options):
    """A Pillow image as the bytes of a file."""
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def palette(colors):
    return PIL.Image.fromarray(PHOTO).quantize(colors)


# JPEG ---------------------------------------------------------------------------------------------------


def segment(marker, content):
    return bytes([0xFF, marker]) + struct.pack(">H", len(content) + 2) + content


def without(contents, marker):
    """A JPEG without its first segment of this marker."""
    start = contents.index(bytes([0xFF, marker]))
    return contents[:start] + contents[start + 2 + int.from_bytes(contents[start + 2 : start + 4], "big") :]


def tiff(orientation, order="<", kind=3, directory=8, before=(), count=1):
    """EXIF whose first directory holds an orientation, of a type and at a place of choice."""
    formats = {1: "B", 3: "H", 4: "I", 6: "b", 8: "h", 9: "i", 13: "I"}
    value = struct.pack(order + formats[kind], orientation).ljust(4, b"\0")
    entries = [*before, struct.pack(f"{order}HHI", 0x0112, kind, count) + value]
    header = {"<": b"II", ">": b"MM"}[order] + struct.pack(f"{order}HI", 42, directory)
    return (
        header.ljust(directory, b"\0") + struct.pack(f"{order}H", len(entries)) + b"".join(entries) + bytes(4)
    )


def exif(*arguments, **options):
    return segment(0xE1, b"Exif\0\0" + tiff(*arguments, **options))


def lying_jpeg(orientation=6, **options):
    """A JPEG that has to be turned, still without its EXIF."""
    return encoded(np.ascontiguousarray(LAID[orientation](PHOTO)), quality=95, **options)


def inserted(contents, *segments, behind_jfif=True):
    place = 20 if behind_jfif else 2
    return contents[:place] + b"".join(segments) + contents[place:]


def ycck(contents):
    """A CMYK JPEG whose components are said to be YCCK."""
    place = contents.index(b"Adobe")
    return contents[: place + 11] + b"\2" + contents[place + 12 :]


# PNG ----------------------------------------------------------------------------------------------------


def png_chunk(kind, content):
    body = kind + content
    return struct.pack(">I", len(content)) + body + struct.pack(">I", zlib.crc32(body))


# Adam7: first column and row of each pass, and the steps between its pixels.
_PASSES = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))
_COLOR_TYPES = {1: 0, 2: 4, 3: 2, 4: 6}


def png(samples, bits=8, *, color_type=None, interlaced=False, chunks=b""):
    """A PNG of samples (H, W, C), each of so many bits, whose rows are not filtered."""
    color_type = _COLOR_TYPES[samples.shape[2]] if color_type is None else color_type
    header = struct.pack(
        ">IIBBBBB", samples.shape[1], samples.shape[0], bits, color_type, 0, 0, int(interlaced)
    )
    passes = [samples[y::down, x::across] for x, y, across, down in _PASSES] if interlaced else [samples]
    rows = [_row(row, bits) for part in passes if part.size for row in part]
    return (
        b"\x89PNG\r\n\x1a\n"
        + png_chunk(b"IHDR", header)
        + chunks
        + png_chunk(b"IDAT", zlib.compress(b"".join(rows)))
        + png_chunk(b"IEND", b"")
    )


def _row(row, bits):
    if bits == 16:
        return b"\0" + row.astype(">u2").tobytes()
    if bits == 8:
        return b"\0" + row.astype("uint8").tobytes()
    unpacked = np.unpackbits(row.astype("uint8").reshape(-1, 1), axis=1)[:, 8 - bits :]
    return b"\0" + np.packbits(unpacked).tobytes()


def _wide(pixels):
    """16 bits, whose lower 8 are not the higher ones."""
    return pixels.astype("uint16") * 256 + 255 - pixels


# GIF ----------------------------------------------------------------------------------------------------


def gif(*, transparent=None, screen=None, corner=(0, 0), local=False, comment=False):
    """A GIF of one frame, at a corner (left, top) of a screen (width, height)."""
    image = palette(64)
    contents = file_of(image, "GIF", interlace=0)
    start = 13 + 3 * 2 ** (contents[10] % 8 + 1)
    colors, frame = contents[13:start], contents[contents.index(b",", start) :]
    width, height = screen or (WIDTH, HEIGHT)
    flags = contents[10]
    head = b"GIF89a" + struct.pack("<HHBBB", width, height, 0 if local else flags, 3, 0)
    extensions = b"!\xfe\x05hello\0" if comment else b""
    if transparent is not None:
        extensions += b"!\xf9\x04" + struct.pack("<BHB", 1, 0, transparent) + b"\0"
    descriptor = struct.pack("<HHHH", *corner, WIDTH, HEIGHT)
    if local:
        head, frame = head + extensions, b"," + descriptor + bytes([flags]) + colors + frame[10:]
    else:
        head, frame = head + colors + extensions, b"," + descriptor + frame[9:]
    return head + frame


def animated_gif():
    """Two frames, the second of which is small, at an offset, and disposed of."""
    frames = [palette(32), PIL.Image.fromarray(PHOTO[:20, :20]).quantize(16)]
    return file_of(frames[0], "GIF", save_all=True, append_images=frames[1:], disposal=2)


# BMP ----------------------------------------------------------------------------------------------------


def bmp(bits, *, compression=0, top_down=False, masks=b"", data=None, colors=None, header=40):
    """A BMP of the photograph: of a palette up to 8 bits, else of its colors."""
    if data is None:
        rows = list(_bmp_rows(bits))
        data = b"".join(row.ljust(-(-len(row) // 4) * 4, b"\0") for row in (rows if top_down else rows[::-1]))
    table = b""
    if bits <= 8:
        entries = np.asarray(palette(2**bits).getpalette("RGB"), "uint8").reshape(-1, 3)[: 2**bits, ::-1]
        entries = np.pad(entries, ((0, 2**bits - len(entries)), (0, 0)))
        table = np.pad(entries, ((0, 0), (0, 0 if header == 12 else 1))).tobytes()
    if header == 12:
        body = struct.pack("<IHHHH", 12, WIDTH, HEIGHT, 1, bits)
    else:
        height = -HEIGHT if top_down else HEIGHT
        body = struct.pack(
            "<IiiHHIIiiII", header, WIDTH, height, 1, bits, compression, len(data), 0, 0, colors or 0, 0
        )
    offset = 14 + len(body) + len(masks) + len(table)
    return b"BM" + struct.pack("<IHHI", offset + len(data), 0, 0, offset) + body + masks + table + data


def _bmp_rows(bits):
    if bits <= 8:
        for row in np.asarray(palette(2**bits)):
            yield _row(row[:, np.newaxis], bits)[1:]
        return
    red, green, blue = (PHOTO[..., channel].astype("uint32") for channel in range(3))
    if bits == 16:
        values = (red >> 3 << 10 | green >> 3 << 5 | blue >> 3).astype("<u2")
    elif bits == 24:
        values = PHOTO[..., ::-1]
    else:
        values = np.dstack([PHOTO[..., ::-1], np.zeros_like(ALPHA)])
    for row in values:
        yield row.tobytes()


def rle8():
    """Each row as runs of one pixel, an end of line, and an end of the bitmap."""
    rows = np.asarray(palette(256))[::-1]
    return b"".join(b"".join(bytes([1, index]) for index in row) + b"\0\0" for row in rows)[:-2] + b"\0\1"


def rle4():
    rows = np.asarray(palette(16))[::-1]
    return (
        b"".join(b"".join(bytes([1, index << 4]) for index in row) + b"\0\0" for row in rows)[:-2] + b"\0\1"
    )


# WebP ---------------------------------------------------------------------------------------------------


def animated_webp(*frames):
    return file_of(frames[0], "WEBP", save_all=True, append_images=frames[1:], lossless=True, exact=True)


def webp_frame(image, *, screen, corner):
    """An animation of one frame, at a corner (left, top) of even numbers."""
    still = file_of(image, "WEBP", lossless=True, exact=True)
    start = still.index(b"VP8L")
    size = int.from_bytes(still[start + 4 : start + 8], "little")
    picture = still[start : start + 8 + size + size % 2]

    def three(*numbers):
        return b"".join(struct.pack("<I", number)[:3] for number in numbers)

    def chunk(kind, content):
        return kind + struct.pack("<I", len(content)) + content

    frame = three(corner[0] // 2, corner[1] // 2, WIDTH - 1, HEIGHT - 1, 100) + b"\2" + picture
    body = b"WEBP" + chunk(b"VP8X", b"\x12\0\0\0" + three(screen[0] - 1, screen[1] - 1))
    body += chunk(b"ANIM", bytes(6)) + chunk(b"ANMF", frame)
    return b"RIFF" + struct.pack("<I", len(body)) + body


# What an exported graph refuses, which has no Pillow.
NOT_IN_GRAPHS = {
    "BMP: palette of 1 bit",
    "BMP: palette of 4 bits",
    "BMP: RGB of 16 bits",
    "BMP: RGB of 16 bits, with masks",
    "BMP: compressed",
    "BMP: compressed, 4 bits",
    "BMP: header of OS/2",
    "WebP: animation",
    "WebP: animation, alpha",
    "WebP: animation, first frame smaller",
}


@functools.cache
def encodings():
    """Contents of files by the encoding's name."""
    photo, transparent = PIL.Image.fromarray(PHOTO), PIL.Image.fromarray(TRANSPARENT)
    cmyk = file_of(photo.convert("CMYK"), "JPEG", quality=95)
    colors = palette(64)
    plte = png_chunk(b"PLTE", np.asarray(colors.getpalette("RGB"), "uint8").tobytes())
    indices = np.asarray(colors)[..., np.newaxis]
    key = PHOTO[5, 5]
    rgb565 = struct.pack("<III", 0xF800, 0x7E0, 0x1F)
    bgrx = struct.pack("<III", 0xFF0000, 0xFF00, 0xFF)
    return {
        "JPEG: RGB": encoded(PHOTO, quality=95),
        "JPEG: progressive": encoded(PHOTO, quality=95, progressive=True),
        "JPEG: gray": encoded(GRAY, quality=95),
        "JPEG: RGB without conversion": encoded(PHOTO, quality=95, keep_rgb=True),
        "JPEG: CMYK": cmyk,
        "JPEG: CMYK without Adobe's marker": without(cmyk, 0xEE),
        "JPEG: YCCK": ycck(cmyk),
        "JPEG: EXIF orientation": inserted(lying_jpeg(), exif(6)),
        "JPEG: EXIF orientation behind a comment": inserted(lying_jpeg(), segment(0xFE, b"text"), exif(6)),
        "JPEG: EXIF orientation, CMYK": inserted(
            file_of(photo.convert("CMYK").transpose(PIL.Image.Transpose.ROTATE_90), "JPEG", quality=95),
            exif(6),
            behind_jfif=False,
        ),
        "PNG: RGB": encoded(PHOTO, "PNG"),
        "PNG: RGB, interlaced": png(PHOTO, interlaced=True),
        "PNG: RGB, alpha": file_of(transparent, "PNG"),
        "PNG: RGB, a transparent color": png(PHOTO, chunks=png_chunk(b"tRNS", struct.pack(">HHH", *key))),
        "PNG: RGB of 16 bits": png(_wide(PHOTO), 16),
        "PNG: RGB of 16 bits, alpha": png(_wide(TRANSPARENT), 16),
        "PNG: gray": encoded(GRAY, "PNG"),
        "PNG: gray of 1, 2 or 4 bits": png(GRAY[..., np.newaxis] >> 6, 2),
        "PNG: gray of 16 bits": png(_wide(GRAY)[..., np.newaxis], 16),
        "PNG: gray, alpha": png(np.dstack([GRAY, ALPHA])),
        "PNG: gray, a transparent value": png(
            GRAY[..., np.newaxis], chunks=png_chunk(b"tRNS", struct.pack(">H", int(GRAY[5, 5])))
        ),
        "PNG: gray with a gamma": png(
            GRAY[..., np.newaxis], chunks=png_chunk(b"gAMA", struct.pack(">I", 100_000))
        ),
        "PNG: RGB with a gamma": png(PHOTO, chunks=png_chunk(b"gAMA", struct.pack(">I", 100_000))),
        "PNG: palette": file_of(colors, "PNG"),
        "PNG: palette of 1, 2 or 4 bits": file_of(palette(16), "PNG", bits=4),
        "PNG: palette, transparency": png(
            indices, color_type=3, chunks=plte + png_chunk(b"tRNS", bytes(range(64)))
        ),
        "PNG: palette, interlaced": png(indices, color_type=3, interlaced=True, chunks=plte),
        "PNG: animation": file_of(
            photo, "PNG", save_all=True, append_images=[PIL.Image.fromarray(PHOTO // 2)]
        ),
        "PNG: EXIF orientation": png(PHOTO, chunks=png_chunk(b"eXIf", tiff(6))),
        "GIF": gif(),
        "GIF: palette of the frame": gif(local=True, comment=True),
        "GIF: interlaced": file_of(colors, "GIF", interlace=1),
        "GIF: gray": file_of(PIL.Image.fromarray(GRAY), "GIF"),
        "GIF: transparency": gif(transparent=int(indices[5, 5, 0]), comment=True),
        "GIF: frame smaller than the screen": gif(screen=(70, 60), corner=(7, 11)),
        "GIF: frame smaller than the screen, transparency": gif(
            screen=(70, 60), corner=(7, 11), transparent=20, local=True
        ),
        "GIF: frame beyond the screen": gif(screen=(30, 30), corner=(7, 11)),
        "GIF: animation": animated_gif(),
        "BMP: palette of 8 bits": bmp(8),
        "BMP: palette of 8 bits, fewer colors": encoded(PHOTO, "BMP", "P"),
        "BMP: gray of 8 bits": encoded(GRAY, "BMP"),
        "BMP: RGB of 24 bits": bmp(24),
        "BMP: RGB of 24 bits, top row first": bmp(24, top_down=True),
        "BMP: RGB of 32 bits": bmp(32),
        "BMP: RGB of 32 bits, with masks": bmp(32, compression=3, masks=bgrx),
        "BMP: RGB of 32 bits, alpha": file_of(transparent, "BMP"),
        "BMP: palette of 1 bit": bmp(1),
        "BMP: palette of 4 bits": bmp(4),
        "BMP: RGB of 16 bits": bmp(16),
        "BMP: RGB of 16 bits, with masks": bmp(16, compression=3, masks=rgb565),
        "BMP: compressed": bmp(8, compression=1, data=rle8()),
        "BMP: compressed, 4 bits": bmp(4, compression=2, data=rle4()),
        "BMP: header of OS/2": bmp(24, header=12),
        "WebP: lossy": encoded(PHOTO, "WEBP", quality=95),
        "WebP: lossless": encoded(PHOTO, "WEBP", lossless=True),
        "WebP: lossy, alpha": file_of(transparent, "WEBP", quality=95, exact=True),
        "WebP: lossless, alpha": file_of(transparent, "WEBP", lossless=True, exact=True),
        "WebP: EXIF orientation": encoded(PHOTO, "WEBP", lossless=True, exif=b"Exif\0\0" + tiff(6)),
        "WebP: animation": animated_webp(photo, PIL.Image.fromarray(PHOTO // 2)),
        "WebP: animation, alpha": animated_webp(transparent, PIL.Image.fromarray(TRANSPARENT // 2)),
        "WebP: animation, first frame smaller": webp_frame(transparent, screen=(70, 60), corner=(6, 10)),
    }


def reference(contents, channels=3):
    """The pixels of a file by Pillow alone: (H, W, channels) uint8."""
    with warnings.catch_warnings(action="ignore"), PIL.Image.open(io.BytesIO(contents)) as image:
        turned = PIL.ImageOps.exif_transpose(image) if image.format == "JPEG" else image
        if turned.mode.startswith("I"):
            # Pillow clips 16 bits; the higher eight are what is meant.
            turned = PIL.Image.fromarray((np.asarray(turned) >> 8).astype("uint8"))
        pixels = np.asarray(turned.convert("RGB" if channels == 3 else "L"))
    return pixels.reshape(*pixels.shape[:2], channels)
