"""Looks for files in a folder of pictures that training cannot use, or would use otherwise than expected."""

import dataclasses
import pathlib
import struct
import warnings

import PIL.Image

from keras_resnet.data.source import LARGEST

# Suffixes each format goes by.
_NAMES = {
    "JPEG": (".jpg", ".jpeg"),
    "MPO": (".jpg", ".jpeg"),  # a JPEG with more pictures behind it, as some cameras write
    "PNG": (".png",),
    "GIF": (".gif",),
    "BMP": (".bmp",),
    "WEBP": (".webp",),
}
# How some BMP files are compressed.
_RLE = (1, 2)


@dataclasses.dataclass(frozen=True)
class Finding:
    """What is odd about a file.

    Args:
        path: of the file.
        kind: one word or two, the same for all files of this kind.
        unusable: whether training cannot use it; otherwise it is converted.
        detail: more of it.
    """

    path: pathlib.Path
    kind: str
    unusable: bool
    detail: str


def findings(path: pathlib.Path) -> list[Finding]:
    """Everything odd about one file; it is read and decoded whole."""

    def finding(kind, detail, unusable=False):
        return Finding(path, kind, unusable, detail)

    try:
        if path.stat().st_size == 0:
            return [finding("empty", "the file has no content", unusable=True)]
        # The limit is ours to report; Pillow's warning at half of it would come between the lines.
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", PIL.Image.DecompressionBombWarning)
            with PIL.Image.open(path) as picture:
                return _of_picture(picture, path.suffix.lower(), finding)
    except PIL.UnidentifiedImageError:
        return [finding("unreadable", "it is no picture", unusable=True)]
    except PIL.Image.DecompressionBombError:
        return [finding("bomb", f"it has more than {LARGEST:,} pixels", unusable=True)]
    except (OSError, SyntaxError, ValueError, EOFError) as error:
        kind = "truncated" if "truncated" in str(error) or isinstance(error, EOFError) else "unreadable"
        return [finding(kind, str(error), unusable=True)]


def _of_picture(picture, suffix, finding):
    if picture.format not in _NAMES:
        return [finding("unsupported", f"it is a {picture.format} file", unusable=True)]
    if picture.format == "BMP" and not _is_read(picture):
        return [finding("unsupported", "it is a BMP of another kind than 8, 24 or 32 bits a pixel", True)]
    found = []
    if suffix not in _NAMES[picture.format]:
        found.append(finding("misnamed", f"it is a {picture.format} file"))
    picture.load()
    frames = _frames(picture)
    if frames != 1 and picture.format == "WEBP":
        return [finding("unsupported", "it is an animation in a WebP file", True)]
    if frames != 1 and picture.format != "MPO":
        found.append(finding("animated", f"{frames or 'damaged'} pictures, of which the first is seen"))
    if picture.mode == "CMYK":
        found.append(finding("CMYK", "it becomes RGB"))
    if picture.mode.startswith("I"):
        found.append(finding("16-bit", "it becomes 8-bit"))
    return found


def _is_read(bmp):
    bmp.fp.seek(28)
    return int.from_bytes(bmp.fp.read(2), "little") in (8, 24, 32) and bmp.info["compression"] not in _RLE


def _frames(picture):
    """How many pictures there are, 0 where those behind the first are damaged."""
    try:
        return getattr(picture, "n_frames", 1)
    except (OSError, SyntaxError, ValueError, EOFError, IndexError, struct.error):
        return 0  # Pillow fails in many ways where an animation is cut off
