"""What a folder or table is trained with where the user chooses nothing."""

import dataclasses
import logging

import numpy as np
import PIL.Image
import pytest
from helpers.errors import refused

import keras_resnet
from keras_resnet.data.dataset import Dataset, Split
from keras_resnet.runs.config import TrainConfig
from keras_resnet.runs.own_images import EPOCHS, choose_depth, choose_recipe, is_own
from keras_resnet.runs.resolve import resolve
from keras_resnet.training.recipes import RECIPES


def _write(folder, side=80, classes=2, images=12):
    """Photographs of noise; the sides of a class differ if `side` is None."""
    pixels = np.random.default_rng(0)
    for label in range(classes):
        (folder / f"class{label}").mkdir(parents=True)
        for number in range(images):
            size = side or 70 + number
            image = pixels.integers(0, 256, (size, size, 3), "uint8")
            PIL.Image.fromarray(image).save(folder / f"class{label}" / f"{number}.png")
    return folder


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    """24 images of 80x80 pixels in two classes."""
    return _write(tmp_path_factory.mktemp("photos") / "photos")


@pytest.fixture(scope="module")
def thumbnails(tmp_path_factory):
    """24 images of 32x32 pixels in two classes."""
    return _write(tmp_path_factory.mktemp("thumbnails") / "thumbnails", side=32)


def _named(name, images=20, classes=2, shape=(None, None, 3)):
    """A dataset that is never read."""
    split = Split("train", images, lambda key, start=0, step=1: None, str)
    return Dataset(name, tuple(map(str, range(classes))), shape, split, split, hflip=True)


def _job(dataset, **fields):
    return resolve(TrainConfig(dataset=dataset, **fields))


def test_photographs_get_resnet18_at_224(photos, caplog):
    caplog.set_level(logging.INFO, "keras_resnet")
    job = _job(photos)
    assert (job.architecture.name, job.architecture.shortcut) == ("resnet18", "B")
    assert (job.transform.spec.size, job.transform.spec.crop_mode) == (224, "center")
    assert "images larger than 64x64 or of several sizes, and no depth: ResNet-18 at 224x224." in caplog.text


def test_so_do_images_of_several_sizes(tmp_path):
    assert _job(_write(tmp_path / "photos", side=None)).architecture.name == "resnet18"


def test_small_images_get_resnet20_as_they_are(thumbnails, caplog):
    caplog.set_level(logging.INFO, "keras_resnet")
    job = _job(thumbnails)
    assert (job.architecture.name, job.transform.spec.size) == ("cifar_resnet20", 32)
    assert "images of one size up to 64x64, and no depth: ResNet-20 at 32x32." in caplog.text


def test_a_small_input_or_the_family_of_cifar_gets_resnet20(photos, caplog):
    caplog.set_level(logging.INFO, "keras_resnet")
    assert _job(photos, image_size=64).architecture.name == "cifar_resnet20"
    assert "images reduced to 64x64, and no depth: ResNet-20 at 64x64." in caplog.text
    assert _job(photos, image_size=96).architecture.name == "resnet18"
    assert _job(photos, family="cifar").architecture.name == "cifar_resnet20"


def test_a_table_is_like_a_folder(photos, tmp_path):
    rows = [f"{file.relative_to(photos)},{file.parent.name}" for file in sorted(photos.glob("*/*.png"))]
    table = tmp_path / "labels.csv"
    table.write_text("\n".join(["path,label", *rows]))
    job = _job(table, images_dir=photos)
    assert (job.architecture.name, job.recipe_name) == ("resnet18", "modern")


def test_a_loaded_folder_is_like_its_name(photos):
    loaded, named = _job(keras_resnet.load_dataset(str(photos))), _job(photos)
    assert (loaded.architecture, loaded.recipe) == (named.architecture, named.recipe)


@pytest.mark.parametrize(("images", "row"), [(1, 0), (60, 0), (61, 1), (200, 1), (201, 2), (100_000, 2)])
def test_the_table_says_how_long(images, row):
    dataset = _named("photos", images * 5, classes=5)
    name, recipe = choose_recipe(dataset, has_weights=False)
    assert (name, recipe) == (
        "modern",
        dataclasses.replace(RECIPES["modern"], epochs=EPOCHS[row].from_scratch),
    )
    name, recipe = choose_recipe(dataset, has_weights=True)
    assert (name, recipe) == (
        "finetune",
        dataclasses.replace(RECIPES["finetune"], epochs=EPOCHS[row].fine_tuned),
    )


def test_the_table_covers_every_number_in_order():
    limits = [row.max_images for row in EPOCHS]
    assert limits == sorted(set(limits))
    assert limits[-1] == float("inf")
    # More images take fewer passes over them.
    for epochs in ([row.from_scratch for row in EPOCHS], [row.fine_tuned for row in EPOCHS]):
        assert epochs == sorted(epochs, reverse=True)


def test_it_says_so_in_three_lines(photos, caplog):
    caplog.set_level(logging.INFO, "keras_resnet")
    job = _job(photos)
    recipe = job.recipe
    # 11 images of each class are left to train on: 22, of which a quarter and a power of two is 4.
    assert (job.recipe_name, recipe.epochs, recipe.batch_size) == ("modern", EPOCHS[0].from_scratch, 4)
    chosen = [record for record in caplog.records if record.name == "keras_resnet.runs.own_images"]
    assert len(chosen) == len(caplog.records) == 3
    depth, line, weights = (record.getMessage() for record in chosen)
    assert "ResNet-18" in depth
    assert "about 11 training images per class, from random weights, and no recipe: modern" in line
    assert f"{recipe.epochs} epochs, batches of 4, learning rate {recipe.learning_rate:g}." in line
    assert "weights=torchvision-v1 with depth=18" in weights


def test_small_images_are_not_told_of_weights_for_photographs(thumbnails, caplog):
    caplog.set_level(logging.INFO, "keras_resnet")
    _job(thumbnails)
    assert "torchvision" not in caplog.text


def test_weights_choose_the_recipe_for_them(photos, published_file, caplog):
    caplog.set_level(logging.INFO, "keras_resnet")
    job = _job(photos, weights=published_file)
    assert (job.recipe_name, job.recipe.epochs) == ("finetune", EPOCHS[0].fine_tuned)
    assert job.architecture.name == "resnet18"
    assert "from other weights, and no recipe: finetune" in caplog.text
    assert "torchvision-v1" not in caplog.text
    assert "ResNet-18 at" not in caplog.text


def test_what_the_user_says_wins(photos, caplog):
    caplog.set_level(logging.INFO, "keras_resnet")
    job = _job(photos, depth=20, recipe="plateau", batch_size=8)
    assert job.architecture.name == "cifar_resnet20"
    assert job.recipe == dataclasses.replace(RECIPES["plateau"], batch_size=8)
    assert not caplog.records
    job = _job(photos, epochs=3, batch_size=8, learning_rate=0.5, run_name="other")
    assert (job.recipe.epochs, job.recipe.batch_size, job.recipe.learning_rate) == (3, 8, 0.5)
    assert _job(photos, iterations=7, run_name="steps").recipe.total_steps(4) == 7
    assert "7 steps" in caplog.text


def test_fields_of_a_schedule_choose_it(photos):
    patient = _job(photos, patience=3).recipe
    assert (patient.schedule, patient.patience) == ("plateau", 3)
    assert _job(photos, milestones=(5,)).recipe.schedule == "multistep"
    with refused("patience", 3):
        _job(photos, patience=3, schedule="cosine")


def test_datasets_of_a_catalog_and_arrays_stay_as_they_were():
    for name in ("cifar10", "imagenet2012", "fashion_mnist", "arrays"):
        dataset = _named(name)
        assert not is_own(dataset)
        assert choose_depth(TrainConfig(), dataset, None) == 20
    job = _job("digits")
    assert (job.architecture.name, job.recipe_name) == ("cifar_resnet20", "digits")
    assert job.recipe == RECIPES["digits"]
    images = np.zeros((40, 100, 100, 3), "uint8"), np.arange(40) % 2
    job = _job(keras_resnet.data.from_arrays(images, images, name="arrays"))
    assert (job.architecture.name, job.recipe_name) == ("cifar_resnet20", "plateau")


def test_inspecting_the_data_shows_what_the_training_takes(photos, tmp_path):
    from keras_resnet.runs.inspect_data import inspect_data

    summary = inspect_data(photos, output=tmp_path / "samples.png")
    assert (summary.architecture.name, summary.spec.size) == ("resnet18", 224)


@pytest.fixture(scope="module")
def published_file(tmp_path_factory):
    """Random weights of ResNet-18 in torchvision's format."""
    from helpers.public_files import torch_state, write_torch_file

    path = tmp_path_factory.mktemp("published") / "resnet18.pth"
    write_torch_file(path, torch_state(keras_resnet.ResNet18()))
    return path
