"""The flags that choose a recipe and change its fields."""

import dataclasses
import math
from typing import Any

from absl import flags

from keras_resnet.data.mixing import Mixing
from keras_resnet.data.source import Source
from keras_resnet.errors import UserError
from keras_resnet.training.recipes import DECAYS, RECIPES, SCHEDULES, Recipe, default_recipe

GROUP = "The recipe, and what of it to change"

_INTEGERS = {
    "epochs": "Passes over the training images.",
    "iterations": "Steps to train for, instead of --epochs.",
    "batch_size": "Images of one step, over all devices; by default the recipe's; fewer for few images.",
    "patience": "For --schedule=plateau: epochs without a better validation error before the rate falls.",
}
# Help, lowest and highest value.
_NUMBERS = {
    "learning_rate": ("The highest.", None, None),
    "momentum": ("Of SGD.", 0.0, 1.0),
    "weight_decay": ("L2, added to the gradient.", 0.0, None),
    "warm_up_epochs": ("Over which the learning rate grows from 0.", 0.0, None),
    "warm_up_error": (
        "A tenth of the learning rate until the training error is below it; 0: never.",
        0.0,
        1.0,
    ),
    "ema": ("Decay, a step, of an average of the weights that is kept in their place; 0: none.", 0.0, 1.0),
    "label_smoothing": ("Share of a label given to all classes alike.", 0.0, 1.0),
    "randaugment": ("Strength of two random operations on each batch.", 0.0, 1.0),
    "random_erasing": ("Share of the images that lose a rectangle.", 0.0, 1.0),
    "mixup": ("Alpha of the beta distribution by which images are mixed.", 0.0, None),
    "cutmix": ("Alpha of the same for rectangles of images.", 0.0, 1.0),
}

# Steps of an epoch; where there are fewer, the recipe's batches are made smaller.
_STEPS_AT_LEAST = 4
# BN needs company.
_SMALLEST_BATCH = 2


def define(values: flags.FlagValues) -> None:
    """Add the flags to a command's."""
    group: dict[str, Any] = {"flag_values": values, "module_name": GROUP}
    flags.DEFINE_enum(
        "recipe", None, list(RECIPES), "By default digits for the digits, else plateau.", **group
    )
    for name, text in _INTEGERS.items():
        flags.DEFINE_integer(name, None, text, lower_bound=1, **group)
    for name, (text, lowest, highest) in _NUMBERS.items():
        flags.DEFINE_float(name, None, text, lower_bound=lowest, upper_bound=highest, **group)
    flags.DEFINE_enum(
        "schedule",
        None,
        list(SCHEDULES),
        "Of the learning rate: divided by 10 when the validation error stays, or at --drops, or a cosine.",
        **group,
    )
    flags.DEFINE_list(
        "drops",
        None,
        "Steps for --schedule=drops, as 32000,48000; without any the rate stays.",
        **group,
    )
    flags.DEFINE_enum(
        "decay", None, list(DECAYS), "Which weights decay; kernels: not BN and biases.", **group
    )
    flags.DEFINE_boolean("zero_gamma", None, "Start each residual block as its shortcut.", **group)


def recipe(values: flags.FlagValues, source: Source) -> tuple[str, Recipe]:
    """Name of the recipe that the flags choose for these images, and the recipe as they change it.

    Raises:
        UserError: a value is of no use.
    """
    name = values.recipe or default_recipe(source)
    chosen: dict[str, Any] = {
        flag: values[flag].value
        for flag in (*_INTEGERS, *_NUMBERS, "schedule", "decay", "zero_gamma")
        if values[flag].value is not None
    }
    for flag, value in chosen.items():
        if isinstance(value, float) and not math.isfinite(value):
            raise UserError(f"--{flag}={value} must be a finite number.")
    if chosen.get("learning_rate", 1) <= 0:
        raise UserError(f"--learning_rate={chosen['learning_rate']:g} must be greater than 0.")
    if values.drops is not None:
        if not all(drop.isdecimal() for drop in values.drops):
            raise UserError(f"--drops={','.join(values.drops)} must be numbers of steps, as 32000,48000.")
        chosen["drops"] = tuple(map(int, values.drops))
        chosen.setdefault("schedule", "drops")
    made = RECIPES[name]
    schedule = chosen.get("schedule", made.schedule)
    if schedule != "drops":
        chosen.setdefault("drops", ())
    if values.patience is not None and schedule != "plateau":
        raise UserError(f"--patience={values.patience} is for --schedule=plateau, and this is {schedule}.")
    if "epochs" in chosen and "iterations" not in chosen:
        chosen["iterations"] = 0
    elif "iterations" in chosen and "epochs" not in chosen:
        chosen["epochs"] = 0
    mixing = {
        field.name: chosen.pop(field.name) for field in dataclasses.fields(Mixing) if field.name in chosen
    }
    try:
        made = dataclasses.replace(made, **chosen, mixing=dataclasses.replace(made.mixing, **mixing))
    except ValueError as error:
        # The message begins with the field's name, which is the flag's.
        raise UserError(f"--{error}") from error
    if "batch_size" not in chosen:
        made = _for_few_images(made, source, "learning_rate" in chosen)
    if made.batch_size > source.train.size:
        raise UserError(
            f"--batch_size={made.batch_size} is more than the {source.train.size} training images of "
            f"{source.name}; give at most as many."
        )
    return name, made


def _for_few_images(made: Recipe, source: Source, keep_rate: bool) -> Recipe:
    """Smaller batches where an epoch would be a handful of steps, and a lower learning rate with them.

    In proportion (Goyal et al. 2017, section 2.1).
    """
    most = max(source.train.size / _STEPS_AT_LEAST, _SMALLEST_BATCH)
    if made.batch_size <= most:
        return made
    size = 2 ** math.floor(math.log2(most))
    rate = made.learning_rate if keep_rate else made.learning_rate * size / made.batch_size
    print(
        f"{source.name} has {source.train.size} training images: batches of {size} take the place of "
        f"{made.batch_size}, and a learning rate of {rate:g} that of {made.learning_rate:g}."
    )
    return dataclasses.replace(made, batch_size=size, learning_rate=rate)
