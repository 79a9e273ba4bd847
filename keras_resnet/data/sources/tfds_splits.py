"""The splits of a prepared TFDS dataset: which is for what, what they share, and how they are read."""

import bisect
import functools
import itertools
import logging
import pathlib
import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from keras_resnet.data.dataset import Split, shuffled_indices
from keras_resnet.data.sources.split_names import SPLIT_NAMES, split_role
from keras_resnet.errors import UserError

if TYPE_CHECKING:
    import tensorflow as tf

_LOG = logging.getLogger(__name__)

# Files read at the same time, and consecutive images from each: TFDS's own numbers.
_CYCLE_LENGTH, _BLOCK_LENGTH = 16, 16
# Size of the buffer in which encoded images are shuffled; the order of their files is shuffled as well.
_BUFFER_BYTES, _BUFFER_IMAGES = 2**27, 16_384


class Catalog:
    """The splits of a prepared TFDS dataset.

    Args:
        builder: the TFDS builder of the dataset.
        dataset: name of the dataset, for messages.
    """

    def __init__(self, builder: Any, dataset: str):
        self._builder, self._dataset = builder, dataset
        self._splits = builder.info.splits
        self._names = ", ".join(self._splits)

    def choose(
        self, train: str | None, validation: str | None, test: str | None, validation_fraction: float
    ) -> dict[str, str | None]:
        """Returns `train_split`, `validation_split` and `test_split`, where they are given or by default.

        "validation", by any of its names, validates where there is one, else "test", else the end of "train",
        which is held out then. "test" is for the reported figure where it is labeled, neither trains nor
        validates.

        Raises:
            UserError: a split does not exist, is empty or unlabeled, or none is left to validate.
        """
        for parameter, name in (
            ("train_split", train),
            ("validation_split", validation),
            ("test_split", test),
        ):
            if name is not None:
                self._info(name, parameter)
                if parameter != "train_split" and self._is_unlabeled(name):
                    raise UserError(
                        f"the labels of this split of {self._dataset} are withheld; it has {self._names}.",
                        parameter=parameter,
                        value=name,
                    )
        if train is None and "train" not in self._splits:
            raise UserError(
                f"has no split 'train' but {self._names}; name one with train_split.",
                parameter="dataset",
                value=self._dataset,
            )
        if validation is None:
            usual = (name for role in ("validation", "test") for name in self._named(role))
            validation = next((name for name in usual if self._is_free(name, test)), None)
        if validation is None and train is not None:
            raise UserError(
                f"has no split left to validate on but {self._names}; name one, or a part of one, with "
                "validation_split.",
                parameter="dataset",
                value=self._dataset,
            )
        if validation is None:
            percent = min(99, max(1, round(100 * validation_fraction)))
            train, validation = f"train[:-{percent}%]", f"train[-{percent}%:]"
        train = train or "train"
        if test is None:
            test = next(
                (name for name in self._named("test") if self._is_free(name, train, validation)), None
            )
        return {"train_split": train, "validation_split": validation, "test_split": test}

    def split(self, name: str, parameter: str) -> Split:
        """Describes a split, in TFDS's notation.

        Raises:
            UserError: there is no such split, it is empty or stored in a format that is not read.
        """
        import tensorflow_datasets as tfds

        info, splits = self._info(name, parameter), self._splits
        if self._builder.info.file_format is not tfds.core.FileFormat.TFRECORD:
            raise UserError(
                f"is stored as {self._builder.info.file_format.value}; prepare it as tfrecord, with `tfds "
                f"build {self._dataset} --file_format=tfrecord`.",
                parameter="dataset",
                value=self._dataset,
            )
        instructions = info.file_instructions
        starts = list(itertools.accumulate((part.take for part in instructions), initial=0))[:-1]
        total_bytes = sum(splits[split].num_bytes for split in splits)
        total_images = sum(splits[split].num_examples for split in splits)
        bytes_per_image = max(1, total_bytes // max(1, total_images))
        buffer_size = min(_BUFFER_IMAGES, max(256, _BUFFER_BYTES // bytes_per_image), info.num_examples)

        def read(key: "tf.Tensor | None", start: "tf.Tensor | int" = 0, step: int = 1) -> "tf.data.Dataset":
            import tensorflow as tf

            records = _records(instructions, starts, buffer_size, key).skip(start)
            if step > 1:
                records = records.shard(step, 0)
            # Parsed last: a record that cannot be parsed would not be counted.
            return records.map(functools.partial(_parse, self._builder.info.features), tf.data.AUTOTUNE)

        def describe(index: int) -> str:
            part = bisect.bisect_right(starts, index) - 1
            number = instructions[part].skip + index - starts[part]
            return f"image {number} of {pathlib.Path(instructions[part].filename)}"

        return Split(name, info.num_examples, read, describe)

    def check_disjoint(self, names: Mapping[str, str | None]) -> None:
        """Refuses splits, by their parameters, of which two share images.

        Raises:
            UserError: with a choice that would work.
        """
        chosen = [(parameter, name) for parameter, name in names.items() if name is not None]
        for (parameter, name), (other_parameter, other) in itertools.combinations(chosen, 2):
            shared = self._shared(name, other)
            if shared:
                raise UserError(
                    f"shares {shared:,} images of {self._dataset} with {other_parameter}={other}, and what "
                    "trains or chooses a model cannot test it; use "
                    f"{self._suggestion(parameter, other_parameter, names)}.",
                    parameter=parameter,
                    value=name,
                )

    def _named(self, role: str) -> list[str]:
        """Returns the splits that have one of a role's names, the most usual name first."""
        names = [name for name in self._splits if split_role(name) == role]
        return sorted(names, key=lambda name: SPLIT_NAMES[role].index(name.casefold()))

    def _info(self, name: str, parameter: str) -> Any:
        try:
            info = self._splits[name]
            info.file_instructions  # noqa: B018  # parsed here
        except (KeyError, ValueError, AssertionError) as error:
            raise UserError(
                f"{self._dataset} has no such split; it has {self._names}, and parts of them, as "
                "train[:80%].",
                parameter=parameter,
                value=name,
            ) from error
        if not info.num_examples:
            raise UserError(
                f"this split of {self._dataset} holds no images; it has {self._names}.",
                parameter=parameter,
                value=name,
            )
        return info

    def _is_free(self, name: str, *others: str | None) -> bool:
        """Whether a split exists, is labeled and shares no image with others."""
        if name not in self._splits or not self._splits[name].num_examples:
            return False
        if any(self._shared(name, other) for other in others if other is not None):
            return False
        if self._is_unlabeled(name):
            _LOG.info("The labels of the split %s of %s are withheld: it is not used.", name, self._dataset)
            return False
        return True

    def _is_unlabeled(self, name: str) -> bool:
        """Whether the first image has a negative label, as where the labels of a competition are withheld."""
        import tensorflow as tf

        part = self._splits[name].file_instructions[0]
        records = tf.data.TFRecordDataset(str(part.filename)).skip(part.skip).take(1)
        try:
            return any(
                int(_parse(self._builder.info.features, index, record)[2]) < 0
                for index, record in enumerate(records)
            )
        except tf.errors.OpError:
            return False  # a damaged file is reported when it is read

    def _shared(self, one: str, other: str) -> int:
        """Returns the number of images that are in both splits."""
        pairs = itertools.product(self._splits[one].file_instructions, self._splits[other].file_instructions)
        return sum(
            max(0, min(a.skip + a.take, b.skip + b.take) - max(a.skip, b.skip))
            for a, b in pairs
            if a.filename == b.filename
        )

    def _suggestion(self, parameter: str, other_parameter: str, names: Mapping[str, str | None]) -> str:
        """Returns the parameters of splits that share nothing: what another part leaves, if possible."""
        part = re.fullmatch(r"(\w+)\[([^:\]]*):([^:\]]*)\]", names[other_parameter] or "")
        if part:
            name, start, end = part.groups()
            rest = "+".join([f"{name}[:{start}]"] * bool(start) + [f"{name}[{end}:]"] * bool(end))
            others = [split for key, split in names.items() if key != parameter and split is not None]
            same = re.match(rf"{name}\b", names[parameter] or "")
            if rest and same and not any(self._shared(rest, other) for other in others):
                return f"{parameter}={rest}"
        test = names["test_split"]
        if test is None or "train" not in self._splits or not self._shared("train", test):
            return "parts that share none, as train_split=train[:90%] validation_split=train[90%:]"
        return (
            "parts that share none, as train_split=train[:80%] validation_split=train[80%:90%] "
            "test_split=train[90%:]"
        )


def _records(
    instructions: Sequence[Any], starts: Sequence[int], buffer_size: int, key: "tf.Tensor | None"
) -> "tf.data.Dataset":
    """Returns the records of the files, numbered: files in the key's order, shuffled within a buffer."""
    import tensorflow as tf

    filenames = tf.constant([str(part.filename) for part in instructions])
    skips = tf.constant([part.skip for part in instructions], tf.int64)
    takes = tf.constant([part.take for part in instructions], tf.int64)
    firsts = tf.constant(starts, tf.int64)

    def records(part):
        file = tf.data.TFRecordDataset(filenames[part], buffer_size=2**20)
        return file.skip(skips[part]).take(takes[part]).enumerate(firsts[part])

    examples = tf.data.Dataset.from_tensor_slices(shuffled_indices(len(instructions), key)).interleave(
        records,
        cycle_length=min(_CYCLE_LENGTH, len(instructions)),
        block_length=_BLOCK_LENGTH,
        num_parallel_calls=tf.data.AUTOTUNE,
        deterministic=True,
    )
    if key is not None:
        seed = tf.cast(key[0], tf.int64) * 2**31 + tf.cast(key[1], tf.int64)
        examples = examples.shuffle(buffer_size, seed=seed, reshuffle_each_iteration=False)
    return examples


def _parse(features: Any, index: "tf.Tensor", record: "tf.Tensor") -> "tuple[tf.Tensor, ...]":
    import tensorflow_datasets as tfds

    example = features.deserialize_example(record, decoders={"image": tfds.decode.SkipDecoding()})
    return index, example["image"], example["label"]
