"""The flags that name images and say how they are seen, shared by the commands."""

import re
from collections.abc import Mapping
from typing import Any

from absl import flags

from keras_resnet.data import sources
from keras_resnet.data.source import Source
from keras_resnet.data.view import View, choose_view
from keras_resnet.errors import UserError
from keras_resnet.models.architectures import Architecture

GROUP = "The data"


def define(values: flags.FlagValues) -> None:
    """Add the flags to a command's."""
    group = {"flag_values": values, "module_name": GROUP}
    flags.DEFINE_string("data_dir", None, "Where TFDS keeps its datasets; by default its own place.", **group)
    flags.DEFINE_boolean("download", False, "Download and prepare a TFDS dataset that is not there.", **group)
    flags.DEFINE_string("train_split", None, "What of a TFDS dataset to train on, as train[:80%].", **group)
    flags.DEFINE_string("validation_split", None, "What of it to test on, as train[80%:].", **group)
    flags.DEFINE_float(
        "validation_fraction", 0.1, "Held out of each class where the data hold out nothing.", **group
    )
    flags.DEFINE_integer(
        "image_size", None, "Side of the net's input in pixels; by default what suits net and data.", **group
    )
    flags.DEFINE_enum(
        "augmentation",
        "paper",
        ["paper", "inception"],
        "paper: a square at a random scale, in random light, or a small image shifted; inception: a random "
        "rectangle of 8% to 100% of the area.",
        **group,
    )
    flags.DEFINE_integer(
        "shift",
        None,
        "Pixels by which small images are shifted at most; by default an eighth of their side, 4 for 32.",
        lower_bound=0,
        **group,
    )
    flags.DEFINE_boolean(
        "mirror", None, "Mirror half of the images; by default not characters and Fashion-MNIST.", **group
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
    "image_size",
    "augmentation",
    "shift",
    "mirror",
    "bad_images",
    "max_bad_images",
)


def recorded(values: flags.FlagValues) -> dict[str, Any]:
    """The flags' values, for `restore` in another command."""
    return {name: values[name].value for name in _RECORDED}


def restore(values: flags.FlagValues, record: Mapping[str, Any]) -> None:
    """Give the flags that the user did not give the values they were recorded with."""
    for name in _RECORDED:
        if values[name].using_default_value:
            values[name].value = record[name]


def file_name(dataset: str) -> str:
    """The dataset's name as part of a file's."""
    return re.sub(r"[^\w.-]+", "-", dataset).strip("-.")


def source(values: flags.FlagValues, dataset: str) -> Source:
    """The dataset of this name, as the flags say.

    Raises:
        UserError: there is none.
    """
    fraction = values.validation_fraction
    if not 0 < fraction < 1:
        raise UserError(f"--validation_fraction={fraction:g} must be between 0 and 1.")
    return sources.find(
        dataset,
        values.data_dir,
        download=values.download,
        train_split=values.train_split,
        validation_split=values.validation_split,
        validation_fraction=fraction,
    )


def view(values: flags.FlagValues, source: Source, net: Architecture) -> View:
    """How the net sees the images.

    Raises:
        UserError: it cannot see them so.
    """
    return choose_view(
        source,
        default_size=net.default_size,
        smallest_size=net.total_stride,
        image_size=values.image_size,
        mirrored=values.mirror,
        augmentation=values.augmentation,
        shift=values.shift,
    )
