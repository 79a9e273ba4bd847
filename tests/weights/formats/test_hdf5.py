import contextlib
import io
import zipfile

import h5py
import keras
import numpy as np
import pytest
from helpers.errors import refused
from keras.src.legacy.saving import legacy_h5_format

from keras_resnet.weights.formats.hdf5 import open_hdf5
from keras_resnet.weights.formats.hdf5_heap import check_heaps


@contextlib.contextmanager
def _refused(path, reason):
    """Expects the file to be refused, and for this reason."""
    with refused(value=path) as caught:
        yield
    assert reason in caught.value.reason


def _model(dtype=None):
    inputs = keras.Input((8, 8, 3))
    x = keras.layers.Conv2D(4, 3, name="conv1_conv", dtype=dtype)(inputs)
    x = keras.layers.BatchNormalization(name="conv1_bn", dtype=dtype)(x)
    x = keras.layers.GlobalAveragePooling2D()(x)
    model = keras.Model(inputs, keras.layers.Dense(5, name="predictions", dtype=dtype)(x))
    random = np.random.default_rng(0)
    model.set_weights([random.standard_normal(weight.shape) for weight in model.get_weights()])
    return model


def _values(path):
    with open_hdf5(path) as stored:
        return {key: array.read() for key, array in stored.items()}


def _save_legacy_weights(model, path):
    with h5py.File(path, "w") as file:
        legacy_h5_format.save_weights_to_hdf5_group(file, model)


def _save_by_keras(model, path):
    model.save(path)


SAVED = {
    "weights.h5": _save_legacy_weights,
    "model.h5": _save_by_keras,
    "net.weights.h5": lambda model, path: model.save_weights(path),
    "net.keras": _save_by_keras,
}


@pytest.mark.parametrize("name", SAVED)
def test_values_are_those_that_keras_saved(name, tmp_path):
    model, path = _model(), str(tmp_path / name)
    SAVED[name](model, path)
    values = _values(path)
    expected = {f"{layer.name}/{v.name}": v.numpy() for layer in model.layers for v in layer.weights}
    assert set(values) == set(expected)
    for key in expected:
        np.testing.assert_array_equal(values[key], expected[key], err_msg=key)


def test_chunked_lists_of_names_are_joined(tmp_path):
    path = tmp_path / "parts.h5"
    _save_legacy_weights(_model(), path)
    complete = _values(path)
    with h5py.File(path, "a") as file:
        names = file.attrs["layer_names"]
        del file.attrs["layer_names"]
        file.attrs["layer_names0"], file.attrs["layer_names1"] = names[:2], names[2:]
    assert list(_values(path)) == list(complete)


def test_bfloat16_is_read_as_it_is(tmp_path):
    model, path = _model("bfloat16"), str(tmp_path / "net.weights.h5")
    model.save_weights(path)
    kernel = model.get_layer("predictions").kernel.numpy()
    np.testing.assert_array_equal(
        _values(path)["predictions/kernel"].astype("float32"), kernel.astype("float32")
    )


def _write(path, put):
    """Writes a legacy file whose only array is created by a function of its group."""
    with h5py.File(path, "w") as file:
        file.attrs["layer_names"] = [b"conv1_bn"]
        group = file.create_group("conv1_bn")
        group.attrs["weight_names"] = [b"conv1_bn/gamma:0"]
        put(group.create_group("conv1_bn"))


def _external(path):
    def put(group):
        group["gamma:0"] = h5py.ExternalLink(str(path), "other")

    return put


def _virtual(path):
    def put(group):
        layout = h5py.VirtualLayout((4,), "f4")
        layout[:] = h5py.VirtualSource(str(path), "other", (4,))
        group.create_virtual_dataset("gamma:0", layout)

    return put


def _outside(path):
    def put(group):
        path.write_bytes(bytes(16))
        group.create_dataset("gamma:0", (4,), "f4", external=[(str(path), 0, 16)])

    return put


@pytest.mark.parametrize("kind", [_external, _virtual, _outside])
def test_arrays_in_other_files_are_refused(kind, tmp_path):
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file["other"] = np.ones(4, "float32")
    place = tmp_path / ("other.h5" if kind is not _outside else "secret")
    _write(tmp_path / "hostile.h5", kind(place))
    reason = "gamma:0 is a link" if kind is _external else "gamma:0 is not an array of floats in this file"
    with _refused(tmp_path / "hostile.h5", reason):
        _values(tmp_path / "hostile.h5")


def test_soft_links_are_refused(tmp_path):
    _write(tmp_path / "hostile.h5", lambda group: group.__setitem__("gamma:0", h5py.SoftLink("/")))
    with _refused(tmp_path / "hostile.h5", "is a link"):
        _values(tmp_path / "hostile.h5")


def test_text_in_place_of_numbers_is_refused(tmp_path):
    _write(tmp_path / "hostile.h5", lambda group: group.create_dataset("gamma:0", data="some text"))
    with _refused(tmp_path / "hostile.h5", "is not an array of floats"):
        _values(tmp_path / "hostile.h5")


def test_a_chunk_larger_than_the_array_is_refused(tmp_path):
    def put(group):
        group.create_dataset("gamma:0", (4,), "f4", chunks=(2**26,), maxshape=(None,), compression="gzip")

    _write(tmp_path / "hostile.h5", put)
    with _refused(tmp_path / "hostile.h5", "chunks larger than itself"):
        _values(tmp_path / "hostile.h5")


def _nothing(file):
    file.create_group("layers/pool")  # as Keras writes it for a layer without weights


def _twice(file):
    for place in ("one", "two"):
        variables = file.create_group(f"layers/{place}/vars")
        variables.attrs["name"] = "conv1_conv"
        variables["0"] = np.ones(3, "float32")


def _names_twice(file):
    file.attrs["layer_names"] = [b"conv1_bn", b"conv1_bn"]


def _numbers_for_names(file):
    file.attrs["layer_names"] = np.ones(3)


def _array_for_a_layer(file):
    file["layers/conv1_conv"] = np.ones(3)


@pytest.mark.parametrize(
    ("fill", "reason"),
    [
        (_nothing, "holds no weights of a Keras model"),
        (_twice, "(conv1_conv/kernel is there twice, or there are too many arrays)"),
        (_names_twice, "(layer_names has a name twice, or too many names)"),
        (_numbers_for_names, "(layer_names is not text, or too long)"),
        (_array_for_a_layer, "(conv1_conv is not a group)"),
    ],
)
def test_other_hdf5_files_are_refused_with_the_reason(fill, reason, tmp_path):
    path = tmp_path / "made.h5"
    with h5py.File(path, "w") as file:
        fill(file)
    with _refused(path, reason):
        _values(path)


def test_damage_found_when_an_array_is_read_is_reported(tmp_path):
    path = tmp_path / "made.h5"
    _write(path, lambda group: group.create_dataset("gamma:0", data=np.ones(4, "f4"), compression="gzip"))
    with h5py.File(path, "r") as file:
        place = file["conv1_bn/conv1_bn/gamma:0"].id.get_chunk_info(0)
    content = bytearray(path.read_bytes())
    content[place.byte_offset : place.byte_offset + place.size] = bytes(place.size)
    path.write_bytes(content)
    with open_hdf5(path) as stored:
        assert stored["conv1_bn/gamma"].shape == (4,)
        with _refused(path, "is damaged"):
            stored["conv1_bn/gamma"].read()


def _heap(content, size=None):
    start = b"GCOL\x01\0\0\0"
    size = 32 + len(content) if size is None else size
    texts = b"\x01\0\x01\0\0\0\0\0" + len(content).to_bytes(8, "little") + content
    return start + size.to_bytes(8, "little") + texts


def test_the_longest_text_of_all_heaps_is_found():
    assert check_heaps(io.BytesIO(_heap(bytes(16)) + bytes(8) + _heap(bytes(24)))) == 24


@pytest.mark.parametrize(
    ("heap", "reason"),
    [
        (_heap(_heap(b"")[:16]), "inside another"),
        (_heap(b"", size=8), "an impossible size"),
        (_heap(b"", size=2**40), "an impossible size"),
        (_heap(bytes(16))[:-8], "a heap of texts is damaged"),
        (_heap(bytes(16), size=40), "a heap of texts is damaged"),
    ],
)
def test_damaged_heaps_of_texts_are_refused(heap, reason):
    with pytest.raises(ValueError, match=reason):
        check_heaps(io.BytesIO(heap))


def test_a_compressed_keras_file_is_refused(tmp_path):
    model, path = _model(), tmp_path / "net.keras"
    model.save(path)
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    with _refused(path, "model.weights.h5 is compressed"):
        _values(path)


@pytest.mark.parametrize("name", SAVED)
def test_truncated_files_are_refused(name, tmp_path):
    path = tmp_path / name
    SAVED[name](_model(), str(path))
    complete = path.read_bytes()
    for share in (0, 0.1, 0.5, 0.9, 0.99):
        path.write_bytes(complete[: int(share * len(complete))])
        with _refused(path, "is damaged or not a file of Keras weights"):
            _values(path)
