"""Damage to files, as Hypothesis draws it, and how much of it: `make fuzz` asks for FUZZ files.

Without that it is the same each time.
"""

import os
import struct
import zlib

from hypothesis import HealthCheck, event, settings
from hypothesis import strategies as st

from keras_resnet.errors import UserError

_ASKED = int(os.environ.get("FUZZ", "0"))
# Where formats have their sizes, flags and tables.
_HEAD = 160


def budget(files, share=1.0):
    """Settings for a test of so many files, or of a share of those that FUZZ asks for."""
    return settings(
        max_examples=max(1, int(_ASKED * share)) if _ASKED else files,
        derandomize=not _ASKED,
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )


def answer_or_none(call, *arguments, **options):
    """What a call gives; None where it refuses in one sentence. Both are counted."""
    try:
        answer = call(*arguments, **options)
    except UserError as error:
        told = str(error)
    else:
        event(f"{call.__name__}: taken")
        return answer
    event(f"{call.__name__}: refused")
    assert told.endswith(".")
    assert "\n" not in told
    return None


@st.composite
def damaged(draw, contents):
    """Contents with bytes changed, cut out, doubled or cut off, one to three times, often near the start."""
    changed = bytearray(contents)
    for _ in range(draw(st.integers(1, 3))):
        end = draw(st.sampled_from([_HEAD, len(contents)]))
        place = draw(st.integers(0, max(0, min(end, len(changed)) - 1)))
        length = draw(st.sampled_from([1, 1, 2, 4, 16]))
        match draw(st.sampled_from(["bit", "bit", "bytes", "highest", "cut out", "double", "cut off"])):
            case "bit" if changed:
                changed[place] ^= 1 << draw(st.integers(0, 7))
            case "bytes":
                changed[place : place + length] = draw(st.binary(min_size=length, max_size=length))
            case "highest":
                changed[place : place + length] = b"\xff" * length
            case "cut out":
                del changed[place : place + length]
            case "double":
                changed[place:place] = changed[place : place + length]
            case "cut off":
                del changed[draw(st.integers(place, len(changed))) :]
    return bytes(changed)


def with_right_checksums(png):
    """A damaged PNG whose chunks have the checksums of what is in them now, so that it is looked at."""
    if not png.startswith(b"\x89PNG"):
        return png
    mended, place = png[:8], 8
    while place + 12 <= len(png):
        end = place + 8 + struct.unpack_from(">I", png, place)[0]
        mended += png[place:end] + struct.pack(">I", zlib.crc32(png[place + 4 : end]))
        place = end + 4
    return mended
