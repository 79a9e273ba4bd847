"""The recipe that a configuration means for some images."""

import dataclasses
import logging

import pytest
from helpers.errors import refused

from keras_resnet.data.dataset import Dataset, Split
from keras_resnet.runs.config import TrainConfig
from keras_resnet.runs.recipe import CUSTOM, resolve_recipe
from keras_resnet.training.recipes import RECIPES


def _dataset(images):
    split = Split("train", images, lambda key, start=0, step=1: None, str)
    return Dataset("pictures", ("cat", "dog"), (None, None, 3), split, split, hflip=True)


def _recipe(num_images, **fields):
    return resolve_recipe(TrainConfig(**fields), _dataset(num_images))[1]


@pytest.mark.parametrize(
    ("images", "batch_size"), [(512, 128), (511, 64), (108, 16), (16, 4), (9, 2), (4, 2), (2, 2)]
)
def test_an_epoch_of_few_images_has_four_steps_if_it_can(images, batch_size, caplog):
    caplog.set_level(logging.INFO, "keras_resnet")
    made = _recipe(images)
    assert made.batch_size == batch_size
    # In proportion: 0.1 for 128 images (Goyal et al. 2017, section 2.1).
    assert made.learning_rate == pytest.approx(0.1 * batch_size / 128)
    assert (f"batch_size is {batch_size} instead of 128" in caplog.text) == (batch_size < 128)


def test_what_the_user_says_stays():
    assert _recipe(108, batch_size=108).batch_size == 108
    made = _recipe(108, learning_rate=0.2)
    assert (made.batch_size, made.learning_rate) == (16, 0.2)


@pytest.mark.parametrize(("images", "fields", "value"), [(1, {}, 2), (108, {"batch_size": 109}, 109)])
def test_no_batch_of_more_images_than_there_are(images, fields, value):
    with refused("batch_size", value):
        _recipe(images, **fields)


def test_milestones_choose_their_schedule():
    made = _recipe(1000, milestones=(10, 20))
    assert (made.schedule, made.milestones) == ("multistep", (10, 20))
    made = _recipe(1000, recipe="cifar", schedule="cosine")
    assert (made.schedule, made.milestones) == ("cosine", ())


@pytest.mark.parametrize(
    ("fields", "parameter"),
    [
        ({"schedule": "cosine", "milestones": (10,)}, "milestones"),
        ({"recipe": "modern", "patience": 3}, "patience"),
        ({"epochs": 5, "iterations": 5}, "epochs"),
        ({"milestones": (20, 10)}, "milestones"),
    ],
)
def test_fields_that_contradict_each_other_are_refused(fields, parameter):
    with refused(parameter):
        _recipe(1000, **fields)


def test_a_recipe_object_is_changed_like_one_of_the_table():
    own = dataclasses.replace(RECIPES["modern"], reference="mine", batch_size=8)
    name, made = resolve_recipe(TrainConfig(recipe=own, epochs=2, mixup=0.2), _dataset(1000))
    assert name == CUSTOM
    assert (made.epochs, made.batch_size, made.batch_augment.mixup) == (2, 8, 0.2)
    assert made.batch_augment.label_smoothing == RECIPES["modern"].batch_augment.label_smoothing
