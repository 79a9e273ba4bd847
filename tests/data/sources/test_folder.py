import os
import shutil
import unicodedata
import warnings

import numpy as np
import pytest
import tensorflow as tf
from helpers.errors import refused
from helpers.pictures import encoded, small, write_files, write_folder

from keras_resnet.data.load import load_dataset
from keras_resnet.data.sources.folder_listing import list_folder
from keras_resnet.data.tools.statistics import dataset_statistics


def _names(split):
    return [split.describe(index) for index in range(split.size)]


def test_folder_with_train_and_val(tmp_path):
    dataset = load_dataset(str(write_folder(tmp_path)))
    assert dataset.class_names == ("church", "flower")
    assert (dataset.train.size, dataset.validation.size, dataset.validation.name) == (20, 4, "val")
    assert dataset.image_shape == (None, None, 3)
    for index, image, label in dataset.train.read(None).as_numpy_iterator():
        path = dataset.train.describe(index)
        assert dataset.class_names[label] in path
        with open(path, "rb") as file:
            assert image == file.read()


def test_order_is_the_keys(tmp_path):
    split = load_dataset(str(write_folder(tmp_path))).train

    def order(key):
        return [int(index) for index, _, _ in split.read(tf.constant(key)).as_numpy_iterator()]

    assert order([1, 2]) == order([1, 2]) != order([1, 3])
    assert sorted(order([1, 2])) == list(range(20))


@pytest.mark.parametrize("name", ["digits", "folder"])
def test_a_part_of_an_order_is_read_alone(tmp_path, name):
    split = load_dataset(str(write_folder(tmp_path)) if name == "folder" else name).train

    def order(*part):
        return [int(index) for index, _, _ in split.read(tf.constant([1, 2]), *part).as_numpy_iterator()]

    assert order(3, 4) == order()[3::4]
    assert order(tf.constant(5, tf.int64)) == order()[5:]
    assert order(split.size + 1) == []


def test_single_tree_is_split_by_class_and_always_alike(tmp_path):
    folder = write_folder(tmp_path / "one", images=30, split=False)
    dataset = load_dataset(str(folder), validation_fraction=0.2)
    assert (dataset.train.size, dataset.validation.size) == (48, 12)
    assert dataset.validation.name == "20% of each class"
    held_out = _names(dataset.validation)
    assert [sum(name in path for path in held_out) for name in dataset.class_names] == [6, 6]
    assert not set(held_out) & set(_names(dataset.train))
    # Neither the place of the folder nor other files' coming and going moves an image to the other split.
    moved = tmp_path / "elsewhere" / "two"
    shutil.copytree(folder, moved)
    assert [path.replace(str(folder), str(moved)) for path in held_out] == _names(
        load_dataset(str(moved), validation_fraction=0.2).validation
    )
    larger = set(_names(load_dataset(str(folder), validation_fraction=0.4).validation))
    assert set(held_out) < larger


def test_which_images_are_held_out_is_for_ever_the_same(tmp_path):
    """A run is resumed and evaluated on the images of its training by every version."""
    folder = write_files(tmp_path / "photos", "x/", "y/", count=20)
    held_out = [file.path.relative_to(folder) for file in list_folder(str(folder), 0.1).splits["validation"]]
    assert list(map(str, held_out)) == ["x/10.jpg", "x/7.jpg", "y/2.jpg", "y/6.jpg"]


def test_no_choice_depends_on_test_images(tmp_path):
    """Not the size and the channels of the model's input either."""
    for split, side, channels in (("train", 28, ()), ("val", 28, ()), ("test", 50, (3,))):
        for name in "ab":
            (tmp_path / split / name).mkdir(parents=True)
            content = encoded(np.zeros((side, side, *channels), "uint8"), "PNG")
            (tmp_path / split / name / "0.png").write_bytes(content)
    dataset = load_dataset(str(tmp_path))
    assert dataset.image_shape == (28, 28, 1)
    assert dataset.test.size == 2


def test_small_gray_images_of_one_size_are_recognized(tmp_path):
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        for i in range(4):
            content = encoded(np.full((28, 28), 10 * i, "uint8"), "PNG")
            (tmp_path / name / f"{i}.png").write_bytes(content)
    assert load_dataset(str(tmp_path)).image_shape == (28, 28, 1)


def test_hidden_and_other_files_are_left_alone(tmp_path):
    folder = write_folder(tmp_path, split=False)
    (folder / ".cache").mkdir()
    (folder / "church" / ".hidden.jpg").write_bytes(b"")
    (folder / "church" / "notes.txt").write_text("no picture")
    (folder / "church" / "deeper").mkdir()
    (folder / "church" / "deeper" / "more.JPG").write_bytes(encoded(small(0)))
    dataset = load_dataset(str(folder))
    assert dataset.train.size + dataset.validation.size == 21
    assert dataset.class_names == ("church", "flower")


def test_a_third_folder_is_the_test_split(tmp_path):
    folder = write_folder(tmp_path)
    shutil.copytree(folder / "train", folder / "test")
    dataset = load_dataset(str(folder))
    assert (dataset.validation.name, dataset.validation.size) == ("val", 4)
    assert (dataset.test.name, dataset.test.size) == ("test", 20)
    assert all("/test/" in path for path in _names(dataset.test))


def test_without_a_folder_val_the_folder_test_validates(tmp_path):
    folder = write_folder(tmp_path)
    (folder / "val").rename(folder / "test")
    dataset = load_dataset(str(folder))
    assert (dataset.validation.name, dataset.validation.size, dataset.test) == ("test", 4, None)


def test_a_test_folder_without_labels_is_left_out(tmp_path, caplog):
    folder = write_folder(tmp_path)
    (folder / "test").mkdir()
    (folder / "test" / "00.jpg").write_bytes(encoded(small(0)))
    with caplog.at_level("INFO"):
        assert load_dataset(str(folder)).test is None
    assert str(folder / "test") in caplog.text


def test_of_three_folders_each_has_its_meaning_whatever_it_is_called(tmp_path):
    """Validation chooses, test is only reported."""
    write_files(tmp_path, *(f"Training/{name}/" for name in "ab"), count=3)
    write_files(tmp_path, *(f"valid/{name}/" for name in "ab"), count=2)
    write_files(tmp_path, *(f"Testing/{name}/" for name in "ab"))
    dataset = load_dataset(str(tmp_path))
    assert dataset.class_names == ("a", "b")
    assert (dataset.train.size, dataset.validation.size, dataset.test.size) == (6, 4, 2)
    assert (dataset.validation.name, dataset.reported_split.name) == ("valid", "Testing")
    assert "4 validation (valid), 2 test (Testing) images" in dataset.summary()


def test_a_split_without_images_of_a_class_is_reported(tmp_path, caplog):
    write_files(tmp_path, "train/a/", "train/b/", "train/c/", "val/a/", "val/b/", "test/a/", "test/c/")
    load_dataset(str(tmp_path))
    assert [record.getMessage() for record in caplog.records] == [
        f"{tmp_path / split} holds no images of 1 of the 3 classes, as {name}."
        for split, name in (("val", "c"), ("test", "b"))
    ]


def test_files_that_are_not_read_are_counted_in_a_warning(tmp_path, caplog):
    write_files(
        tmp_path, "train/a/", "train/b/", "val/a/", "val/b/", "train/a/x.heic", "val/b/y.TIF", "val/b/z"
    )
    write_files(
        tmp_path, "lost.jpg", "train/lost.jpg", "README.md", "train/a/.hidden", "__MACOSX/train/a/0.jpg"
    )
    unread = {".heic": 1, ".tif": 1, "no suffix": 1, "in no class folder": 2}
    assert list_folder(str(tmp_path), 0.1).unread == unread
    dataset = load_dataset(str(tmp_path))
    assert (dataset.train.size, dataset.validation.size) == (2, 2)
    (record,) = caplog.records
    assert all(f"{count} {what}" in record.getMessage() for what, count in unread.items())


def test_a_folder_without_them_has_no_warning(tmp_path, caplog):
    load_dataset(str(write_files(tmp_path, "_background/", "dog/", "__none__/", "dog/Thumbs.db", count=2)))
    assert not caplog.records


def test_folders_that_begin_with_an_underscore_are_classes(tmp_path):
    write_files(tmp_path, "_background/", "dog/", "__none__/", "__MACOSX/", "__pycache__/", count=3)
    dataset = load_dataset(str(tmp_path))
    assert dataset.class_names == ("__none__", "_background", "dog")
    assert dataset.train.size + dataset.validation.size == 9


def test_linked_folders_are_read_at_any_depth(tmp_path):
    elsewhere = write_files(tmp_path / "elsewhere", "cat/", "more/deep/", count=3)
    folder = write_files(tmp_path / "folder", "bird/", count=3)
    (folder / "cat").symlink_to(elsewhere / "cat")
    (folder / "bird" / "more").symlink_to(elsewhere / "more")
    dataset = load_dataset(str(folder))
    assert dataset.class_names == ("bird", "cat")
    assert dataset.train.size + dataset.validation.size == 9
    link = tmp_path / "link"
    link.symlink_to(folder)
    assert load_dataset(str(link)).train.size == dataset.train.size


def test_unicode_forms_of_a_name_are_one_class(tmp_path):
    """And hold out the same images."""
    forms = {form: unicodedata.normalize(form, "café") for form in ("NFC", "NFD")}
    write_files(tmp_path, f"train/{forms['NFC']}/", "train/tea/", f"val/{forms['NFD']}/", "val/tea/")
    dataset = load_dataset(str(tmp_path))
    assert dataset.class_names == ("café", "tea")
    assert [label for _, _, label in dataset.validation.read(None).as_numpy_iterator()] == [0, 1]
    held_out = []
    for form, name in forms.items():
        folder = write_files(tmp_path / form, f"{name}/{name}/", "tea/", count=20)
        listing = list_folder(str(folder), 0.5)
        held_out.append([file.path.name for file in listing.splits["validation"]])
    assert held_out[0] == held_out[1]


@pytest.mark.parametrize(
    "name", ["photos", "photos/", "./photos", "photos/../photos//", "with spaces ünd mehr"]
)
def test_a_folder_by_any_path(tmp_path, monkeypatch, name):
    write_files(tmp_path / name, "a/", "b/", count=2)
    monkeypatch.chdir(tmp_path)
    assert load_dataset(name).class_names == ("a", "b")


@pytest.mark.parametrize("make", ["soft", "hard", "folder"])
def test_a_file_in_two_splits_is_refused_where_a_model_is_trained(tmp_path, make):
    write_files(tmp_path, "train/a/", "train/b/")
    if make == "folder":
        (tmp_path / "val").symlink_to("train")
    else:
        write_files(tmp_path, "val/a/", "val/b/")
        link = os.link if make == "hard" else os.symlink
        link(tmp_path / "train" / "a" / "0.jpg", tmp_path / "val" / "a" / "9.jpg")
    load_dataset(str(tmp_path))
    with refused("dataset", str(tmp_path)) as caught:
        load_dataset(str(tmp_path), require_disjoint=True)
    assert "once in train and once in val" in caught.value.reason


def test_a_file_in_two_classes_is_refused_where_a_model_is_trained(tmp_path):
    write_files(tmp_path, "train/a/", "train/b/", "val/a/", "val/b/")
    (tmp_path / "train" / "b" / "9.jpg").symlink_to(tmp_path / "train" / "a" / "0.jpg")
    with refused("dataset", str(tmp_path)) as caught:
        load_dataset(str(tmp_path), require_disjoint=True)
    assert "once in a and once in b" in caught.value.reason


def test_a_new_class_in_the_test_folder_is_refused(tmp_path):
    folder = write_folder(tmp_path)
    (folder / "test" / "bird").mkdir(parents=True)
    with refused("dataset", str(folder)) as caught:
        load_dataset(str(folder))
    assert "'bird'" in caught.value.reason


def _no_val(folder):
    shutil.rmtree(folder / "val")


def _one_class(folder):
    shutil.rmtree(folder / "train" / "church")


def _new_class(folder):
    (folder / "val" / "bird").mkdir()


def _empty_class(folder):
    (folder / "train" / "aardvark").mkdir()


def _no_suffix_that_is_read(folder):
    write_files(folder, "train/aardvark/0.heic")


def _splits_in_class(folder):
    write_files(folder, "train/church/train/0.jpg", "train/church/val/0.jpg")


def _no_folders(folder):
    shutil.rmtree(folder / "train")
    shutil.rmtree(folder / "val")
    write_files(folder, "0.jpg")


def _folder_around(folder):
    shutil.copytree(folder, folder / "photos")
    shutil.rmtree(folder / "train")
    shutil.rmtree(folder / "val")


def _val_without_classes(folder):
    shutil.rmtree(folder / "val")
    write_files(folder, "val/0.jpg")


def _test_without_classes(folder):
    shutil.rmtree(folder / "val")
    write_files(folder, "test/0.jpg")


def _empty_val(folder):
    for file in (folder / "val").glob("*/*"):
        file.unlink()


@pytest.mark.parametrize(
    ("spoil", "word"),
    [
        (_no_val, "validation, val, valid, test"),
        (_one_class, "1 class folders"),
        (_new_class, "'bird'"),
        (_empty_class, "'aardvark'"),
        (_no_suffix_that_is_read, "1 .heic"),
        (_splits_in_class, "train/church"),
        (_no_folders, "0 class folders"),
        (_folder_around, "/photos?"),
        (_val_without_classes, "val/church"),
        (_test_without_classes, "/train to have a part of each class held out"),
        (_empty_val, "val"),
    ],
)
def test_a_folder_that_is_not_a_dataset_is_refused(tmp_path, spoil, word):
    folder = write_folder(tmp_path)
    spoil(folder)
    with refused("dataset", str(folder)) as caught:
        load_dataset(str(folder))
    assert word in caught.value.reason


def test_a_class_is_never_held_out_entirely(tmp_path):
    dataset = load_dataset(str(write_folder(tmp_path, images=2, split=False)), validation_fraction=0.9)
    assert (dataset.train.size, dataset.validation.size) == (2, 2)


def test_classes_of_one_image_are_refused_with_what_would_work(tmp_path):
    folder = write_folder(tmp_path, images=1, split=False)
    with refused("dataset", str(folder)) as caught:
        load_dataset(str(folder))
    assert "two or more" in caught.value.reason


def test_pillow_does_not_warn_of_large_images(tmp_path):
    folder = write_folder(tmp_path)
    large = encoded(np.zeros((10_000, 9_000), "uint8"), "PNG")
    (folder / "train" / "church" / "00.png").write_bytes(large)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        dataset = load_dataset(str(folder))
        assert dataset_statistics(dataset.train).sizes[10_000, 9_000] == 1


def test_names_of_files_need_not_be_utf8(tmp_path):
    root = write_folder(tmp_path, split=False)
    name = os.fsencode(root / "church") + b"/caf\xe9.jpg"
    with open(name, "wb") as file:
        file.write(encoded(small(0)))
    dataset = load_dataset(str(root))
    assert (dataset.train.size, dataset.validation.size) == (19, 2)
    assert sum(1 for split in (dataset.train, dataset.validation) for _ in split.read(None)) == 21
    described = {place for split in (dataset.train, dataset.validation) for place in _names(split)}
    assert f"{root}/church/caf\\xe9.jpg" in described


@pytest.mark.parametrize(("name", "escaped"), [(b"caf\xe9", r"caf\udce9"), (b"a\nb", r"a\nb"), (b" ", " ")])
def test_names_of_classes_must_be_lines_of_utf8(tmp_path, name, escaped):
    root = write_folder(tmp_path, split=False)
    os.mkdir(os.fsencode(root) + b"/" + name)
    with refused("dataset", str(root)) as caught:
        load_dataset(str(root))
    assert f"'{escaped}'" in caught.value.reason
