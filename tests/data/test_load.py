import zipfile

import pytest
from helpers.errors import refused
from helpers.pictures import write_files

from keras_resnet.data.load import load_dataset


def _refusal(name):
    with refused("dataset", name) as caught:
        load_dataset(name)
    return caught.value.reason


@pytest.mark.parametrize("place", ["", "./", "here"])
@pytest.mark.parametrize(
    ("file", "says"),
    [
        ("labels.csv", "is a file, not a folder, and tables"),
        ("Labels.TSV", "is a file, not a folder, and tables"),
        ("photo.jpg", "is a file, not a folder"),
        ("my data", "is a file, not a folder"),
        ("photos.zip", "is an archive"),
        ("photos.tar.gz", "is an archive"),
    ],
)
def test_a_file_is_called_one(tmp_path, monkeypatch, place, file, says):
    write_files(tmp_path, file)
    monkeypatch.chdir(tmp_path)
    reason = _refusal(f"{tmp_path}/{file}" if place == "here" else f"{place}{file}")
    assert reason.startswith(says)
    assert "subfolder of images for each class" in reason


@pytest.mark.parametrize(
    "name", ["./nowhere", "./nowhere.csv", "/nowhere/at/all", "../nowhere.zip", "~/nowhere"]
)
def test_what_is_not_there_is_not_there(tmp_path, monkeypatch, name):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    assert _refusal(name).startswith("there is no such folder;")


def test_a_home_folder_that_no_shell_replaced(tmp_path, monkeypatch):
    write_files(tmp_path, "photos/a/", "photos/b/")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert str(tmp_path / "photos") in _refusal("~/photos")


@pytest.mark.parametrize("name", ["photos", "./photos", "photos.old"])
def test_a_link_to_nothing_is_called_one(tmp_path, monkeypatch, name):
    (tmp_path / name).symlink_to(tmp_path / "unmounted")
    monkeypatch.chdir(tmp_path)
    assert _refusal(name).startswith(f"is a link to {tmp_path / 'unmounted'}")


def test_a_file_that_is_called_like_the_digits_hides_them_not(tmp_path, monkeypatch):
    with zipfile.ZipFile(tmp_path / "digits", "w"):
        monkeypatch.chdir(tmp_path)
    assert load_dataset("digits").train.size == 1442
