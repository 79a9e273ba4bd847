import argparse
import collections
import contextlib
import datetime
import io
import pathlib
import pickle
import pickletools
import subprocess
import sys
import zipfile

import ml_dtypes
import numpy as np
import pytest
from helpers.errors import refused
from helpers.public_files import write_torch_file

from keras_resnet.weights.formats.torch import open_torch
from keras_resnet.weights.formats.torch_pickle import read_pickle

FILES = pathlib.Path(__file__).parents[2] / "golden" / "torch_files"


@contextlib.contextmanager
def _refused(path, reason):
    """Expects the file to be refused, and for this reason."""
    with refused(value=path) as caught:
        yield
    assert reason in caught.value.reason


def _values(path):
    with open_torch(path) as stored:
        return {key: array.read() for key, array in stored.items()}


def _file(tmp_path, index, data=(), compression=zipfile.ZIP_STORED):
    path = tmp_path / "made.pth"
    with zipfile.ZipFile(path, "w", compression) as archive:
        archive.writestr("archive/data.pkl", index)
        for number, content in enumerate(data):
            archive.writestr(f"archive/data/{number}", content)
    return path


def _index(count=6, offset=0, shape=(2, 3), strides=(3, 1)):
    """Returns the index of one tensor, as PyTorch writes it, with these numbers."""

    def number(value):
        return b"J" + int(value).to_bytes(4, "little", signed=True)

    def row(values):
        return b"(" + b"".join(map(number, values)) + b"t"

    storage = (
        b"(X\x07\0\0\0storagectorch\nFloatStorage\nX\x01\0\0\0" + b"0X\x03\0\0\0cpu" + number(count) + b"tQ"
    )
    tensor = b"ctorch._utils\n_rebuild_tensor_v2\n(" + storage + number(offset) + row(shape) + row(strides)
    return b"\x80\x02}X\x01\0\0\0a" + tensor + b"\x89ccollections\nOrderedDict\n)RtRs."


@pytest.mark.parametrize(
    "name", ["state", "legacy", "channels_last", "parameters", "checkpoint", "ema", "arguments"]
)
def test_values_are_those_that_pytorch_saved(name):
    values, expected = _values(FILES / f"{name}.pth"), np.load(FILES / "values.npz")
    assert list(values) == list(expected)
    for key in expected:
        assert values[key].dtype == expected[key].dtype
        np.testing.assert_array_equal(values[key], expected[key], err_msg=key)


@pytest.mark.parametrize(("name", "kind"), [("half", "float16"), ("bfloat16", ml_dtypes.bfloat16)])
def test_half_types_are_read_as_they_are(name, kind):
    values, expected = _values(FILES / f"{name}.pth"), np.load(FILES / "values.npz")
    np.testing.assert_array_equal(values["fc.weight"], expected["fc.weight"].astype(kind))


def test_arrays_are_read_only_when_they_are_needed(tmp_path):
    path = tmp_path / "some.pth"
    write_torch_file(path, {"a": np.ones((2, 3), "float32"), "b": np.zeros(5, "float32")})
    content = path.read_bytes()
    place = content.rindex(np.zeros(5, "float32").tobytes())
    path.write_bytes(content[:place] + b"\1" + content[place + 1 :])  # its checksum is wrong now
    with open_torch(path) as stored:
        assert stored["b"].shape == (5,)
        np.testing.assert_array_equal(stored["a"].read(), np.ones((2, 3)))
    with _refused(path, "CRC"):
        _values(path)


def test_tensors_inside_other_objects_are_refused_by_name():
    with _refused(
        FILES / "whole_model.pth", "torch.nn.modules.linear.Linear, which cannot be read without running code"
    ):
        _values(FILES / "whole_model.pth")


class _Evil:
    def __reduce__(self):
        import os

        return os.system, ("touch /tmp/keras_resnet_was_here",)


@pytest.mark.parametrize("wrapped", [lambda evil: evil, lambda evil: {"state_dict": {"a": evil}}])
@pytest.mark.parametrize("protocol", [2, 4])
def test_programs_are_not_run(wrapped, protocol, tmp_path):
    path = tmp_path / "evil.pth"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", pickle.dumps(wrapped(_Evil()), protocol))
    with _refused(path, "posix.system"):
        _values(path)
    path.write_bytes(pickle.dumps(wrapped(_Evil()), protocol))
    with _refused(path, "posix.system"):
        _values(path)
    assert not pathlib.Path("/tmp/keras_resnet_was_here").exists()


def test_no_part_of_the_package_unpickles():
    """The reader is the only module that parses pickles, and it uses nothing but pickletools."""
    package = pathlib.Path(__file__).parents[3] / "keras_resnet"
    for path in package.rglob("*.py"):
        text = path.read_text()
        assert "import pickle\n" not in text, path
        assert "allow_pickle=True" not in text, path


def test_the_index_of_these_tests_is_valid(tmp_path):
    numbers = np.arange(6, dtype="float32")
    (value,) = _values(_file(tmp_path, _index(), [numbers.tobytes()])).values()
    np.testing.assert_array_equal(value, numbers.reshape(2, 3))
    (value,) = _values(_file(tmp_path, _index(strides=(1, 2)), [numbers.tobytes()])).values()
    np.testing.assert_array_equal(value, numbers.reshape(3, 2).T)


@pytest.mark.parametrize(
    "lie",
    [
        {"offset": 1},
        {"offset": -1},
        {"strides": (3, 2)},
        {"strides": (3, -1)},
        {"shape": (2, -3)},
        {"shape": (2**20, 2**20), "strides": (0, 0)},
        {"shape": (2, 3, 1)},
        {"count": 2**31 - 1, "shape": (2**31 - 1,), "strides": (1,)},
        {"count": 5},
    ],
    ids=str,
)
def test_tensors_outside_of_their_storage_are_refused(lie, tmp_path):
    path = _file(tmp_path, _index(**lie), [bytes(24)])
    with _refused(path, "damaged or not a PyTorch file"):
        _values(path)


@pytest.mark.parametrize(
    "index",
    [
        b"",
        b".",
        b"\x80\x02}",
        b"\x80\x02]K\x01s.",
        b"\x80\x02}(K\x01u.",
        b"\x80\x02h\x07.",
        b"\x80\x02}" + b")" * 9 + b"\x85" * 100_000 + b"K\x01s.",
        b"\x80\x02}X\xff\xff\xff\x7fa.",
        b"\x80\x02\x8b\xff\xff\xff\x7f1.",
        _index(shape=(1,) * 9, strides=(1,) * 9),
    ],
    ids=lambda index: repr(index[:9]),
)
def test_damaged_indices_are_refused(index, tmp_path):
    path = _file(tmp_path, index)
    with refused(value=path):
        _values(path)


@pytest.mark.parametrize(
    ("index", "reason"),
    [
        (_index().replace(b"storage", b"stirage"), "an unknown kind of storage"),
        (_index().replace(b"X\x01\0\0\x000X", b"K\0X"), "a name that is not text"),
        (b"\x80\x02ccollections\nOrderedDict\nK\x01\x85R.", "a call of collections.OrderedDict"),
        (b"\x80\x02ctorch._utils\n_rebuild_parameter\nK\x01\x85R.", "a parameter that is not a tensor"),
        (b"\x80\x02K\x01K\x01\x85R.", "a call of something that cannot be called"),
        (b"\x80\x02}K\x01a.", "items for something that is not a list"),
        (b"\x80\x02]K\x01K\x01s.", "items for something that is not a dict"),
    ],
)
def test_indices_that_pytorch_does_not_write_are_refused_with_the_reason(index, reason, tmp_path):
    path = _file(tmp_path, index)
    with _refused(path, f"is damaged or not a PyTorch file ({reason}"):
        _values(path)


@pytest.mark.parametrize("protocol", [2, 3, 4])
def test_a_checkpoint_without_tensors_holds_no_state_dict(protocol, tmp_path):
    checkpoint = {"epochs": [1], "losses": [1.5, 2.5], "best": (1, True, None)}
    path = _file(tmp_path, pickle.dumps(checkpoint, protocol))
    with _refused(path, "holds no state dict"):
        _values(path)


def test_an_archive_without_an_index_is_refused(tmp_path):
    with zipfile.ZipFile(tmp_path / "other.pth", "w") as archive:
        archive.writestr("notes.txt", "no weights")
    with _refused(tmp_path / "other.pth", "(it has no data.pkl)"):
        _values(tmp_path / "other.pth")


def test_files_of_big_endian_machines_are_refused(tmp_path):
    path = _file(tmp_path, _index(), [bytes(24)])
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("archive/byteorder", "big")
    with _refused(path, "was written on a big-endian machine"):
        _values(path)


def _legacy(tmp_path, *parts, behind=b""):
    path = tmp_path / "old.pth"
    path.write_bytes(b"".join(parts) + behind)
    return path


# What PyTorch wrote before version 1.6.
MAGIC, VERSION, SYSTEM = (
    pickle.dumps(part, 2) for part in (0x1950A86A20F9469CFC6C, 1001, {"little_endian": True})
)


@pytest.mark.parametrize(
    ("parts", "reason"),
    [
        ([pickle.dumps(5, 2)], "it does not begin like one"),
        ([MAGIC, VERSION, pickle.dumps([], 2), _index(), pickle.dumps(["0"], 2)], "it lacks its list"),
        ([MAGIC, VERSION, SYSTEM, _index(), pickle.dumps([0], 2)], "it lacks its list of storages"),
        (
            [MAGIC, VERSION, pickle.dumps({"little_endian": False}, 2), _index(), pickle.dumps(["0"], 2)],
            "was written on a big-endian machine",
        ),
        ([MAGIC, VERSION, SYSTEM, _index(), pickle.dumps(["1"], 2)], "storage 1 is not in the index"),
        ([MAGIC, VERSION, SYSTEM, _index(count=7), pickle.dumps(["0"], 2)], "storage 0 has another size"),
    ],
)
def test_other_legacy_files_are_refused_with_the_reason(parts, reason, tmp_path):
    path = _legacy(tmp_path, *parts, behind=(6).to_bytes(8, "little") + bytes(24))
    with _refused(path, reason):
        _values(path)


def test_the_legacy_file_of_these_tests_is_valid(tmp_path):
    numbers = np.arange(6, dtype="float32")
    parts = (MAGIC, VERSION, SYSTEM, _index(), pickle.dumps(["0"], 2))
    path = _legacy(tmp_path, *parts, behind=(6).to_bytes(8, "little") + numbers.tobytes())
    np.testing.assert_array_equal(_values(path)["a"], numbers.reshape(2, 3))


@pytest.mark.parametrize(
    "checkpoint",
    [
        lambda state: {"state_dict": state, "best_acc1": np.float32([76.1])},
        lambda state: {"model": state, "model_ema": None},
        lambda state: {
            "n_averaged": np.float32([9]),
            **{f"module.{key}": value for key, value in state.items()},
        },
        lambda state: {"state_dict": {"model": state}},
    ],
)
def test_weights_are_found_in_checkpoints_as_people_write_them(checkpoint, tmp_path):
    path = tmp_path / "checkpoint.pth"
    write_torch_file(path, checkpoint({"bn1.weight": np.ones(3, "float32")}))
    (key,) = _values(path)
    assert key == "bn1.weight"


WEIGHTS = {"bn1.weight": np.full(3, 2, "float32")}
OLD = {"bn1.weight": np.full(3, 9, "float32")}
FOUND = {
    "state dict": {"model_state_dict": WEIGHTS, "optimizer": {"state": {0: {"m": np.ones(3, "float32")}}}},
    "net": {"net": {f"module.{key}": value for key, value in WEIGHTS.items()}, "acc": 91.2},
    "params": {"params": WEIGHTS},
    "averages": {"state_dict": OLD, "ema_state_dict": WEIGHTS},
    "a name of its own": {"resnet": WEIGHTS, "epoch": 3},
    "deep": {"checkpoint": {"state": {"model": WEIGHTS}}},
    "dict with a default": collections.defaultdict(dict, {"model": WEIGHTS}),
}
# Objects that no state dict needs, and keys that are no text.
BESIDE = {
    "arguments": argparse.Namespace(lr=0.1, milestones=(30, 60), tags={"a"}, name=None),
    "when": datetime.datetime(2020, 1, 1),
    "folder": pathlib.PurePosixPath("/data"),
    "best": np.float64(76.1),
    "counts": collections.Counter({(1, 2): -3, None: 1}),
    "big": 2**70,
    "frozen": frozenset((1, b"bytes")),
}


@pytest.mark.parametrize("name", FOUND)
def test_weights_are_found_under_any_name_beside_any_object(name, tmp_path):
    path = tmp_path / "checkpoint.pth"
    for checkpoint in (FOUND[name], {**FOUND[name], **BESIDE}):
        write_torch_file(path, checkpoint)
        values = _values(path)
        assert list(values) == ["bn1.weight"]
        np.testing.assert_array_equal(values["bn1.weight"], WEIGHTS["bn1.weight"])


@pytest.mark.parametrize("protocol", range(6))
def test_every_protocol_of_pickle_is_read(protocol):
    content = {"a": [1, -1, 2**40, 1.5, "ä", b"b", (), (1, 2, 3, 4), {"c": None}], "b": True}
    content["c"] = content["a"]
    assert read_pickle(io.BytesIO(pickle.dumps(content, protocol)), "here")["b"] is True
    if protocol > 2:  # others write bytes as a call
        assert read_pickle(io.BytesIO(pickle.dumps(content, protocol)), "here") == content


def test_ordered_dicts_of_python_2_are_read():
    pairs = pickle.dumps([["a", 1], ["b", 2]], 2)[2:-1]
    ordered = b"\x80\x02ccollections\nOrderedDict\n" + pairs + b"\x85R."
    assert read_pickle(io.BytesIO(ordered), "here") == {"a": 1, "b": 2}


def test_several_state_dicts_are_refused_by_name(tmp_path):
    write_torch_file(tmp_path / "gan.pth", {"encoder": WEIGHTS, "decoder": WEIGHTS})
    with _refused(tmp_path / "gan.pth", "holds several state dicts, encoder, decoder"):
        _values(tmp_path / "gan.pth")


def test_tensors_in_objects_are_named_before_other_objects(tmp_path):
    state = {
        "arguments": argparse.Namespace(),
        "model": argparse.Namespace(weight=WEIGHTS),
        "z": BESIDE["when"],
    }
    write_torch_file(tmp_path / "model.pth", state)
    with _refused(tmp_path / "model.pth", "an object of type argparse.Namespace"):
        _values(tmp_path / "model.pth")


def test_a_missing_storage_is_reported_before_anything_is_built(tmp_path):
    path = _file(tmp_path, _index(count=2**30, shape=(2**30,), strides=(1,)))
    with _refused(path, "storage 0 is not what the index says"), open_torch(path):
        pass


def test_a_dict_inside_itself_is_no_endless_loop(tmp_path):
    loop = {}
    loop["state_dict"] = {"model": loop}
    path = _file(tmp_path, pickle.dumps(loop, protocol=2))
    with _refused(path, "no state dict"):
        _values(path)


def test_compressed_files_are_refused_before_they_grow(tmp_path):
    bomb = _file(
        tmp_path, _index(count=2**26, shape=(2**26,), strides=(1,)), [bytes(2**28)], zipfile.ZIP_DEFLATED
    )
    assert bomb.stat().st_size < 2**20
    with _refused(bomb, "compressed or larger"):
        _values(bomb)


def test_a_huge_index_is_refused_before_it_is_read(tmp_path):
    path = _file(tmp_path, bytes(5 * 2**20))
    with _refused(path, "larger than it may be"):
        _values(path)


@pytest.mark.parametrize("name", ["state", "legacy"])
@pytest.mark.parametrize("error", [OSError("the disk of OUT is full"), ValueError("no weights of the net")])
def test_errors_of_the_with_block_are_not_blamed_on_the_file(name, error):
    with pytest.raises(type(error), match=str(error)), open_torch(FILES / f"{name}.pth"):
        raise error


def test_a_damaged_storage_is_reported_when_it_is_read(tmp_path):
    contents = (FILES / "state.pth").read_bytes()
    values = np.load(FILES / "values.npz")["fc.weight"].tobytes()
    assert contents.count(values) == 1
    path = tmp_path / "damaged.pth"
    path.write_bytes(contents.replace(values, bytes(len(values))))
    with open_torch(path) as stored, _refused(path, "is damaged"):
        stored["fc.weight"].read()


@pytest.mark.parametrize("name", ["state", "legacy"])
def test_truncated_files_are_refused(name, tmp_path):
    complete, path = (FILES / f"{name}.pth").read_bytes(), tmp_path / "cut.pth"
    for length in range(0, len(complete), 7):
        path.write_bytes(complete[:length])
        with refused(value=path):
            _values(path)


def test_pytorch_is_not_needed():
    script = (
        "import sys; sys.modules['torch'] = None; "
        "from keras_resnet.weights.formats.torch import open_torch as o\n"
        "with o(sys.argv[1]) as stored: print(sorted(stored))"
    )
    result = subprocess.run(
        [sys.executable, "-c", script, FILES / "state.pth"], capture_output=True, text=True, check=True
    )
    assert "bn1.weight" in result.stdout


def test_the_writer_of_these_tests_writes_as_pytorch_does(tmp_path):
    """It uses a subset of the instructions and names that PyTorch writes."""
    golden = dict(np.load(FILES / "values.npz"))
    path = tmp_path / "ours.pth"
    write_torch_file(path, {key: golden[key] for key in ("conv1.weight", "fc.weight")})
    value = _values(path)["conv1.weight"]
    np.testing.assert_array_equal(value, golden["conv1.weight"])
    theirs, ours = _instructions(FILES / "channels_last.pth"), _instructions(path)
    assert {name for name, _ in ours} <= {name for name, _ in theirs}
    assert {text for name, text in ours if name == "GLOBAL"} <= {
        text for name, text in theirs if name == "GLOBAL"
    }


def _instructions(path):
    with zipfile.ZipFile(path) as archive:
        name = next(name for name in archive.namelist() if name.endswith("data.pkl"))
        return [
            (opcode.name, argument)
            for opcode, argument, _ in pickletools.genops(io.BytesIO(archive.read(name)))
        ]
