import contextlib
import json
import pathlib

import ml_dtypes
import numpy as np
import pytest
from helpers.errors import refused

from keras_resnet.weights.formats.safetensors import open_safetensors

FILES = pathlib.Path(__file__).parents[2] / "golden" / "torch_files"


@contextlib.contextmanager
def _refused(path, reason):
    """Expects the file to be refused, and for this reason."""
    with refused(value=path) as caught:
        yield
    assert reason in caught.value.reason


def _values(path):
    with open_safetensors(path) as stored:
        shapes = {key: array.shape for key, array in stored.items()}
        values = {key: array.read() for key, array in stored.items()}
    assert shapes == {key: value.shape for key, value in values.items()}
    return values


def test_values_are_those_that_were_saved():
    values, expected = _values(FILES / "state.safetensors"), np.load(FILES / "values.npz")
    assert set(values) == set(expected)
    for key in expected:
        np.testing.assert_array_equal(values[key], expected[key])


def test_bfloat16_is_read_as_it_is():
    values, expected = _values(FILES / "bfloat16.safetensors"), np.load(FILES / "values.npz")
    np.testing.assert_array_equal(values["fc.weight"], expected["fc.weight"].astype(ml_dtypes.bfloat16))


def test_errors_of_the_with_block_are_not_blamed_on_the_file():
    with (
        pytest.raises(OSError, match="the disk of OUT is full"),
        open_safetensors(FILES / "state.safetensors"),
    ):
        raise OSError("the disk of OUT is full")


def test_a_missing_file_is_refused(tmp_path):
    with refused(value=tmp_path / "gone.safetensors"):
        _values(tmp_path / "gone.safetensors")


def test_numbers_of_another_type_are_refused_with_what_would_work(tmp_path):
    path = tmp_path / "small.safetensors"
    header = json.dumps({"a": {"dtype": "F8_E8M0", "shape": [2], "data_offsets": [0, 2]}}).encode()
    path.write_bytes(len(header).to_bytes(8, "little") + header + bytes(2))
    with _refused(path, "a has type F8_E8M0"):
        _values(path)


def test_truncated_files_are_refused(tmp_path):
    complete, path = (FILES / "state.safetensors").read_bytes(), tmp_path / "cut.safetensors"
    for length in range(0, len(complete), 13):
        path.write_bytes(complete[:length])
        with _refused(path, "is damaged"):
            _values(path)


def test_a_header_larger_than_the_file_is_refused(tmp_path):
    path = tmp_path / "huge.safetensors"
    path.write_bytes((2**62).to_bytes(8, "little") + b"{}")
    with _refused(path, "is damaged"):
        _values(path)
