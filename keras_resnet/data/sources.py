"""What images: the embedded digits or a TFDS dataset, described before TensorFlow is imported."""

import dataclasses
import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from keras_resnet.data import digits
from keras_resnet.errors import UserError

if TYPE_CHECKING:
    import tensorflow as tf

# A mirrored character is another character, or none.
_CHARACTERS = {
    "binarized_mnist",
    "binary_alpha_digits",
    "cmaterdb",
    "digits",
    "emnist",
    "kmnist",
    "mnist",
    "mnist_corrupted",
    "omniglot",
    "quickdraw_bitmap",
    "svhn_cropped",
}
# Where TFDS has no such split, this part of the training images is held out.
_HELD_OUT = "10%"


@dataclasses.dataclass(frozen=True)
class Source:
    """A dataset of labelled images.

    Args:
        name: as the user gave it.
        class_names: name of each class, in the order of the labels.
        image_shape: (H, W, C), with None for sizes that vary.
        train_size: number of training images.
        test_size: number of test images: those that are never trained on.
        test_split: what the dataset calls them.
        mirrored: whether an image's mirror image is one of the same class.
        read: gives "train" or "test" as tf.data of (image uint8 (H, W, C), label int64).
    """

    name: str
    class_names: tuple[str, ...]
    image_shape: tuple[int | None, int | None, int]
    train_size: int
    test_size: int
    test_split: str
    mirrored: bool
    read: Callable[[str], "tf.data.Dataset"]


def find(name: str, data_dir: str | None = None) -> Source:
    """The dataset of this name: `digits`, or any image classification dataset of TFDS.

    Args:
        data_dir: where TFDS keeps its datasets; by default its own place.

    Raises:
        UserError: there is no such dataset, or it is not one of images with one label each.
    """
    return _digits() if name == "digits" else _tfds(name, data_dir)


def _digits() -> Source:
    def read(split: str) -> "tf.data.Dataset":
        import tensorflow as tf

        return tf.data.Dataset.from_tensor_slices(digits.load(split))

    sizes = digits.SPLIT_SIZES
    return Source(
        name="digits",
        class_names=digits.CLASS_NAMES,
        image_shape=digits.IMAGE_SHAPE,
        train_size=sizes["train"],
        test_size=sizes["test"],
        test_split="test",
        mirrored=False,
        read=read,
    )


def _tfds(name: str, data_dir: str | None) -> Source:
    import tensorflow_datasets as tfds

    try:
        builder = tfds.builder(name, data_dir=data_dir, try_gcs=False)
    except tfds.core.DatasetNotFoundError as error:
        hint = re.search(r"Did you mean: \S+ -> (\S+)", str(error))
        meant = f"; did you mean {hint[1]}?" if hint else "."
        raise UserError(
            f"--dataset={name} is neither 'digits' nor a dataset of tensorflow-datasets{meant}"
        ) from error
    except AssertionError as error:  # a version or configuration that the dataset does not have
        raise UserError(f"--dataset={name} is not to be had: {_last_line(error)}.") from error
    except ValueError as error:
        raise UserError(
            f"--dataset={name} is neither 'digits' nor a name as tensorflow-datasets has them: cifar10, "
            "imagenet2012:5.*.*, imagenet_resized/32x32."
        ) from error
    features = builder.info.features
    if not _is_classification(features):
        raise UserError(
            f"--dataset={name} is not an image classification dataset: it needs the features 'image' and "
            f"'label' and has {', '.join(map(repr, features))}."
        )
    if not builder.is_prepared():
        _prepare(builder, name)
    train, test, test_split = _splits(builder.info.splits, name)

    def read(split: str) -> "tf.data.Dataset":
        dataset = builder.as_dataset(
            split={"train": train, "test": test}[split], read_config=tfds.ReadConfig(try_autocache=False)
        )
        return dataset.map(lambda example: (example["image"], example["label"]))

    return Source(
        name=name,
        class_names=tuple(features["label"].names),
        image_shape=tuple(features["image"].shape),
        train_size=builder.info.splits[train].num_examples,
        test_size=builder.info.splits[test].num_examples,
        test_split=test_split,
        mirrored=builder.name not in _CHARACTERS,
        read=read,
    )


def _is_classification(features: Any) -> bool:
    import tensorflow_datasets as tfds

    try:
        return isinstance(features["image"], tfds.features.Image) and isinstance(
            features["label"], tfds.features.ClassLabel
        )
    except (KeyError, TypeError):
        return False


def _prepare(builder: Any, name: str) -> None:
    import tensorflow_datasets as tfds

    print(f"{name} is not prepared in {builder.data_path}; downloading and preparing it.", flush=True)
    try:
        builder.download_and_prepare(download_config=tfds.download.DownloadConfig(try_download_gcs=False))
    except Exception as error:
        # TFDS raises whatever its downloaders, its checks and the dataset's own code raise.
        raise UserError(
            f"--dataset={name} is not prepared in {builder.data_path} and could not be downloaded: "
            f"{_last_line(error)}; prepare it where there is a network with `tfds build {name}`, and give "
            "its folder with --data_dir."
        ) from error


def _splits(splits: Any, name: str) -> tuple[str, str, str]:
    if "train" not in splits:
        raise UserError(f"--dataset={name} has no split 'train' but {', '.join(splits)}.")
    # Where there are both, the test labels are often kept back (ImageNet's are).
    for split in ("validation", "test"):
        if split in splits:
            return "train", split, split
    held_out = f"train[-{_HELD_OUT}:]"
    return f"train[:-{_HELD_OUT}]", held_out, held_out


def _last_line(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1].rstrip(".") if lines else type(error).__name__
