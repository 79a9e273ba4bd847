"""The flags of the experiments that train, and what comes of them."""

import math
import pathlib
from collections.abc import Mapping
from typing import Any

from absl import flags

from keras_resnet.commands import data_flags, made_by, precision_flags
from keras_resnet.data.source import Source
from keras_resnet.data.view import choose_view
from keras_resnet.errors import UserError
from keras_resnet.files import check_writable
from keras_resnet.training.recipes import Recipe

_GROUP = "The trainings"


def define(values: flags.FlagValues, name: str, defaults: Mapping[str, object]) -> None:
    """Add the flags to a command's.

    Args:
        name: of the experiment.
        defaults: what the experiment takes where the user gives none, by the flag's name; for its help.
    """
    group: dict[str, Any] = {"flag_values": values, "module_name": _GROUP}
    flags.DEFINE_string(
        "dataset", "fashion_mnist", "The images.", flag_values=values, module_name=data_flags.GROUP
    )
    data_flags.define(values)
    helps = {
        flag: f"{text}; by default {defaults[flag]}."
        for flag, text in (
            ("seeds", "Trainings of each net"),
            ("iterations", "Steps of each training"),
            ("batch_size", "Images of a step"),
            ("learning_rate", "The highest"),
        )
    }
    flags.DEFINE_integer("seeds", None, helps["seeds"], lower_bound=1, **group)
    flags.DEFINE_integer("iterations", None, helps["iterations"], lower_bound=20, **group)
    flags.DEFINE_integer("batch_size", None, helps["batch_size"], lower_bound=1, **group)
    flags.DEFINE_float("learning_rate", None, helps["learning_rate"], **group)
    precision_flags.define(values, _GROUP)
    flags.DEFINE_string(
        "output_dir",
        f"saved_models/experiments/{name}",
        "Folder of the experiment; the same command goes on in it where it stopped.",
        **group,
    )


def recipe(
    values: flags.FlagValues,
    source: Source,
    *,
    points: int,
    iterations: int,
    batch_size: int,
    learning_rate: float = 0.1,
) -> Recipe:
    """How each net is trained: the paper's recipe for CIFAR, shortened.

    Args:
        points: tests of each training.
        iterations, batch_size, learning_rate: where the user gives none.

    Raises:
        UserError: a number is of no use.
    """
    rate = learning_rate if values.learning_rate is None else values.learning_rate
    if not 0 < rate < math.inf:
        raise UserError(f"--learning_rate={rate:g} must be a number greater than 0.")
    iterations, batch_size = values.iterations or iterations, values.batch_size or batch_size
    if iterations % points:
        raise UserError(
            f"--iterations={iterations} must be a multiple of {points}: the nets are tested as often."
        )
    if batch_size > source.train.size:
        raise UserError(
            f"--batch_size={batch_size} is more than the {source.train.size} training images of "
            f"{source.name}; give at most as many."
        )
    check_writable(values.output_dir, f"--output_dir={values.output_dir}")
    return Recipe(
        source="He et al. 2015, section 4.2, shortened; a tenth after 1/2 and 3/4 of the steps",
        iterations=iterations,
        batch_size=batch_size,
        learning_rate=rate,
        schedule="drops",
        drops=(iterations // 2, iterations * 3 // 4),
    )


def setup(
    values: flags.FlagValues, source: Source, chosen: Recipe, points: int, shift: int | None = None
) -> Any:
    """What all trainings have in common.

    Args:
        shift: as of `View`.
    """
    from keras_resnet.data.bad_images import BadImages
    from keras_resnet.experiments.trainings import Setup

    view = choose_view(source, default_size=32, smallest_size=4, shift=shift)
    bad_images = BadImages(values.bad_images, values.max_bad_images)
    return Setup(source, view, chosen, points, bad_images, pathlib.Path(values.output_dir))


def about(values: flags.FlagValues, name: str) -> dict[str, Any]:
    """How the experiment was made."""
    return {
        "command": made_by.command(values, "keras-resnet", "experiment", name),
        "versions": made_by.versions(),
    }
