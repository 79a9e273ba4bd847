"""Looks for files in a folder of pictures that training cannot use, or would use otherwise than expected."""

import dataclasses
import pathlib
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
    found = []
    if 0 in picture.size:
        return [finding("zero size", "{}x{} pixels".format(*picture.size), unusable=True)]
    if suffix not in _NAMES[picture.format]:
        found.append(finding("misnamed", f"it is a {picture.format} file"))
    frames = getattr(picture, "n_frames", 1)
    if frames > 1 and picture.format != "MPO":
        found.append(finding("animated", f"{frames} pictures, of which the first is seen"))
    if picture.mode == "CMYK":
        found.append(finding("CMYK", "it becomes RGB"))
    if picture.mode.startswith("I"):
        found.append(finding("16-bit", "it becomes 8-bit"))
    picture.load()
    return found
