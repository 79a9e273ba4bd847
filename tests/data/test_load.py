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
        ("labels.xlsx", "is a file, not a folder, and no table that is read: save it as .csv"),
        ("Labels.JSON", "is a file, not a folder, and no table that is read: save it as .csv"),
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
    ("name", "kind"),
    [
        ("./nowhere", "folder"),
        ("/nowhere/at/all", "folder"),
        ("../nowhere.zip", "folder"),
        ("~/nowhere", "folder"),
        ("nowhere.csv", "file"),
        ("./nowhere.parquet", "file"),
        ("~/nowhere.TSV", "file"),
    ],
)
def test_what_is_not_there_is_not_there(tmp_path, monkeypatch, name, kind):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    assert _refusal(name).startswith(f"there is no such {kind};")


def test_a_home_folder_that_no_shell_replaced(tmp_path, monkeypatch):
    write_files(tmp_path, "photos/a/", "photos/b/", "photos/labels.csv")
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("photos", "photos/labels.csv"):
        assert str(tmp_path / name) in _refusal(f"~/{name}")


@pytest.mark.parametrize("name", ["photos", "./photos", "photos.old", "photos.csv"])
def test_a_link_to_nothing_is_called_one(tmp_path, monkeypatch, name):
    (tmp_path / name).symlink_to(tmp_path / "unmounted")
    monkeypatch.chdir(tmp_path)
    assert _refusal(name).startswith(f"is a link to {tmp_path / 'unmounted'}")


def test_a_file_that_is_called_like_the_digits_hides_them_not(tmp_path, monkeypatch):
    with zipfile.ZipFile(tmp_path / "digits", "w"):
        monkeypatch.chdir(tmp_path)
    assert load_dataset("digits").train.size == 1442
