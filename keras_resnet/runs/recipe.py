"""The recipe of a training: one of the table or the user's own, with the configuration's changes."""

import dataclasses
import logging
import math
from typing import Any

from keras_resnet.data.batch_augment import BatchAugment
from keras_resnet.data.dataset import Dataset
from keras_resnet.errors import UserError
from keras_resnet.runs.config import TrainConfig
from keras_resnet.runs.own_images import choose_recipe, is_own, log_recipe
from keras_resnet.training.recipes import RECIPES, Recipe, default_recipe

_LOG = logging.getLogger(__name__)

# Where an epoch would have fewer steps, the recipe's batches are made smaller.
_MIN_STEPS_PER_EPOCH = 4
# Batch statistics of one image would be those of the image.
_MIN_BATCH_SIZE = 2
CUSTOM = "custom"


def resolve_recipe(config: TrainConfig, dataset: Dataset) -> tuple[str, Recipe]:
    """Name of the recipe ("custom" for a `Recipe` object), and the recipe with the configuration's changes.

    Raises:
        UserError: two fields contradict each other, or a batch has more images than the dataset.
    """
    is_chosen = config.recipe is None and is_own(dataset)
    if isinstance(config.recipe, Recipe):
        name, recipe = CUSTOM, config.recipe
    elif is_chosen:
        name, recipe = choose_recipe(dataset, has_weights=config.weights is not None)
    else:
        name = config.recipe or default_recipe(dataset.name)
        recipe = RECIPES[name]
    changes: dict[str, Any] = {
        field.name: getattr(config, field.name)
        for field in (*dataclasses.fields(Recipe), *dataclasses.fields(BatchAugment))
        if getattr(config, field.name, None) is not None
    }
    augment = {
        field.name: changes.pop(field.name)
        for field in dataclasses.fields(BatchAugment)
        if field.name in changes
    }
    if "milestones" in changes:
        changes.setdefault("schedule", "multistep")
    if is_chosen and "patience" in changes:
        changes.setdefault("schedule", "plateau")
    schedule = changes.get("schedule", recipe.schedule)
    if schedule != "multistep":
        changes.setdefault("milestones", ())
    if config.patience is not None and schedule != "plateau":
        raise UserError(
            f"applies to schedule=plateau, and the schedule is {schedule}.",
            parameter="patience",
            value=config.patience,
        )
    if "epochs" in changes and "iterations" not in changes:
        changes["iterations"] = 0
    elif "iterations" in changes and "epochs" not in changes:
        changes["epochs"] = 0
    recipe = dataclasses.replace(
        recipe, **changes, batch_augment=dataclasses.replace(recipe.batch_augment, **augment)
    )
    full = recipe
    if "batch_size" not in changes:
        recipe = _for_few_images(recipe, dataset, keep_rate="learning_rate" in changes)
    if is_chosen:
        log_recipe(dataset, name, recipe, has_weights=config.weights is not None)
    elif recipe != full:
        _log_smaller_batches(dataset, full, recipe)
    if recipe.batch_size > dataset.train.size:
        raise UserError(
            f"is more than the {dataset.train.size:,} training images of {dataset.name}; use that number or "
            "less.",
            parameter="batch_size",
            value=recipe.batch_size,
        )
    return name, recipe


def _for_few_images(recipe: Recipe, dataset: Dataset, *, keep_rate: bool) -> Recipe:
    """Smaller batches where an epoch would have few steps, with the learning rate in proportion.

    Goyal et al. 2017, section 2.1.
    """
    limit = max(dataset.train.size / _MIN_STEPS_PER_EPOCH, _MIN_BATCH_SIZE)
    if recipe.batch_size <= limit:
        return recipe
    size = 2 ** math.floor(math.log2(limit))
    rate = recipe.learning_rate if keep_rate else recipe.learning_rate * size / recipe.batch_size
    return dataclasses.replace(recipe, batch_size=size, learning_rate=rate)


def _log_smaller_batches(dataset: Dataset, full: Recipe, used: Recipe) -> None:
    _LOG.info(
        "%s has %s training images: batch_size is %s instead of %s, and learning_rate %g instead of %g.",
        dataset.name,
        f"{dataset.train.size:,}",
        used.batch_size,
        full.batch_size,
        used.learning_rate,
        full.learning_rate,
    )
