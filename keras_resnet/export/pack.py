"""A TFLite file packed anew: with metadata, as small as its content allows, aligned as its schema asks."""

from typing import Any

import flatbuffers
import numpy as np
from tensorflow.lite.python import schema_py_generated as schema

# Under this name the model refers to the buffer with its metadata.
_METADATA_NAME = b"TFLITE_METADATA"
_FILE_IDENTIFIER = b"TFL3"
# Where a vector of bytes begins: it is mapped into memory and computed from as it lies there.
_ALIGNMENT = 16


def packed(model: bytes, metadata: bytes) -> bytes:
    """The model file with one buffer more, to which the name of metadata refers.

    Equal vectors are written once (zeros of every channel, shapes), and a tensor is called by the layer it
    comes from, not by all the operations that were fused into it: of a small net of integers, 7% of the file.
    """
    unpacked = schema.ModelT.InitFromPackedBuf(model, 0)
    for graph in unpacked.subgraphs:
        named = {*graph.inputs, *graph.outputs}
        for index, tensor in enumerate(graph.tensors):
            if index not in named:
                tensor.name = _short(tensor.name)
    unpacked.buffers = [_Buffer(buffer.data) for buffer in unpacked.buffers]
    unpacked.buffers.append(_Buffer(np.frombuffer(metadata, "uint8")))
    entry = schema.MetadataT()
    entry.name, entry.buffer = _METADATA_NAME, len(unpacked.buffers) - 1
    unpacked.metadata = [*(unpacked.metadata or []), entry]
    builder = _SharingBuilder(len(model) + len(metadata))
    builder.Finish(unpacked.Pack(builder), _FILE_IDENTIFIER)
    return bytes(builder.Output())


def _short(name: bytes) -> bytes:
    """`net/conv1_conv_1/convolution;net/...` becomes `conv1_conv_1`."""
    parts = name.split(b";")[0].split(b"/")
    return parts[1] if len(parts) > 2 else parts[-1]


class _Buffer(schema.BufferT):
    """The generated code does not align its bytes."""

    def Pack(self, builder):
        if self.data is None:
            return super().Pack(builder)
        content = np.asarray(self.data, "uint8").tobytes()
        builder.StartVector(1, len(content), _ALIGNMENT)
        builder.head -= len(content)
        builder.Bytes[builder.Head() : builder.Head() + len(content)] = content
        vector = builder.EndVector()
        schema.BufferStart(builder)
        schema.BufferAddData(builder, vector)
        return schema.BufferEnd(builder)


class _SharingBuilder(flatbuffers.Builder):
    """Writes equal vectors and texts once; the format lets any number of tables refer to one."""

    def __init__(self, size: int):
        super().__init__(size)
        self._written: dict[Any, int] = {}

    def CreateNumpyVector(self, x):
        key = x.dtype.str, x.tobytes()
        if key not in self._written:
            self._written[key] = super().CreateNumpyVector(x)
        return self._written[key]

    def CreateString(self, s, encoding="utf-8", errors="strict"):
        key = str, s
        if key not in self._written:
            self._written[key] = super().CreateString(s, encoding, errors)
        return self._written[key]
