"""Finds a dataset by what the user calls it; TensorFlow is imported for TFDS's alone."""

import pathlib
from collections.abc import Mapping

from keras_resnet.data import digits
from keras_resnet.data.arrays import split_of_arrays
from keras_resnet.data.folder import folder_source
from keras_resnet.data.source import Source, Split
from keras_resnet.data.tfds import tfds_source
from keras_resnet.errors import UserError


def find(
    name: str,
    data_dir: str | None = None,
    *,
    download: bool = False,
    train_split: str | None = None,
    validation_split: str | None = None,
    validation_fraction: float = 0.1,
    trains: bool = False,
) -> Source:
    """The dataset of this name: `digits`, a folder of pictures, or any image classification dataset of TFDS.

    Args:
        data_dir, download, train_split, validation_split: of TFDS's datasets.
        validation_fraction: share of the images held out where the dataset itself holds out none.
        trains: whether the images to train on must be others than those to test on.

    Raises:
        UserError: there is no such dataset, it is not one of images with one label each, or it is trained on
            images that are tested on.
    """
    of_tfds = {
        "data_dir": data_dir,
        "download": download or None,
        "train_split": train_split,
        "validation_split": validation_split,
    }
    if name not in ("", "digits") and pathlib.Path(name).is_dir():
        _refuse(name, of_tfds)
        return folder_source(name, validation_fraction)
    if name.startswith((".", "/", "~")):
        raise UserError(f"--dataset={name}: there is no such folder; give one of pictures.")
    if name == "digits":
        _refuse(name, of_tfds)
        return _digits()
    return tfds_source(
        name,
        data_dir=data_dir,
        download=download,
        train_split=train_split,
        validation_split=validation_split,
        validation_fraction=validation_fraction,
        trains=trains,
    )


def _refuse(name: str, of_tfds: Mapping[str, object]) -> None:
    for flag, value in of_tfds.items():
        if value is not None:
            raise UserError(f"--{flag}={value} is for datasets of TFDS; leave it out for --dataset={name}.")


def _digits() -> Source:
    def split(name: str) -> Split:
        size = digits.SPLIT_SIZES[name]
        return Split(
            name,
            size,
            lambda key, start=0, step=1: split_of_arrays(name, *digits.load(name)).read(key, start, step),
            lambda index: f"image {index} of digits' {name}",
        )

    return Source(
        name="digits",
        class_names=digits.CLASS_NAMES,
        image_shape=digits.IMAGE_SHAPE,
        train=split("train"),
        test=split("test"),
        mirrored=False,
    )
