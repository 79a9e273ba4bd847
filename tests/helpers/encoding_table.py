"""How each part of the package reads each encoding: the rows of the table in docs/data.md.

    python tests/helpers/encoding_table.py

prints them. The column of the page is what `PAGE` says, which a test in Chromium holds to be true.
"""

import functools
import pathlib
import sys
import tempfile

if __name__ == "__main__":
    sys.path[:0] = [str(pathlib.Path(__file__).parents[folder]) for folder in (1, 2)]

import keras
import numpy as np
import tensorflow as tf

from helpers.encodings import encodings, reference
from keras_resnet import export
from keras_resnet.data.images.decode import decode_resize_box
from keras_resnet.data.images.pillow import preprocess_image
from keras_resnet.data.input_spec import InputSpec
from keras_resnet.data.test_views import transform_image
from keras_resnet.data.tools.validate import find_issues
from keras_resnet.errors import UserError
from keras_resnet.inference.images import image_batches

SPEC = InputSpec(16, 3, "center")
COLUMNS = ("train", "validation", "`data validate`", "`predict`", "`explain`", "`serve_bytes`", "page")
READ, REFUSED, OTHER = "yes", "refused", "OTHER PIXELS"
# What a browser makes of an encoding, where it is not the same pixels.
_BLACK = "black where transparent"
PAGE = {name: _BLACK for name in encodings() if "transparen" in name or "alpha" in name} | {
    "PNG: RGB, a transparent color": READ,
    "BMP: RGB of 32 bits, alpha": READ,
    "PNG: EXIF orientation": "turned",
    "GIF: frame smaller than the screen": "black around the frame",
    "GIF: frame beyond the screen": "black around the frame",
    "WebP: animation, alpha": READ,
    "WebP: animation, first frame smaller": _BLACK,
}
# Gray levels: two resizers, that round between rows and columns, or do not.
TOLERANCE = 3


def difference(pixels, wanted):
    return np.abs(np.asarray(pixels, int) - np.asarray(wanted, int)).max()


@functools.cache
def _prepared(path):
    """Of encoded files, or of pixels, as training and validation prepare them."""

    def train(image):
        def everything(shape):
            return tf.concat([[0, 0], shape], axis=0)

        return decode_resize_box(image, everything, SPEC.size, 3)

    prepare = {"train": train, "validation": lambda image: transform_image(image, SPEC)}[path]
    return tf.function(prepare, reduce_retracing=True, autograph=False)


def _of_pipeline(path, contents):
    wanted = _prepared(path)(tf.constant(reference(contents)))
    try:
        return _cell(_prepared(path)(tf.constant(contents)), wanted)
    except tf.errors.OpError:
        return REFUSED


def _of_validate(contents, folder):
    path = pathlib.Path(folder, "image.jpg")
    path.write_bytes(contents)
    return REFUSED if any(issue.unusable for issue in find_issues(path)) else READ


def _of_pillow(prepare, contents):
    try:
        return _cell(prepare(contents), preprocess_image(reference(contents), SPEC))
    except UserError:
        return REFUSED


def _cell(pixels, wanted):
    return READ if difference(pixels, wanted) <= TOLERANCE else OTHER


def served_pixels(folder, files):
    """What a SavedModel makes of files, (N, 16, 16, 3); NaN where it refuses one.

    Its model answers the exponential of each pixel, over their sum with that of a pixel of 0.
    """
    image = keras.Input((SPEC.size, SPEC.size, 3), dtype="uint8")
    pixels = keras.layers.Reshape((-1, 1))(keras.layers.Rescaling(1 / 16)(image))
    pixels = keras.layers.Flatten()(keras.layers.ZeroPadding1D((0, 1))(pixels))
    model = keras.Model(image, keras.layers.Softmax()(pixels))
    export.export_saved_model(model, folder, spec=SPEC, on_decode_error="nan")
    outputs = tf.saved_model.load(str(folder)).serve_bytes(tf.constant(files))["probabilities"].numpy()
    return (16 * np.log(outputs[:, :-1] / outputs[:, -1:])).reshape(-1, SPEC.size, SPEC.size, 3)


def rows():
    """Returns the head of the table, and the row of each encoding."""
    files = encodings()
    cells = {name: [] for name in files}
    with tempfile.TemporaryDirectory() as folder:
        served = served_pixels(pathlib.Path(folder, "net"), list(files.values()))
        for (name, contents), pixels in zip(files.items(), served, strict=True):
            wanted = preprocess_image(reference(contents), SPEC)
            cells[name] = [
                _of_pipeline("train", contents),
                _of_pipeline("validation", contents),
                _of_validate(contents, folder),
                _of_pillow(lambda file: next(image_batches(file, SPEC))[0], contents),
                _of_pillow(lambda file: preprocess_image(file, SPEC), contents),
                REFUSED if np.isnan(pixels).any() else _cell(pixels, wanted),
                PAGE.get(name, READ),
            ]
    table = [("encoding", *COLUMNS), ["---"] * (len(COLUMNS) + 1), *((name, *cells[name]) for name in files)]
    return [f"| {' | '.join(row)} |" for row in table]


if __name__ == "__main__":
    print("\n".join(rows()))
