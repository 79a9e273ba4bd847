import io
import zipfile

import h5py
import keras
import numpy as np
import pytest
from keras.src.legacy.saving import legacy_h5_format

from keras_resnet.errors import UserError
from keras_resnet.weights.hdf5_file import open_hdf5_file
from keras_resnet.weights.hdf5_heap import check_heaps


def _net(dtype=None):
    inputs = keras.Input((8, 8, 3))
    x = keras.layers.Conv2D(4, 3, name="conv1_conv", dtype=dtype)(inputs)
    x = keras.layers.BatchNormalization(name="conv1_bn", dtype=dtype)(x)
    x = keras.layers.GlobalAveragePooling2D()(x)
    net = keras.Model(inputs, keras.layers.Dense(5, name="predictions", dtype=dtype)(x))
    random = np.random.default_rng(0)
    net.set_weights([random.standard_normal(weight.shape) for weight in net.get_weights()])
    return net


def _values(path):
    with open_hdf5_file(path) as stored:
        return {key: array.read() for key, array in stored.items()}


def _save_legacy_weights(net, path):
    with h5py.File(path, "w") as file:
        legacy_h5_format.save_weights_to_hdf5_group(file, net)


def _save_by_keras(net, path):
    net.save(path)


SAVED = {
    "weights.h5": _save_legacy_weights,
    "model.h5": _save_by_keras,
    "net.weights.h5": lambda net, path: net.save_weights(path),
    "net.keras": _save_by_keras,
}


@pytest.mark.parametrize("name", SAVED)
def test_values_are_those_that_keras_saved(name, tmp_path):
    net, path = _net(), str(tmp_path / name)
    SAVED[name](net, path)
    values = _values(path)
    expected = {f"{layer.name}/{v.name}": v.numpy() for layer in net.layers for v in layer.weights}
    assert set(values) == set(expected)
    for key in expected:
        np.testing.assert_array_equal(values[key], expected[key], err_msg=key)


def test_names_in_parts_are_put_together(tmp_path):
    path = tmp_path / "parts.h5"
    _save_legacy_weights(_net(), path)
    whole = _values(path)
    with h5py.File(path, "a") as file:
        names = file.attrs["layer_names"]
        del file.attrs["layer_names"]
        file.attrs["layer_names0"], file.attrs["layer_names1"] = names[:2], names[2:]
    assert list(_values(path)) == list(whole)


def test_bfloat16_is_read_as_it_is(tmp_path):
    net, path = _net("bfloat16"), str(tmp_path / "net.weights.h5")
    net.save_weights(path)
    kernel = net.get_layer("predictions").kernel.numpy()
    np.testing.assert_array_equal(
        _values(path)["predictions/kernel"].astype("float32"), kernel.astype("float32")
    )


def _made(path, put):
    """A legacy file whose only array is put in by a function of its group."""
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
    _made(tmp_path / "hostile.h5", kind(place))
    with pytest.raises(UserError, match=r"gamma:0 is (a link|no array of numbers in this file)"):
        _values(tmp_path / "hostile.h5")


def test_soft_links_are_refused(tmp_path):
    _made(tmp_path / "hostile.h5", lambda group: group.__setitem__("gamma:0", h5py.SoftLink("/")))
    with pytest.raises(UserError, match="is a link"):
        _values(tmp_path / "hostile.h5")


def test_text_in_place_of_numbers_is_refused(tmp_path):
    _made(tmp_path / "hostile.h5", lambda group: group.create_dataset("gamma:0", data="some text"))
    with pytest.raises(UserError, match="no array of numbers"):
        _values(tmp_path / "hostile.h5")


def test_a_part_larger_than_the_array_is_refused(tmp_path):
    def put(group):
        group.create_dataset("gamma:0", (4,), "f4", chunks=(2**26,), maxshape=(None,), compression="gzip")

    _made(tmp_path / "hostile.h5", put)
    with pytest.raises(UserError, match="parts larger than itself"):
        _values(tmp_path / "hostile.h5")


def _nothing(file):
    file.create_group("layers/pool")  # as Keras has it of a layer without weights


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
    ("made", "says"),
    [
        (_nothing, "holds no weights of a Keras model; save them again"),
        (_twice, r"damaged .*\(conv1_conv/kernel is there twice, or there are too many\)"),
        (_names_twice, r"damaged .*\(layer_names has a name twice, or too many\)"),
        (_numbers_for_names, r"damaged .*\(layer_names is no text, or too long\)"),
        (_array_for_a_layer, r"damaged .*\(conv1_conv is no group\)"),
    ],
)
def test_what_is_no_file_of_weights_is_refused_with_the_reason(made, says, tmp_path):
    with h5py.File(tmp_path / "made.h5", "w") as file:
        made(file)
    with pytest.raises(UserError, match=rf"made\.h5 .*{says}"):
        _values(tmp_path / "made.h5")


def test_damage_that_is_found_when_an_array_is_read_is_told(tmp_path):
    path = tmp_path / "made.h5"
    _made(path, lambda group: group.create_dataset("gamma:0", data=np.ones(4, "f4"), compression="gzip"))
    with h5py.File(path, "r") as file:
        place = file["conv1_bn/conv1_bn/gamma:0"].id.get_chunk_info(0)
    content = bytearray(path.read_bytes())
    content[place.byte_offset : place.byte_offset + place.size] = bytes(place.size)
    path.write_bytes(content)
    with open_hdf5_file(path) as stored:
        assert stored["conv1_bn/gamma"].shape == (4,)
        with pytest.raises(UserError, match=r"made\.h5 is damaged"):
            stored["conv1_bn/gamma"].read()


def _heap(content, size=None):
    start = b"GCOL\x01\0\0\0"
    size = 32 + len(content) if size is None else size
    texts = b"\x01\0\x01\0\0\0\0\0" + len(content).to_bytes(8, "little") + content
    return start + size.to_bytes(8, "little") + texts


def test_heaps_of_texts_are_looked_through():
    assert check_heaps(io.BytesIO(_heap(bytes(16)) + bytes(8) + _heap(bytes(24)))) == 24


@pytest.mark.parametrize(
    ("heap", "says"),
    [
        (_heap(_heap(b"")[:16]), "inside another"),
        (_heap(b"", size=8), "of an odd size"),
        (_heap(b"", size=2**40), "of an odd size"),
        (_heap(bytes(16))[:-8], "a damaged heap"),
        (_heap(bytes(16), size=40), "a damaged heap"),
    ],
)
def test_damaged_heaps_of_texts_are_refused(heap, says):
    with pytest.raises(ValueError, match=says):
        check_heaps(io.BytesIO(heap))


def test_a_compressed_keras_file_is_refused(tmp_path):
    net, path = _net(), tmp_path / "net.keras"
    net.save(path)
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    with pytest.raises(UserError, match=r"model\.weights\.h5 is compressed"):
        _values(path)


@pytest.mark.parametrize("name", SAVED)
def test_cut_files_are_refused(name, tmp_path):
    path = tmp_path / name
    SAVED[name](_net(), str(path))
    whole = path.read_bytes()
    for share in (0, 0.1, 0.5, 0.9, 0.99):
        path.write_bytes(whole[: int(share * len(whole))])
        with pytest.raises(UserError, match="is damaged or no weights of Keras"):
            _values(path)
