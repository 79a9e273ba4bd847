"""What can be said about an experiment that trains, and the parts that all of them share."""

import dataclasses
import os
import pathlib
from typing import Any

from keras_resnet._utils.atomic import check_writable
from keras_resnet.data.dataset import Dataset
from keras_resnet.data.input_spec import choose_transform
from keras_resnet.errors import UserError
from keras_resnet.experiments.trainings import Setup
from keras_resnet.runs.data_options import DATA, DataOptions
from keras_resnet.runs.options import check_options, option
from keras_resnet.training.recipes import Recipe

TRAININGS = "Trainings"
MODELS = "Models"


@dataclasses.dataclass(frozen=True)
class ExperimentConfig(DataOptions):
    """The trainings of an experiment.

    Raises:
        UserError: a field does not take its value.
    """

    dataset: str | os.PathLike | Dataset = option(
        "fashion_mnist", "Images to train on.", group=DATA, objects=Dataset
    )
    seeds: int = option(
        2, "Number of trainings of each model, with different seeds.", "int", minimum=1, group=TRAININGS
    )
    iterations: int | None = option(
        None, "Number of steps of each training.", "int", minimum=20, group=TRAININGS
    )
    batch_size: int | None = option(None, "Number of images of a step.", "int", minimum=1, group=TRAININGS)
    learning_rate: float | None = option(None, "Peak learning rate.", "float", above=0, group=TRAININGS)
    mixed_precision: str = option(
        "none",
        "Type of activations and gradients; weights stay float32.",
        choices=("none", "bfloat16", "float16"),
        group=TRAININGS,
    )
    output_dir: str | os.PathLike = option(
        "saved_models/experiments", "Folder of the experiment; the same call resumes in it.", group=TRAININGS
    )

    def __post_init__(self):
        check_options(self)


@dataclasses.dataclass(frozen=True)
class ExperimentResult:
    """What an experiment found.

    Args:
        folder: of its page, figure and numbers.
        table: of the results, as Markdown.
        verdict: what they say, in words.
    """

    folder: pathlib.Path
    table: str
    verdict: str


def load_images(config: ExperimentConfig) -> Dataset:
    """Returns the dataset of an experiment.

    Raises:
        UserError: it cannot be loaded, or its images have several labels.
    """
    dataset = config.load(config.dataset, require_disjoint=True)
    if dataset.multi_label:
        raise UserError(
            "has any number of labels an image, and experiments compare top-1 errors; use a dataset of one "
            "class an image.",
            parameter="dataset",
            value=dataset.name,
        )
    return dataset


def make_setup(
    config: ExperimentConfig,
    dataset: Dataset,
    *,
    num_validations: int,
    iterations: int,
    batch_size: int,
    learning_rate: float,
    crop_padding: int | None = None,
) -> Setup:
    """What all trainings of an experiment have in common: the paper's recipe for CIFAR, shortened.

    Args:
        num_validations: how often each training is validated.
        iterations, batch_size, learning_rate: where the configuration gives none.
        crop_padding: as of `InputTransform`.

    Raises:
        UserError: a number cannot be used, or the folder cannot be written.
    """
    iterations, batch_size = config.iterations or iterations, config.batch_size or batch_size
    if iterations % num_validations:
        raise UserError(
            f"must be a multiple of {num_validations}, the number of validations.",
            parameter="iterations",
            value=iterations,
        )
    if batch_size > dataset.train.size:
        raise UserError(
            f"is more than the {dataset.train.size:,} training images of {dataset.name}; use that number or "
            "less.",
            parameter="batch_size",
            value=batch_size,
        )
    check_writable(config.output_dir, "output_dir")
    recipe = Recipe(
        reference="He et al. 2015, section 4.2, shortened; divided by 10 after 1/2 and 3/4 of the steps",
        iterations=iterations,
        batch_size=batch_size,
        learning_rate=learning_rate if config.learning_rate is None else config.learning_rate,
        schedule="multistep",
        milestones=(iterations // 2, iterations * 3 // 4),
    )
    transform = choose_transform(dataset, default_size=32, smallest_size=4, crop_padding=crop_padding)
    return Setup(
        dataset, transform, recipe, num_validations, config.decode_errors(), pathlib.Path(config.output_dir)
    )


def replaced(config: Any, **fields: Any) -> Any:
    """The configuration with other values in fields that the user left at their defaults."""
    defaults = {field.name: field.default for field in dataclasses.fields(config)}
    changes = {name: value for name, value in fields.items() if getattr(config, name) == defaults[name]}
    return dataclasses.replace(config, **changes)
