"""Datasets of tensorflow-datasets: found, prepared, and read in an order that a key decides."""

import bisect
import functools
import itertools
import pathlib
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import absl.logging

from keras_resnet.data.order import ordered
from keras_resnet.data.source import Source, Split
from keras_resnet.errors import UserError

if TYPE_CHECKING:
    import tensorflow as tf

# A mirrored character is another character, or none; and all shoes of Fashion-MNIST point to the left.
_NOT_MIRRORED = {
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
# Grey and colours: as what the decoder of files gives them.
_CHANNELS = (1, 3)
# Files read at a time, and images in a row from each: TFDS's own numbers.
_FILES_AT_A_TIME, _IMAGES_IN_A_ROW = 16, 16
# Encoded images held for shuffling. Their files come in another order each epoch, too.
_SHUFFLED_BYTES, _SHUFFLED_IMAGES = 2**27, 16_384


def tfds_source(
    name: str,
    *,
    data_dir: str | None,
    download: bool,
    train_split: str | None,
    validation_split: str | None,
    validation_fraction: float,
    trains: bool,
) -> Source:
    """The dataset of this name, with version and configuration where they are given.

    Args:
        data_dir: where TFDS keeps its datasets; by default its own place.
        download: whether a dataset that is not prepared is downloaded and prepared.
        train_split, validation_split: in TFDS's words, as `train[:80%]`; by default `train`, and `validation`
            or `test`.
        validation_fraction: share of the end of `train` that is held out where there is neither.
        trains: whether the images to train on must be others than those to test on.

    Raises:
        UserError: there is no such dataset or split, it is not one of images with one label each, it is not
            prepared, or it is trained on images that are tested on.
    """
    import tensorflow_datasets as tfds

    # What it warns of, as a folder without a dataset in it, is said below in a sentence.
    absl.logging.set_verbosity(absl.logging.ERROR)
    try:
        builder = tfds.builder(name, data_dir=data_dir, try_gcs=False)
    except tfds.core.DatasetNotFoundError as error:
        hint = re.search(r"Did you mean: \S+ -> (\S+)", str(error))
        meant = f"; did you mean {hint[1]}?" if hint else "."
        raise UserError(
            f"--dataset={name} is neither 'digits' nor a folder nor a dataset of tensorflow-datasets{meant}"
        ) from error
    except AssertionError as error:  # a version or configuration that the dataset does not have
        raise UserError(f"--dataset={name} is not to be had: {_last_line(error)}.") from error
    except ValueError as error:
        raise UserError(
            f"--dataset={name} is neither 'digits' nor a folder nor a name as tensorflow-datasets has them: "
            "cifar10, imagenet2012:5.*.*, imagenet_resized/32x32."
        ) from error
    features = builder.info.features
    if not _is_classification(features):
        raise UserError(
            f"--dataset={name} is not an image classification dataset: it needs the features 'image', of "
            f"uint8, and 'label', and has {', '.join(map(repr, features))}."
        )
    channels = features["image"].shape[-1]
    if channels not in _CHANNELS:
        raise UserError(
            f"--dataset={name} has images of {channels} channels; nets are trained on those of 1 or 3."
        )
    if not builder.is_prepared():
        _prepare(builder, name, download)
    splits = builder.info.splits
    if train_split is None and "train" not in splits:
        raise UserError(
            f"--dataset={name} has no split 'train' but {', '.join(splits)}; name one with --train_split."
        )
    if train_split is None and validation_split is None and not {"validation", "test"} & set(splits):
        percent = min(99, max(1, round(100 * validation_fraction)))
        train_split, validation_split = f"train[:-{percent}%]", f"train[-{percent}%:]"
    # Where there are both, the test labels are often kept back (ImageNet's are).
    fallback = next((split for split in ("validation", "test") if split in splits), None)
    validation_split = validation_split or fallback
    if validation_split is None:
        raise UserError(
            f"--dataset={name} has no split to validate on but {', '.join(splits)}; name one, or a part of "
            "it, with --validation_split."
        )
    train_split = train_split or "train"
    train = _split(builder, train_split, "--train_split", name)
    test = _split(builder, validation_split, "--validation_split", name)
    if trains and (shared := _shared(builder, train_split, validation_split)):
        raise UserError(
            f"--train_split={train_split} and --validation_split={validation_split} of {name} share "
            f"{shared:,} images, and what is trained on tests nothing; give "
            f"{_others(builder, train_split, validation_split)}."
        )
    return Source(
        name=name,
        class_names=tuple(features["label"].names),
        image_shape=tuple(features["image"].shape),
        train=train,
        test=test,
        mirrored=builder.name not in _NOT_MIRRORED,
    )


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
    """Download and prepare a dataset, or say how that is done."""
    import tensorflow_datasets as tfds

    root = pathlib.Path(builder.data_path).parents[builder.info.full_name.count("/")]
    by_hand = ""
    if builder.MANUAL_DOWNLOAD_INSTRUCTIONS:
        instructions = " ".join(builder.MANUAL_DOWNLOAD_INSTRUCTIONS.split()).rstrip(".")
        by_hand = f" It needs files got by hand, in {root / 'downloads' / 'manual'}: {instructions}."
    if not download:
        urls = builder.url_infos or {}
        size = sum(info.size or 0 for info in urls.values())
        megabytes = f" ({size / 1e6:,.0f} MB to download)" if size else ""
        elsewhere = (
            "" if by_hand else "; or prepare it on another machine and give its folder with --data_dir"
        )
        raise UserError(
            f"--dataset={name} is not prepared in {builder.data_path}, where TFDS looked; to "
            f"prepare it{megabytes}, add --download, or run `tfds build {name} --data_dir={root}`{elsewhere}."
            f"{by_hand}"
        )
    print(f"Preparing {name} in {builder.data_path}.", flush=True)
    try:
        builder.download_and_prepare(download_config=tfds.download.DownloadConfig(try_download_gcs=False))
    except Exception as error:
        # TFDS raises whatever its downloaders, its checks and the dataset's own code raise.
        raise UserError(
            f"--dataset={name} could not be prepared in {builder.data_path} ({_last_line(error)}); "
            f"prepare it where there is a network, and give its folder with --data_dir.{by_hand}"
        ) from error


def _split(builder: Any, name: str, flag: str, dataset: str) -> Split:
    import tensorflow_datasets as tfds

    splits = builder.info.splits
    try:
        info = splits[name]
        instructions = info.file_instructions
    except (KeyError, ValueError, AssertionError) as error:
        raise UserError(
            f"{flag}={name}: {dataset} has no such split; it has {', '.join(splits)}, and parts of them, as "
            "train[:80%]."
        ) from error
    if not info.num_examples:
        raise UserError(f"{flag}={name} of {dataset} holds no images; it has {', '.join(splits)}.")
    if builder.info.file_format is not tfds.core.FileFormat.TFRECORD:
        raise UserError(
            f"--dataset={dataset} is stored as {builder.info.file_format.value}; prepare it as tfrecord, "
            f"with `tfds build {dataset} --file_format=tfrecord`."
        )
    takes = [part.take for part in instructions]
    starts = list(itertools.accumulate(takes, initial=0))[:-1]
    whole = (
        sum(splits[split].num_bytes for split in splits),
        sum(splits[split].num_examples for split in splits),
    )
    bytes_an_image = max(1, whole[0] // max(1, whole[1]))
    held = min(_SHUFFLED_IMAGES, max(256, _SHUFFLED_BYTES // bytes_an_image), info.num_examples)

    def read(key: "tf.Tensor | None", start: "tf.Tensor | int" = 0, step: int = 1) -> "tf.data.Dataset":
        import tensorflow as tf

        records = _records(instructions, starts, held, key).skip(start)
        if step > 1:
            records = records.shard(step, 0)
        # Only then, for a record that cannot be parsed would not be counted.
        return records.map(functools.partial(_parse, builder.info.features), tf.data.AUTOTUNE)

    def describe(index: int) -> str:
        part = bisect.bisect_right(starts, index) - 1
        place = instructions[part].skip + index - starts[part]
        return f"image {place} of {pathlib.Path(instructions[part].filename)}"

    return Split(name, info.num_examples, read, describe)


def _shared(builder: Any, train: str, test: str) -> int:
    """How many images are in both splits."""
    splits = builder.info.splits
    pairs = itertools.product(splits[train].file_instructions, splits[test].file_instructions)
    return sum(
        max(0, min(one.skip + one.take, other.skip + other.take) - max(one.skip, other.skip))
        for one, other in pairs
        if one.filename == other.filename
    )


def _others(builder: Any, train: str, test: str) -> str:
    """What to train on beside the images to test on, as flags."""
    part = re.fullmatch(r"(\w+)\[([^:\]]*):([^:\]]*)\]", test)
    if part:
        name, start, end = part.groups()
        rest = "+".join([f"{name}[:{start}]"] * bool(start) + [f"{name}[{end}:]"] * bool(end))
        if rest and re.match(rf"{name}\b", train) and not _shared(builder, rest, test):
            return f"--train_split={rest}"
    return "parts that share none, as --train_split=train[:90%] --validation_split=train[90%:]"


def _records(
    instructions: Sequence[Any], starts: Sequence[int], held: int, key: "tf.Tensor | None"
) -> "tf.data.Dataset":
    """The records of the files, numbered: the files in the key's order, and shuffled within a buffer."""
    import tensorflow as tf

    filenames = tf.constant([str(part.filename) for part in instructions])
    skips = tf.constant([part.skip for part in instructions], tf.int64)
    takes = tf.constant([part.take for part in instructions], tf.int64)
    firsts = tf.constant(starts, tf.int64)

    def records(part):
        file = tf.data.TFRecordDataset(filenames[part], buffer_size=2**20)
        return file.skip(skips[part]).take(takes[part]).enumerate(firsts[part])

    examples = tf.data.Dataset.from_tensor_slices(ordered(len(instructions), key)).interleave(
        records,
        cycle_length=min(_FILES_AT_A_TIME, len(instructions)),
        block_length=_IMAGES_IN_A_ROW,
        num_parallel_calls=tf.data.AUTOTUNE,
        deterministic=True,
    )
    if key is not None:
        seed = tf.cast(key[0], tf.int64) * 2**31 + tf.cast(key[1], tf.int64)
        examples = examples.shuffle(held, seed=seed, reshuffle_each_iteration=False)
    return examples


def _parse(features: Any, index: "tf.Tensor", record: "tf.Tensor") -> "tuple[tf.Tensor, ...]":
    import tensorflow_datasets as tfds

    example = features.deserialize_example(record, decoders={"image": tfds.decode.SkipDecoding()})
    return index, example["image"], example["label"]


def _last_line(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1].rstrip(".") if lines else type(error).__name__
