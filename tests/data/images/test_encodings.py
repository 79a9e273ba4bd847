"""Every encoding of an image beside Pillow, read by each part of the package."""

import functools
import pathlib

import numpy as np
import pytest
import tensorflow as tf
from helpers.encoding_table import rows
from helpers.encodings import NOT_IN_GRAPHS, encodings, reference

from keras_resnet.data.images.decode import decode
from keras_resnet.data.images.graph_formats import GRAPH
from keras_resnet.data.images.readers import PILLOW

READERS = {"Pillow": PILLOW, "graph": GRAPH}
# Decoded by two libraries that round smooth colors otherwise, and make gray of a JPEG before or after RGB.
_TOLERANCE = {"CMYK": 2, "gray": 4}


@functools.cache
def _decode(reader, channels):
    return tf.function(
        lambda contents: decode(contents, channels, READERS[reader]),
        [tf.TensorSpec((), tf.string)],
        autograph=False,
    )


@pytest.mark.parametrize("name", encodings())
@pytest.mark.parametrize("reader", READERS)
def test_pixels_are_pillows(reader, name):
    contents = encodings()[name]
    for channels in (3, 1):
        wanted = reference(contents, channels)
        if reader == "graph" and name in NOT_IN_GRAPHS:
            with pytest.raises(tf.errors.InvalidArgumentError, match=r"unusual kind|animation in a WebP"):
                _decode(reader, channels)(tf.constant(contents))
            continue
        pixels = _decode(reader, channels)(tf.constant(contents)).numpy()
        assert pixels.shape == wanted.shape
        tolerance = max(
            (most for word, most in _TOLERANCE.items() if word in name or (word == "gray" and channels == 1))
            if name.startswith("JPEG")
            else (),
            default=0,
        )
        assert np.abs(pixels.astype(int) - wanted).max() <= tolerance


def test_the_documented_table_is_what_happens():
    """`python tests/helpers/encoding_table.py` prints the rows to put there."""
    page = (pathlib.Path(__file__).parents[3] / "docs" / "data.md").read_text(encoding="utf-8")
    documented = [line for line in page.splitlines() if line.startswith("| ")]
    table = rows()
    start = documented.index(table[0])
    assert documented[start : start + len(table)] == table
