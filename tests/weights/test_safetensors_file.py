import json
import pathlib

import ml_dtypes
import numpy as np
import pytest

from keras_resnet.errors import UserError
from keras_resnet.weights.pixels import Pixels
from keras_resnet.weights.safetensors_file import open_safetensors_file, pixels_beside

FILES = pathlib.Path(__file__).parents[1] / "golden" / "torch_files"


def _values(path):
    with open_safetensors_file(path) as stored:
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


def test_what_goes_wrong_while_a_file_is_open_is_not_its_fault():
    with (
        pytest.raises(OSError, match="the disk of OUT is full"),
        open_safetensors_file(FILES / "state.safetensors"),
    ):
        raise OSError("the disk of OUT is full")


def test_a_file_that_cannot_be_opened_is_told(tmp_path):
    with pytest.raises(UserError, match=r"gone\.safetensors is damaged or no"):
        _values(tmp_path / "gone.safetensors")


def test_numbers_of_another_type_are_refused_with_what_would_work(tmp_path):
    path = tmp_path / "small.safetensors"
    header = json.dumps({"a": {"dtype": "F8_E8M0", "shape": [2], "data_offsets": [0, 2]}}).encode()
    path.write_bytes(len(header).to_bytes(8, "little") + header + bytes(2))
    with pytest.raises(UserError, match=r"small\.safetensors: a has numbers of type F8_E8M0.*float32"):
        _values(path)


def test_no_cut_file_is_taken_for_a_whole_one(tmp_path):
    whole, path = (FILES / "state.safetensors").read_bytes(), tmp_path / "cut.safetensors"
    for length in range(0, len(whole), 13):
        path.write_bytes(whole[:length])
        with pytest.raises(UserError, match=r"cut\.safetensors is damaged"):
            _values(path)


def test_a_header_larger_than_the_file_is_refused(tmp_path):
    path = tmp_path / "huge.safetensors"
    path.write_bytes((2**62).to_bytes(8, "little") + b"{}")
    with pytest.raises(UserError, match="damaged or no safetensors file"):
        _values(path)


def test_a_config_of_another_library_says_nothing(tmp_path):
    (tmp_path / "config.json").write_text('{"architectures": ["ResNetForImageClassification"]}')
    assert pixels_beside(tmp_path / "model.safetensors") is None


def test_timms_config_says_how_pictures_are_prepared(tmp_path):
    path = tmp_path / "model.safetensors"
    assert pixels_beside(path) is None
    config = {
        "architecture": "resnet34",
        "pretrained_cfg": {"mean": [0.5, 0.5, 0.5], "std": [0.5, 0.25, 0.5]},
    }
    path.with_name("config.json").write_text(json.dumps(config))
    assert pixels_beside(path) == Pixels((127.5,) * 3, (127.5, 63.75, 127.5))


@pytest.mark.parametrize(
    "text",
    [
        "",
        '{"architecture": "resnet18", "pretrained_cfg": {"mean": [1], "std": [1]}}',
        '{"architecture": "resnet18", "pretrained_cfg": {"mean": [1, 1, NaN], "std": [1, 1, 1]}}',
        '{"architecture": "resnet18", "pretrained_cfg": 3}',
        "[" * 100_000,
        " " * 2**21,
    ],
    ids=range(6),
)
def test_another_config_is_refused(text, tmp_path):
    (tmp_path / "config.json").write_text(text)
    with pytest.raises(UserError, match=r"config\.json is not the config\.json of a timm model"):
        pixels_beside(tmp_path / "model.safetensors")


@pytest.mark.parametrize("architecture", ["resnetaa50", "resnetblur50", "resnet50d", "wide_resnet50_2"])
def test_nets_that_only_look_alike_are_refused_by_name(architecture, tmp_path):
    config = {"architecture": architecture, "pretrained_cfg": {"mean": [0.5] * 3, "std": [0.5] * 3}}
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(UserError, match=f"timm's {architecture}, which computes something else"):
        pixels_beside(tmp_path / "model.safetensors")
