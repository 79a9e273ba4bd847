import os
import unicodedata

import pytest
from helpers.pictures import write_files

from keras_resnet.data.sources.file_finder import FileFinder


@pytest.fixture
def folder(tmp_path):
    write_files(tmp_path, "a/b.jpg", "a/0001.PNG", "a/two.jpg", "a/two.png", "a/v1.2.jpeg", "plain", "7.gif")
    write_files(tmp_path, f"{unicodedata.normalize('NFD', 'café')}.jpg", "a/b.txt", "x.jpg/inside.jpg")
    (tmp_path / "gone.jpg").symlink_to("nowhere")
    return tmp_path


@pytest.mark.parametrize(
    ("name", "file"),
    [
        ("a/b.jpg", "a/b.jpg"),
        ("a\\b.jpg", "a/b.jpg"),
        ("./a/../a//b.jpg", "a/b.jpg"),
        ("a/b", "a/b.jpg"),
        ("a/0001", "a/0001.PNG"),
        ("a\\0001", "a/0001.PNG"),
        ("a/v1.2", "a/v1.2.jpeg"),
        ("7", "7.gif"),
        ("plain", "plain"),
        ("a/b.txt", "a/b.txt"),
        (unicodedata.normalize("NFC", "café.jpg"), unicodedata.normalize("NFD", "café.jpg")),
        (unicodedata.normalize("NFC", "café"), unicodedata.normalize("NFD", "café.jpg")),
    ],
)
@pytest.mark.parametrize("how", ["absolute", "relative", "paths"])
def test_files_are_found(folder, monkeypatch, how, name, file):
    monkeypatch.chdir(folder.parent)
    start = {"absolute": str(folder), "relative": folder.name, "paths": "elsewhere"}[how]
    path, identity = FileFinder(start).find(f"{folder}/{name}" if how == "paths" else name)
    assert os.path.samefile(path, folder / file)
    found = os.stat(folder / file)
    assert identity == (found.st_dev, found.st_ino)


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("c.jpg", "c.jpg is not there"),
        ("a/two", "two.jpg and two.png"),
        ("a", "a folder"),
        ("x.jpg", "not a file"),
        ("gone.jpg", "not there"),
        ("gone", "not there"),
        ("nowhere/c", "with or without the suffix of an image"),
        ("C:\\images\\b.jpg", "not there"),
        ("a\0b", "not there"),
    ],
)
def test_why_there_is_no_file(folder, name, says):
    found = FileFinder(str(folder)).find(name)
    assert found.kind == ("ambiguous" if name == "a/two" else "missing")
    assert says in found.reason
