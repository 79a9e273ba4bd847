import os
import re
import shutil
import warnings

import numpy as np
import pytest
import tensorflow as tf
from pictures import encoded, small, write_folder

from keras_resnet.data import sources
from keras_resnet.data.survey import survey
from keras_resnet.errors import UserError


def _names(split):
    return [split.describe(index) for index in range(split.size)]


def test_folder_with_train_and_val(tmp_path):
    source = sources.find(str(write_folder(tmp_path)))
    assert source.class_names == ("church", "flower")
    assert (source.train.size, source.test.size, source.test.name) == (20, 4, "val")
    assert source.image_shape == (None, None, 3)
    for index, image, label in source.train.read(None).as_numpy_iterator():
        path = source.train.describe(index)
        assert source.class_names[label] in path
        with open(path, "rb") as file:
            assert image == file.read()


def test_order_is_the_keys(tmp_path):
    split = sources.find(str(write_folder(tmp_path))).train

    def order(key):
        return [int(index) for index, _, _ in split.read(tf.constant(key)).as_numpy_iterator()]

    assert order([1, 2]) == order([1, 2]) != order([1, 3])
    assert sorted(order([1, 2])) == list(range(20))


@pytest.mark.parametrize("name", ["digits", "folder"])
def test_a_part_of_an_order_is_read_alone(tmp_path, name):
    split = sources.find(str(write_folder(tmp_path)) if name == "folder" else name).train

    def order(*part):
        return [int(index) for index, _, _ in split.read(tf.constant([1, 2]), *part).as_numpy_iterator()]

    assert order(3, 4) == order()[3::4]
    assert order(tf.constant(5, tf.int64)) == order()[5:]
    assert order(split.size + 1) == []


def test_single_tree_is_split_by_class_and_always_alike(tmp_path):
    folder = write_folder(tmp_path / "one", images=30, split=False)
    source = sources.find(str(folder), validation_fraction=0.2)
    assert (source.train.size, source.test.size) == (48, 12)
    assert source.test.name == "20% of each class"
    test = _names(source.test)
    assert [sum(name in path for path in test) for name in source.class_names] == [6, 6]
    assert not set(test) & set(_names(source.train))
    # Neither the place of the folder nor other files' coming and going moves a picture to the other part.
    moved = tmp_path / "elsewhere" / "two"
    shutil.copytree(folder, moved)
    assert [path.replace(str(folder), str(moved)) for path in test] == _names(
        sources.find(str(moved), validation_fraction=0.2).test
    )
    larger = set(_names(sources.find(str(folder), validation_fraction=0.4).test))
    assert set(test) < larger


def test_small_grey_pictures_of_one_size_are_seen_as_such(tmp_path):
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        for i in range(4):
            content = encoded(np.full((28, 28), 10 * i, "uint8"), "PNG")
            (tmp_path / name / f"{i}.png").write_bytes(content)
    assert sources.find(str(tmp_path)).image_shape == (28, 28, 1)


def test_hidden_and_other_files_are_left_alone(tmp_path):
    folder = write_folder(tmp_path, split=False)
    (folder / ".cache").mkdir()
    (folder / "church" / ".hidden.jpg").write_bytes(b"")
    (folder / "church" / "notes.txt").write_text("no picture")
    (folder / "church" / "deeper").mkdir()
    (folder / "church" / "deeper" / "more.JPG").write_bytes(encoded(small(0)))
    source = sources.find(str(folder))
    assert source.train.size + source.test.size == 21
    assert source.class_names == ("church", "flower")


def _no_val(folder):
    shutil.rmtree(folder / "val")


def _one_class(folder):
    shutil.rmtree(folder / "train" / "church")


def _new_class(folder):
    (folder / "val" / "bird").mkdir()


def _empty_class(folder):
    (folder / "train" / "aardvark").mkdir()


def _empty_val(folder):
    for file in (folder / "val").glob("*/*"):
        file.unlink()


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (_no_val, "none of val, validation, test beside it"),
        (_one_class, "holds 1 class folders and needs two or more"),
        (_new_class, "the class 'bird' is in val and not in train"),
        (_empty_class, "the class 'aardvark' has no pictures to train on"),
        (_empty_val, "has no pictures to test on; put some of each class into"),
    ],
)
def test_what_is_no_dataset_is_refused(tmp_path, spoil, says):
    folder = write_folder(tmp_path)
    spoil(folder)
    with pytest.raises(UserError, match=re.escape(f"--dataset={folder}")) as refusal:
        sources.find(str(folder))
    assert says in str(refusal.value)


def test_a_class_is_never_held_out_as_a_whole(tmp_path):
    source = sources.find(str(write_folder(tmp_path, images=2, split=False)), validation_fraction=0.9)
    assert (source.train.size, source.test.size) == (2, 2)


def test_classes_of_one_picture_are_refused_with_what_would_work(tmp_path):
    folder = write_folder(tmp_path, images=1, split=False)
    with pytest.raises(UserError, match="has no pictures to test on; each class has one, and needs two or"):
        sources.find(str(folder))


def test_pillow_does_not_warn_of_large_pictures(tmp_path):
    folder = write_folder(tmp_path)
    large = encoded(np.zeros((10_000, 9_000), "uint8"), "PNG")
    (folder / "train" / "church" / "00.png").write_bytes(large)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        source = sources.find(str(folder))
        assert survey(source.train).sizes[10_000, 9_000] == 1


def test_names_of_files_need_not_be_utf8(tmp_path):
    root = write_folder(tmp_path, split=False)
    name = os.fsencode(root / "church") + b"/caf\xe9.jpg"
    with open(name, "wb") as file:
        file.write(encoded(small(0)))
    source = sources.find(str(root))
    assert (source.train.size, source.test.size) == (19, 2)
    assert sum(1 for split in (source.train, source.test) for _ in split.read(None)) == 21
    told = {place for split in (source.train, source.test) for place in _names(split)}
    assert f"{root}/church/caf\\xe9.jpg" in told


@pytest.mark.parametrize(("name", "told"), [(b"caf\xe9", r"caf\\udce9"), (b"a\nb", r"a\\nb"), (b" ", " ")])
def test_names_of_classes_must_be_lines_of_utf8(tmp_path, name, told):
    root = write_folder(tmp_path, split=False)
    os.mkdir(os.fsencode(root) + b"/" + name)
    with pytest.raises(UserError, match=rf"the name of class '{told}' must be one line of UTF-8"):
        sources.find(str(root))
