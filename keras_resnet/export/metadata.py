"""Builds the metadata of a TFLite file: class names and range of pixels, as libraries on phones read them.

The tables and their fields are those of TensorFlow Lite's published `metadata_schema.fbs`; a field's number
here is its place in its table there. The class names lie in a ZIP archive at the end of the file.
"""

import io
import zipfile
from collections.abc import Callable, Sequence

import flatbuffers
import numpy as np

from keras_resnet.data.input_spec import InputSpec
from keras_resnet.inference.labels import LABELS
from keras_resnet.inference.sidecars import PREPROCESSING, sidecars
from keras_resnet.inference.thresholds import THRESHOLDS

_FILE_IDENTIFIER = b"M001"
# The oldest reader of all that is used here.
_MIN_PARSER_VERSION = "1.0.0"

_DESCRIPTIONS, _TENSOR_AXIS_LABELS = 1, 2  # AssociatedFileType
_RGB = 1  # ColorSpaceType
_IMAGE_PROPERTIES = 2  # in the union ContentProperties
_NORMALIZATION_OPTIONS, _SCORE_THRESHOLDING_OPTIONS = 1, 3  # in the union ProcessUnitOptions


def metadata(*, name: str, size: int, min_score: float | None = None) -> bytes:
    """Returns the metadata of a model from one image of RGB pixels, 0..255, to one score for each class.

    Args:
        name: of the model.
        size: side of its images in pixels.
        min_score: for a model of several labels an image: the lowest of their thresholds, 0..1, below which
            libraries need not show any.
    """
    builder = flatbuffers.Builder()
    image_size = _table(builder, [_uint32(size), _uint32(size)])
    properties = _table(builder, [_int8(_RGB), _offset(image_size)])
    content = _table(builder, [_uint8(_IMAGE_PROPERTIES), _offset(properties)])
    # (pixel - 0) / 1: the model takes plain pixels and normalizes them itself.
    options = _table(builder, [_offset(_floats(builder, [0.0])), _offset(_floats(builder, [1.0]))])
    unit = _table(builder, [_uint8(_NORMALIZATION_OPTIONS), _offset(options)])
    range_ = [_offset(_floats(builder, [limit])) for limit in (255.0, 0.0)]
    image = _table(
        builder,
        [
            _offset(builder.CreateString("image")),
            _offset(builder.CreateString(f"An image of {size}x{size} RGB pixels, 0 to 255.")),
            None,
            _offset(content),
            _offset(_vector(builder, [unit])),
            _offset(_table(builder, range_)),
        ],
    )
    labels = _file(builder, LABELS, "Class names in the order of the scores.", _TENSOR_AXIS_LABELS)
    limits = [_offset(_floats(builder, [limit])) for limit in (1.0, 0.0)]
    files, units, meaning = [labels], None, "Probability of each class."
    if min_score is not None:
        meaning = "Probability of each label, of which an image may have any number."
        about = "From which probability on an image has each label, in the order of the scores."
        files.append(_file(builder, THRESHOLDS, about, _DESCRIPTIONS))
        threshold = _table(builder, [_float32(min_score)])
        unit = _table(builder, [_uint8(_SCORE_THRESHOLDING_OPTIONS), _offset(threshold)])
        units = _offset(_vector(builder, [unit]))
    probabilities = _table(
        builder,
        [
            _offset(builder.CreateString("probabilities")),
            _offset(builder.CreateString(meaning)),
            None,
            None,
            units,
            _offset(_table(builder, limits)),
            _offset(_vector(builder, files)),
        ],
    )
    preprocessing = _file(
        builder, PREPROCESSING, "How images are resized and cropped for this model.", _DESCRIPTIONS
    )
    graph = _table(
        builder,
        [
            _offset(builder.CreateString(name)),
            None,
            _offset(_vector(builder, [image])),
            _offset(_vector(builder, [probabilities])),
            _offset(_vector(builder, [preprocessing])),
        ],
    )
    root = _table(
        builder,
        [
            _offset(builder.CreateString(name)),
            _offset(builder.CreateString("A residual network that classifies images.")),
            None,
            _offset(_vector(builder, [graph])),
            None,
            None,
            None,
            _offset(builder.CreateString(_MIN_PARSER_VERSION)),
        ],
    )
    builder.Finish(root, _FILE_IDENTIFIER)
    return bytes(builder.Output())


def archive(class_names: Sequence[str], spec: InputSpec, thresholds: Sequence[float] | None = None) -> bytes:
    """Returns the ZIP archive of the files that the metadata name, uncompressed and the same each time."""
    files = sidecars(class_names, spec, thresholds)
    written = io.BytesIO()
    with zipfile.ZipFile(written, "w") as zipped:
        for name, text in files.items():
            zipped.writestr(zipfile.ZipInfo(name), text)
    return written.getvalue()


_Field = Callable[[flatbuffers.Builder, int], None]


def _offset(value: int) -> _Field:
    return lambda builder, slot: builder.PrependUOffsetTRelativeSlot(slot, value, 0)


def _uint32(value: int) -> _Field:
    return lambda builder, slot: builder.PrependUint32Slot(slot, value, 0)


def _uint8(value: int) -> _Field:
    return lambda builder, slot: builder.PrependUint8Slot(slot, value, 0)


def _int8(value: int) -> _Field:
    return lambda builder, slot: builder.PrependInt8Slot(slot, value, 0)


def _float32(value: float) -> _Field:
    return lambda builder, slot: builder.PrependFloat32Slot(slot, value, 0.0)


def _table(builder: flatbuffers.Builder, fields: Sequence[_Field | None]) -> int:
    builder.StartObject(len(fields))
    for slot, field in enumerate(fields):
        if field is not None:
            field(builder, slot)
    return builder.EndObject()


def _vector(builder: flatbuffers.Builder, tables: Sequence[int]) -> int:
    builder.StartVector(4, len(tables), 4)
    for table in reversed(tables):
        builder.PrependUOffsetTRelative(table)
    return builder.EndVector()


def _floats(builder: flatbuffers.Builder, values: Sequence[float]) -> int:
    return builder.CreateNumpyVector(np.array(values, "float32"))


def _file(builder: flatbuffers.Builder, name: str, description: str, kind: int) -> int:
    texts = [_offset(builder.CreateString(text)) for text in (name, description)]
    return _table(builder, [*texts, _int8(kind)])
