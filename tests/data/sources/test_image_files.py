import errno
import os
import pathlib
import unicodedata

import PIL.Image
import pytest
from helpers.errors import refused
from helpers.pictures import write_files

from keras_resnet.data.sources.image_files import FORMATS, SUFFIXES, describe_unread, find_images, no_images


def _found(folder):
    found = find_images(folder)
    return [str(image.path.relative_to(folder)) for image in found.images], dict(found.unread)


def test_suffixes_are_those_of_pillow():
    """Of every format that is decoded, each suffix that Pillow knows is read."""
    PIL.Image.init()
    of_pillow = {suffix for suffix, kind in PIL.Image.EXTENSION.items() if kind in (*FORMATS, "MPO")}
    assert of_pillow <= set(SUFFIXES)
    for kind, suffixes in FORMATS.items():
        for suffix in suffixes:
            assert PIL.Image.EXTENSION.get(suffix, kind) in (kind, "MPO", "DIB")


def test_any_case_and_any_name_of_a_suffix(tmp_path):
    names = ["a.JPG", "b.jfif", "c.Jpe", "d.jpeg.png", "e f.WebP", "grün.gif"]
    write_files(tmp_path, *names, "g.tif", "h.HEIC", "i", "j.txt", "k.tif", "l.jpg.part")
    assert _found(tmp_path) == (
        names,
        {".tif": 2, ".heic": 1, "no suffix": 1, ".txt": 1, ".part": 1},
    )


def test_files_of_many_suffixes_are_summed_up(tmp_path):
    write_files(tmp_path, *(f"scan.{i:04}" for i in range(30)), "a.txt", "b.txt")
    unread = find_images(tmp_path).unread
    text = describe_unread(unread)
    assert text.startswith("2 .txt, 1 .0000, ")
    assert sum(int(part.split()[0]) for part in text.split(", ")) == 32
    assert len(text) < 100
    assert no_images(unread).endswith(f"; it holds {text}.")
    assert "it holds" not in no_images({})


@pytest.mark.parametrize("suffix", [b".caf\xe9", b".a\nb", b".\x1b[2J"])
def test_suffixes_can_be_printed(tmp_path, suffix):
    with open(os.fsencode(tmp_path) + b"/a" + suffix, "wb"):
        pass
    text = describe_unread(find_images(tmp_path).unread)
    assert text.isprintable()
    assert text.encode()


def test_hidden_and_system_files_are_passed_over(tmp_path):
    write_files(
        tmp_path,
        "a.jpg",
        "__MACOSX/a.jpg",
        "._a.jpg",
        ".DS_Store",
        ".cache/b.jpg",
        "Thumbs.db",
        "desktop.ini",
        "@eaDir/c.jpg",
        "_kept/d.jpg",
    )
    assert _found(tmp_path) == (["_kept/d.jpg", "a.jpg"], {})


def test_order_is_that_of_the_paths(tmp_path):
    write_files(tmp_path, "a/z.jpg", "a.jpg", "a-b/c.jpg", "a/b/c.jpg", "B.jpg", "é.jpg", "a/ü/1.jpg")
    images = [image.path for image in find_images(tmp_path).images]
    assert images == sorted(tmp_path.rglob("*.jpg"))


def test_links_are_what_they_lead_to(tmp_path):
    elsewhere, folder = write_files(tmp_path / "elsewhere", "deep/b.jpg", "c.jpg"), tmp_path / "folder"
    write_files(folder, "a.jpg")
    (folder / "deep").symlink_to(elsewhere / "deep")
    (folder / "file.png").symlink_to(elsewhere / "c.jpg")
    (folder / "relative").symlink_to(pathlib.Path("..", "elsewhere"))
    assert _found(folder) == (["a.jpg", "deep/b.jpg", "file.png", "relative/c.jpg"], {})
    link = tmp_path / "link"
    link.symlink_to(folder)
    assert _found(link) == _found(folder)


def test_links_in_circles_end(tmp_path):
    folder = write_files(tmp_path / "classes" / "cat", "a.jpg", "in/b.jpg")
    write_files(tmp_path / "classes" / "dog", "c.jpg")
    (folder / "in" / "self").symlink_to(folder)
    (folder / "up").symlink_to(tmp_path / "classes")
    (folder / "loop").symlink_to(folder / "loop")
    assert _found(folder) == (
        ["a.jpg", "in/b.jpg"],
        {"link to a folder above it": 1, "broken link": 1},
    )
    # Both lie in this folder, and are read once.
    assert _found(tmp_path / "classes")[0] == ["cat/a.jpg", "cat/in/b.jpg", "dog/c.jpg"]


def test_a_link_to_nothing_that_is_called_an_image_is_one(tmp_path):
    """So that it is missed when it is read, rather than left out."""
    (tmp_path / "a.jpg").symlink_to(tmp_path / "gone")
    (tmp_path / "b.txt").symlink_to(tmp_path / "gone")
    assert _found(tmp_path) == (["a.jpg"], {"broken link": 1})


def test_special_files_are_not_opened(tmp_path):
    os.mkfifo(tmp_path / "pipe.jpg")
    assert _found(tmp_path) == ([], {"special file": 1})


def test_two_paths_of_a_file_have_one_identity(tmp_path):
    write_files(tmp_path, "a.jpg", "b.jpg")
    os.link(tmp_path / "a.jpg", tmp_path / "hard.jpg")
    (tmp_path / "soft.jpg").symlink_to("a.jpg")
    identities = {image.path.stem: image.identity for image in find_images(tmp_path).images}
    assert identities["a"] == identities["hard"] == identities["soft"] != identities["b"]


def test_a_folder_that_cannot_be_read_is_named(tmp_path, monkeypatch):
    closed = write_files(tmp_path, "a.jpg", "closed/b.jpg") / "closed"
    listdir = os.listdir

    def denied(folder):
        if folder == closed:
            raise PermissionError(errno.EACCES, "Permission denied", str(folder))
        return listdir(folder)

    monkeypatch.setattr(os, "listdir", denied)
    with refused(None, closed) as caught:
        find_images(tmp_path)
    assert "Permission denied" in caught.value.reason


def test_files_that_cannot_be_accessed_are_not_left_out(tmp_path, monkeypatch):
    """As in a folder that may be listed and not entered."""
    closed = write_files(tmp_path, "a.jpg", "closed/b.jpg", "closed/c.txt", "closed/d") / "closed"
    stat = os.stat

    def denied(path, *arguments, **options):
        if closed in pathlib.Path(path).parents:
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return stat(path, *arguments, **options)

    monkeypatch.setattr(os, "stat", denied)
    monkeypatch.setattr(os, "lstat", denied)
    assert _found(tmp_path) == (["a.jpg", "closed/b.jpg"], {"unreadable": 2})


@pytest.mark.parametrize("form", ["NFC", "NFD"])
def test_a_name_is_left_as_it_is_on_the_disk(tmp_path, form):
    name = unicodedata.normalize(form, "café.jpg")
    write_files(tmp_path, name)
    assert _found(tmp_path)[0] == [name]
