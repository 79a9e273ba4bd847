"""Datasets of tensorflow-datasets (TFDS): found, prepared, and read in an order that a key decides."""

import logging
import pathlib
import re
from typing import Any

from keras_resnet.data.dataset import Dataset
from keras_resnet.data.sources.tfds_splits import Catalog
from keras_resnet.errors import UserError

_LOG = logging.getLogger(__name__)

# A flipped character is another character, or none; and all shoes of Fashion-MNIST point to the left.
_NOT_FLIPPED = {
    "binarized_mnist",
    "binary_alpha_digits",
    "cmaterdb",
    "emnist",
    "fashion_mnist",
    "kmnist",
    "mnist",
    "mnist_corrupted",
    "omniglot",
    "quickdraw_bitmap",
    "svhn_cropped",
}
# Gray and RGB, to which files can be decoded.
_CHANNELS = (1, 3)


def tfds_dataset(
    name: str,
    *,
    data_dir: str | None,
    download: bool,
    train_split: str | None,
    validation_split: str | None,
    test_split: str | None,
    validation_fraction: float,
    require_disjoint: bool,
) -> Dataset:
    """Describes a dataset of TFDS, of a given version and configuration where the name holds them.

    Args:
        name: as TFDS has it: "cifar10", "imagenet2012:5.*.*", "imagenet_resized/32x32".
        data_dir: as of `load_dataset`, and so are the other arguments.
        validation_fraction: fraction of the end of "train" that is held out where no split is left to
            validate.

    Raises:
        UserError: there is no such dataset or split, it does not hold images with one label each, it is not
            prepared, or its splits share images and must not.
    """
    builder = _builder(name, data_dir)
    features = builder.info.features
    if not _is_classification(features):
        raise _refusal(
            name,
            "is not an image classification dataset: that has the features 'image', of uint8, and 'label'; "
            f"this has {', '.join(map(repr, features))}.",
        )
    channels = features["image"].shape[-1]
    if channels not in _CHANNELS:
        raise _refusal(name, f"has images of {channels} channels; models are trained on those of 1 or 3.")
    if not builder.is_prepared():
        _prepare(builder, name, download)
    catalog = Catalog(builder, name)
    names = catalog.choose(train_split, validation_split, test_split, validation_fraction)
    splits = {
        parameter: catalog.split(split, parameter) for parameter, split in names.items() if split is not None
    }
    if require_disjoint:
        catalog.check_disjoint(names)
    return Dataset(
        name=name,
        class_names=tuple(features["label"].names),
        image_shape=tuple(features["image"].shape),
        train=splits["train_split"],
        validation=splits["validation_split"],
        hflip=builder.name not in _NOT_FLIPPED,
        test=splits.get("test_split"),
    )


def _refusal(name: str, reason: str) -> UserError:
    return UserError(reason, parameter="dataset", value=name)


def _builder(name: str, data_dir: str | None) -> Any:
    import absl.logging
    import tensorflow_datasets as tfds

    # Its warnings, as of a folder without a dataset, are errors below.
    absl.logging.set_verbosity(absl.logging.ERROR)
    try:
        return tfds.builder(name, data_dir=data_dir, try_gcs=False)
    except tfds.core.DatasetNotFoundError as error:
        hint = re.search(r"Did you mean: \S+ -> (\S+)", str(error))
        suggestion = f"; did you mean {hint[1]}?" if hint else "."
        raise _refusal(
            name, f"is neither 'digits' nor a folder nor a dataset of tensorflow-datasets{suggestion}"
        ) from error
    except AssertionError as error:  # the dataset has no such version or configuration
        raise _refusal(name, f"is not available: {_last_line(error)}.") from error
    except ValueError as error:
        raise _refusal(
            name,
            "is neither 'digits' nor a folder nor a name of tensorflow-datasets, as cifar10, "
            "imagenet2012:5.*.* or imagenet_resized/32x32.",
        ) from error


def _is_classification(features: Any) -> bool:
    import numpy as np
    import tensorflow_datasets as tfds

    try:
        image, label = features["image"], features["label"]
    except (KeyError, TypeError):
        return False
    return (
        isinstance(image, tfds.features.Image)
        and np.dtype(image.np_dtype) == np.uint8
        and isinstance(label, tfds.features.ClassLabel)
    )


def _prepare(builder: Any, name: str, download: bool) -> None:
    """Downloads and prepares a dataset, or explains how to."""
    import tensorflow_datasets as tfds

    root = pathlib.Path(builder.data_path).parents[builder.info.full_name.count("/")]
    manual = ""
    if builder.MANUAL_DOWNLOAD_INSTRUCTIONS:
        instructions = " ".join(builder.MANUAL_DOWNLOAD_INSTRUCTIONS.split()).rstrip(".")
        manual = f" It needs files downloaded by hand, in {root / 'downloads' / 'manual'}: {instructions}."
    if not download:
        urls = builder.url_infos or {}
        size = sum(info.size or 0 for info in urls.values())
        megabytes = f" ({size / 1e6:,.0f} MB to download)" if size else ""
        elsewhere = "" if manual else "; or prepare it on another machine and pass its folder as data_dir"
        raise _refusal(
            name,
            f"is not prepared in {builder.data_path}, where TFDS looked; to prepare it{megabytes}, use "
            f"download=true, or run `tfds build {name} --data_dir={root}`{elsewhere}.{manual}",
        )
    _LOG.info("Preparing %s in %s.", name, builder.data_path)
    try:
        builder.download_and_prepare(download_config=tfds.download.DownloadConfig(try_download_gcs=False))
    except Exception as error:
        # TFDS raises whatever its downloaders, its checks and the dataset's own code raise.
        raise _refusal(
            name,
            f"could not be prepared in {builder.data_path} ({_last_line(error)}); prepare it where there is "
            f"a network, and pass its folder as data_dir.{manual}",
        ) from error


def _last_line(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1].rstrip(".") if lines else type(error).__name__
