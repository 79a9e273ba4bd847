"""Recipes as data: what is refused, what identifies them, what they say of themselves."""

import dataclasses
import json

import pytest
from helpers.errors import refused

from keras_resnet.data.batch_augment import BatchAugment
from keras_resnet.training.recipes import RECIPES, Recipe, default_recipe, get_recipe


def _unfreeze(*phases):
    return {"unfreeze": phases}


@pytest.mark.parametrize(
    ("fields", "parameter"),
    [
        ({"epochs": 0}, "epochs"),
        ({"epochs": 5, "iterations": 5}, "epochs"),
        ({"epochs": -1}, "epochs"),
        ({"epochs": 0, "iterations": -1}, "iterations"),
        ({"batch_size": 0}, "batch_size"),
        ({"schedule": "exponential"}, "schedule"),
        ({"weight_decay_on": "none"}, "weight_decay_on"),
        ({"schedule": "multistep", "milestones": (20, 10)}, "milestones"),
        ({"milestones": (10, 20)}, "milestones"),
        ({"learning_rate": 0.0}, "learning_rate"),
        ({"learning_rate": float("inf")}, "learning_rate"),
        ({"momentum": 1.1}, "momentum"),
        ({"weight_decay": -1e-4}, "weight_decay"),
        ({"patience": 0}, "patience"),
        ({"warmup_epochs": -1.0}, "warmup_epochs"),
        ({"warmup_error": 1.5}, "warmup_error"),
        ({"ema_decay": 1.0}, "ema_decay"),
        (_unfreeze(("head", 0.5), ("conv4", 0.4)), "unfreeze"),
        (_unfreeze(("head", 1.2), ("conv4", -0.2)), "unfreeze"),
        (_unfreeze(("conv4", 0.5), ("head", 0.5)), "unfreeze"),
        (_unfreeze(("head", 0.5), ("head", 0.5)), "unfreeze"),
        (_unfreeze(("conv2", 0.5), ("conv10", 0.5)), "unfreeze"),
        (_unfreeze(("predictions", 1.0)), "unfreeze"),
    ],
)
def test_impossible_recipes_are_refused(fields, parameter):
    values = {"batch_size": 10, "epochs": 1, **fields}
    with refused(parameter, values[parameter]):
        Recipe("this test", **values)


def test_nan_is_refused():
    with refused("learning_rate"):
        Recipe("this test", 10, epochs=1, learning_rate=float("nan"))


def test_every_recipe_has_a_reference_and_an_expected_accuracy():
    for name, recipe in RECIPES.items():
        assert recipe.reference, name
        assert recipe.expected_accuracy, name
    for text in ("91.25", "92.49", "93.03"):  # Table 6
        assert text in RECIPES["cifar"].expected_accuracy


def test_settings_are_nested_plain_values_without_prose():
    settings = RECIPES["finetune"].settings()
    assert json.loads(json.dumps(settings)) == {
        "batch_size": 32,
        "epochs": 20,
        "iterations": 0,
        "learning_rate": 0.03,
        "momentum": 0.9,
        "weight_decay": 1e-4,
        "weight_decay_on": "kernels",
        "schedule": "cosine",
        "patience": 10,
        "milestones": [],
        "warmup_epochs": 1.0,
        "warmup_error": 0.0,
        "ema_decay": 0.998,
        "zero_gamma": False,
        "unfreeze": [["head", 0.2], ["conv4", 0.3], ["conv1", 0.5]],
        "batch_augment": {
            "label_smoothing": 0.05,
            "randaugment": 0.0,
            "random_erasing": 0.0,
            "mixup": 0.0,
            "cutmix": 0.0,
        },
    }


def test_every_other_field_identifies_a_training():
    recipe = RECIPES["cifar"]
    for field, value in {
        "batch_size": 64,
        "iterations": 1000,
        "milestones": (1, 2),
        "zero_gamma": True,
        "batch_augment": BatchAugment(mixup=0.2),
    }.items():
        assert dataclasses.replace(recipe, **{field: value}).settings() != recipe.settings()
    assert dataclasses.replace(recipe, reference="reworded").settings() == recipe.settings()


def test_recipes_have_names():
    assert get_recipe("modern") is RECIPES["modern"]
    with refused("recipe", "best"):
        get_recipe("best")
    assert [default_recipe(name) for name in ("digits", "pets")] == ["digits", "plateau"]
