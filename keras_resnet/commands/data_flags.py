"""The flags that name images, shared by the commands."""

import itertools
import re
from collections.abc import Mapping, Sequence
from typing import Any

from absl import flags

from keras_resnet.data import sources
from keras_resnet.data.source import Source
from keras_resnet.errors import UserError

GROUP = "The data"


def define(values: flags.FlagValues) -> None:
    """Add the flags to a command's."""
    group: dict[str, Any] = {"flag_values": values, "module_name": GROUP}
    flags.DEFINE_string("data_dir", None, "Where TFDS keeps its datasets; by default its own place.", **group)
    flags.DEFINE_boolean("download", False, "Download and prepare a TFDS dataset that is not there.", **group)
    flags.DEFINE_string("train_split", None, "What of a TFDS dataset to train on, as train[:80%].", **group)
    flags.DEFINE_string("validation_split", None, "What of it to test on, as train[80%:].", **group)
    flags.DEFINE_float(
        "validation_fraction", 0.1, "Held out of each class where the data hold out nothing.", **group
    )
    flags.DEFINE_enum(
        "bad_images",
        "raise",
        ["raise", "skip"],
        "What an image that cannot be decoded does: end the run, or be left out with a warning.",
        **group,
    )
    flags.DEFINE_float(
        "max_bad_images",
        0.01,
        "Share of a split that may be left out.",
        lower_bound=0.0,
        upper_bound=1.0,
        **group,
    )


_RECORDED = (
    "data_dir",
    "train_split",
    "validation_split",
    "validation_fraction",
    "bad_images",
    "max_bad_images",
)


def recorded(values: flags.FlagValues) -> dict[str, Any]:
    """The flags' values, for `restore` in another command."""
    return {name: values[name].value for name in _RECORDED}


def restore(values: flags.FlagValues, record: Mapping[str, Any]) -> None:
    """Give the flags that the user did not give the values they were recorded with."""
    for name in _RECORDED:
        if values[name].using_default_value and name in record:
            values[name].value = record[name]


def file_name(dataset: str) -> str:
    """The dataset's name as part of a file's."""
    return re.sub(r"[^\w.-]+", "-", dataset).strip("-.")


def source(values: flags.FlagValues, dataset: str, *, trains: bool = False) -> Source:
    """The dataset of this name, as the flags say.

    Args:
        trains: whether the images to train on must be others than those to test on.

    Raises:
        UserError: there is none.
    """
    fraction = values.validation_fraction
    if not 0 < fraction < 1:
        raise UserError(f"--validation_fraction={fraction:g} must be between 0 and 1, as 0.1.")
    return sources.find(
        dataset,
        values.data_dir,
        download=values.download,
        train_split=values.train_split,
        validation_split=values.validation_split,
        validation_fraction=fraction,
        trains=trains,
    )


def check_classes(dataset: str, source: Source, known: Sequence[str], whose: str) -> None:
    """Refuse a dataset whose classes are not those of a net, in the same order.

    Raises:
        UserError: with the first difference.
    """
    for number, (given, wanted) in enumerate(
        itertools.zip_longest(source.class_names, known, fillvalue="missing")
    ):
        if given != wanted:
            raise UserError(
                f"--dataset={dataset} has other classes than {whose} was trained on: number {number} is "
                f"{given}, and was {wanted}; give images of the same classes."
            )
