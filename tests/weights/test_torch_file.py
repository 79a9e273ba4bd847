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
from public_files import write_torch_file

from keras_resnet.errors import UserError
from keras_resnet.weights.torch_file import open_torch_file

FILES = pathlib.Path(__file__).parents[1] / "golden" / "torch_files"


def _values(path):
    with open_torch_file(path) as stored:
        return {key: array.read() for key, array in stored.items()}


def _file(tmp_path, index, data=(), compression=zipfile.ZIP_STORED):
    path = tmp_path / "made.pth"
    with zipfile.ZipFile(path, "w", compression) as archive:
        archive.writestr("archive/data.pkl", index)
        for number, content in enumerate(data):
            archive.writestr(f"archive/data/{number}", content)
    return path


def _index(count=6, offset=0, shape=(2, 3), strides=(3, 1)):
    """The index of one tensor, as PyTorch writes it, with these numbers in it."""

    def number(value):
        return b"J" + int(value).to_bytes(4, "little", signed=True)

    def row(values):
        return b"(" + b"".join(map(number, values)) + b"t"

    storage = (
        b"(X\x07\0\0\0storagectorch\nFloatStorage\nX\x01\0\0\0" + b"0X\x03\0\0\0cpu" + number(count) + b"tQ"
    )
    tensor = b"ctorch._utils\n_rebuild_tensor_v2\n(" + storage + number(offset) + row(shape) + row(strides)
    return b"\x80\x02}X\x01\0\0\0a" + tensor + b"\x89ccollections\nOrderedDict\n)RtRs."


@pytest.mark.parametrize("name", ["state", "legacy", "channels_last", "parameters", "checkpoint", "ema"])
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


def test_nothing_is_read_before_it_is_asked_for(tmp_path):
    path = tmp_path / "some.pth"
    write_torch_file(path, {"a": np.ones((2, 3), "float32"), "b": np.zeros(5, "float32")})
    content = path.read_bytes()
    place = content.rindex(np.zeros(5, "float32").tobytes())
    path.write_bytes(content[:place] + b"\1" + content[place + 1 :])  # its checksum no longer fits
    with open_torch_file(path) as stored:
        assert stored["b"].shape == (5,)
        np.testing.assert_array_equal(stored["a"].read(), np.ones((2, 3)))
    with pytest.raises(UserError, match=r"damaged.*CRC"):
        _values(path)


@pytest.mark.parametrize(
    ("name", "kind"), [("arguments", "argparse.Namespace"), ("whole_model", "torch.nn.modules.linear.Linear")]
)
def test_other_objects_are_refused_by_name(name, kind):
    with pytest.raises(UserError, match=f"{kind}, which would have to be run.*state dict alone"):
        _values(FILES / f"{name}.pth")


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
    with pytest.raises(UserError, match=r"posix\.system"):
        _values(path)
    path.write_bytes(pickle.dumps(wrapped(_Evil()), protocol))
    with pytest.raises(UserError, match=r"posix\.system"):
        _values(path)
    assert not pathlib.Path("/tmp/keras_resnet_was_here").exists()


def test_no_part_of_the_package_unpickles():
    """The reader is the only module that knows pickles, and it knows them by pickletools alone."""
    package = pathlib.Path(__file__).parents[2] / "keras_resnet"
    for path in package.rglob("*.py"):
        text = path.read_text()
        assert "import pickle\n" not in text, path
        assert "allow_pickle=True" not in text, path


def test_the_made_up_index_is_a_good_one(tmp_path):
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
    with pytest.raises(UserError, match="damaged or no file of PyTorch"):
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
    with pytest.raises(UserError, match=r"damaged|no state dict|needs the pickle instruction"):
        _values(_file(tmp_path, index))


@pytest.mark.parametrize(
    ("index", "says"),
    [
        (_index().replace(b"storage", b"stirage"), "an unknown kind of storage"),
        (_index().replace(b"X\x01\0\0\x000X", b"K\0X"), "a name that is no text"),
        (b"\x80\x02ccollections\nOrderedDict\nK\x01\x85R.", r"a call of collections\.OrderedDict"),
        (b"\x80\x02ctorch._utils\n_rebuild_parameter\nK\x01\x85R.", "a parameter that is no tensor"),
        (b"\x80\x02K\x01K\x01\x85R.", "a call of what cannot be called"),
        (b"\x80\x02}K\x01a.", "items for what is no list"),
        (b"\x80\x02]K\x01K\x01s.", "items for what is no dict"),
    ],
)
def test_what_pytorch_does_not_write_is_refused_with_the_reason(index, says, tmp_path):
    with pytest.raises(UserError, match=rf"made\.pth is damaged or no file of PyTorch \({says}"):
        _values(_file(tmp_path, index))


@pytest.mark.parametrize("protocol", [2, 3, 4])
def test_a_checkpoint_without_tensors_holds_no_state_dict(protocol, tmp_path):
    checkpoint = {"epochs": [1], "losses": [1.5, 2.5], "best": (1, True, None)}
    with pytest.raises(UserError, match=r"made\.pth holds no state dict: a dict of tensors"):
        _values(_file(tmp_path, pickle.dumps(checkpoint, protocol)))


def test_an_archive_without_an_index_is_refused(tmp_path):
    with zipfile.ZipFile(tmp_path / "other.pth", "w") as archive:
        archive.writestr("notes.txt", "no weights")
    with pytest.raises(UserError, match=r"other\.pth .*\(it has no data\.pkl\)"):
        _values(tmp_path / "other.pth")


def test_files_of_big_endian_machines_are_refused(tmp_path):
    path = _file(tmp_path, _index(), [bytes(24)])
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("archive/byteorder", "big")
    with pytest.raises(UserError, match=r"made\.pth was written on a big-endian machine"):
        _values(path)


def _legacy(tmp_path, *parts, behind=b""):
    path = tmp_path / "old.pth"
    path.write_bytes(b"".join(parts) + behind)
    return path


# As PyTorch wrote before its version 1.6.
MAGIC, VERSION, SYSTEM = (
    pickle.dumps(part, 2) for part in (0x1950A86A20F9469CFC6C, 1001, {"little_endian": True})
)


@pytest.mark.parametrize(
    ("parts", "says"),
    [
        ([pickle.dumps(5, 2)], "it does not begin as one"),
        ([MAGIC, VERSION, pickle.dumps([], 2), _index(), pickle.dumps(["0"], 2)], "it lacks its list"),
        ([MAGIC, VERSION, SYSTEM, _index(), pickle.dumps([0], 2)], "it lacks its list of storages"),
        (
            [MAGIC, VERSION, pickle.dumps({"little_endian": False}, 2), _index(), pickle.dumps(["0"], 2)],
            "was written on a big-endian machine",
        ),
        ([MAGIC, VERSION, SYSTEM, _index(), pickle.dumps(["1"], 2)], "storage 1 has no place"),
        ([MAGIC, VERSION, SYSTEM, _index(count=7), pickle.dumps(["0"], 2)], "storage 0 has another size"),
    ],
)
def test_what_is_no_older_file_is_refused_with_the_reason(parts, says, tmp_path):
    path = _legacy(tmp_path, *parts, behind=(6).to_bytes(8, "little") + bytes(24))
    with pytest.raises(UserError, match=rf"old\.pth .*{says}"):
        _values(path)


def test_the_made_up_older_file_is_a_good_one(tmp_path):
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


def test_a_storage_that_is_not_there_is_told_before_anything_is_built(tmp_path):
    path = _file(tmp_path, _index(count=2**30, shape=(2**30,), strides=(1,)))
    with pytest.raises(UserError, match="storage 0 is not what the index says"), open_torch_file(path):
        pass


def test_a_dict_in_itself_comes_to_an_end(tmp_path):
    loop = {}
    loop["state_dict"] = {"model": loop}
    with pytest.raises(UserError, match="no state dict"):
        _values(_file(tmp_path, pickle.dumps(loop, protocol=2)))


def test_compressed_files_are_refused_before_they_grow(tmp_path):
    bomb = _file(
        tmp_path, _index(count=2**26, shape=(2**26,), strides=(1,)), [bytes(2**28)], zipfile.ZIP_DEFLATED
    )
    assert bomb.stat().st_size < 2**20
    with pytest.raises(UserError, match="compressed or larger"):
        _values(bomb)


def test_a_huge_index_is_refused_before_it_is_read(tmp_path):
    with pytest.raises(UserError, match="larger than it may be"):
        _values(_file(tmp_path, bytes(5 * 2**20)))


@pytest.mark.parametrize("name", ["state", "legacy"])
@pytest.mark.parametrize("error", [OSError("the disk of OUT is full"), ValueError("no weights of the net")])
def test_what_goes_wrong_while_a_file_is_open_is_not_its_fault(name, error):
    with pytest.raises(type(error), match=str(error)), open_torch_file(FILES / f"{name}.pth"):
        raise error


def test_a_storage_that_is_damaged_is_told_when_it_is_read(tmp_path):
    contents = (FILES / "state.pth").read_bytes()
    values = np.load(FILES / "values.npz")["fc.weight"].tobytes()
    assert contents.count(values) == 1
    path = tmp_path / "damaged.pth"
    path.write_bytes(contents.replace(values, bytes(len(values))))
    with open_torch_file(path) as stored, pytest.raises(UserError, match=r"damaged\.pth is damaged or no"):
        stored["fc.weight"].read()


@pytest.mark.parametrize("name", ["state", "legacy"])
def test_no_cut_file_is_taken_for_a_whole_one(name, tmp_path):
    whole, path = (FILES / f"{name}.pth").read_bytes(), tmp_path / "cut.pth"
    for length in range(0, len(whole), 7):
        path.write_bytes(whole[:length])
        with pytest.raises(UserError, match=r"cut\.pth"):
            _values(path)


def test_pytorch_is_not_needed():
    script = (
        "import sys; sys.modules['torch'] = None; "
        "from keras_resnet.weights.torch_file import open_torch_file as o\n"
        "with o(sys.argv[1]) as stored: print(sorted(stored))"
    )
    told = subprocess.run(
        [sys.executable, "-c", script, FILES / "state.pth"], capture_output=True, text=True, check=True
    )
    assert "bn1.weight" in told.stdout


def test_the_writer_of_these_tests_writes_what_pytorch_does(tmp_path):
    """The same instructions in the same order, but for what PyTorch adds of itself."""
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
