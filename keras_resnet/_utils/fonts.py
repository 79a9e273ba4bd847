"""Fonts for names in any script: Matplotlib's own has Latin, Greek and Cyrillic letters and few others."""

import contextlib
import logging
import warnings
from collections.abc import Iterable, Iterator

import matplotlib as mpl
from matplotlib import font_manager

_LOG = logging.getLogger(__name__)


@contextlib.contextmanager
def fonts_for(texts: Iterable[str]) -> Iterator[None]:
    """Adds the installed fonts that the characters of these texts need to those that a drawing uses.

    Characters that no font has are drawn as boxes, which is logged once and not for each of them. Make the
    drawing and save it inside.
    """
    missing = {ord(character) for text in texts for character in text if character.isprintable()}
    default = mpl.rcParams["font.family"]
    missing -= _covered(missing, font_manager.findfont(font_manager.FontProperties(family=default)))
    families = []
    for entry in font_manager.fontManager.ttflist if missing else ():
        if "emoji" in entry.name.lower():
            continue  # of colored bitmaps, which cannot be drawn
        covered = _covered(missing, entry.fname)
        if covered:
            families.append(entry.name)
            missing -= covered
    with mpl.rc_context({"font.family": [*default, *families]}), warnings.catch_warnings():
        warnings.filterwarnings("ignore", r"Glyph \d+")
        yield
    if missing:
        names = "".join(sorted(map(chr, missing)))[:20]
        _LOG.info("No installed font has the characters %s: they are boxes in drawings.", names)


def _covered(characters: set[int], path: str) -> set[int]:
    try:
        font = font_manager.get_font(path)
    except (OSError, RuntimeError):
        return set()
    return {character for character in characters if font.get_char_index(character)}
