"""What happens to images that cannot be decoded: told by name, and refused or left out."""

import contextlib
import math
import re
from collections.abc import Callable, Iterator
from typing import Any

import tensorflow as tf

from keras_resnet.data.decode import decode
from keras_resnet.data.source import Split
from keras_resnet.errors import UserError


class BadImages:
    """Finds the images a stream lacks, because they could not be read or decoded, and says which.

    A stream of images goes through `tf.data`'s `ignore_errors`, each image with its position; a gap in the
    positions is an image lost. So a good image costs nothing.

    Args:
        policy: "raise" ends at the first bad image, "skip" warns of each and goes on.
        most: share of a split that may be skipped, 0..1; one image may be in any case.
    """

    def __init__(self, policy: str = "raise", most: float = 0.01):
        self._policy = policy
        self._most = most
        self._skipped: dict[str, set[str]] = {}
        self._splits: dict[str, Split] = {}
        self._failure: UserError | None = None

    @property
    def skipped(self) -> int:
        """Number of images left out so far."""
        return sum(map(len, self._skipped.values()))

    def room(self, split: Split) -> int:
        """How many images of a split may be left out: never all."""
        if self._policy != "skip":
            return 0
        return min(split.size - 1, max(1, math.floor(self._most * split.size)))

    @contextlib.contextmanager
    def told(self) -> Iterator[None]:
        """Turn the error that TensorFlow makes of a bad image into ours.

        Raises:
            UserError: an image is bad and the policy is "raise", or too many are.
        """
        try:
            yield
        except tf.errors.OpError as error:
            if self._failure is not None:
                raise self._failure from error
            if "was expected to contain" in error.message:
                if self.skipped:
                    of = " and ".join(self._skipped)
                    raise UserError(
                        f"{self.skipped} images of {of} cannot be decoded, and too few others are left to "
                        "take their places; mend or remove them."
                    ) from error
                places = " or ".join(
                    f"{name}, of {split.size:,} images from {split.describe(0)} on,"
                    for name, split in self._splits.items()
                )
                raise UserError(
                    f"The split {places} holds fewer images than it says: its files are damaged; prepare the "
                    "dataset anew."
                ) from error
            raise

    def checked(
        self,
        batches: tf.data.Dataset,
        split: Split,
        read: Callable[[tf.Tensor, int], tf.data.Dataset],
        key: tf.Tensor,
        *,
        see: Callable[[tf.Tensor], Any],
        channels: int,
        start: tf.Tensor | int = 0,
        step: int = 1,
    ) -> tf.data.Dataset:
        """The batches, less their positions.

        Args:
            batches: of (positions, *rest), in order.
            split: that they are of.
            read: gives the stream of (index, image, label) of a key from a position on, to explain a gap;
                each gap once for a key.
            key: of this stream.
            see: a view of an image, which says why it cannot be seen where decoding it does not.
            channels: of the images.
            start: the first position.
            step: from one position to the next.
        """

        self._splits[split.name] = split
        explained: dict[tuple[int, ...], set[int]] = {}

        def explain(key, positions):
            order = tuple(key.tolist())
            if order not in explained:
                explained.clear()  # an earlier epoch's, which does not come again
            known = explained.setdefault(order, set())
            for position in positions.tolist():
                if position not in known:
                    self._explain(split, read(key, position), see, channels)
                    known.add(position)
            return positions

        def check(expected, batch):
            positions, *rest = batch
            # What each position should be: what the batch should begin with, and one step after another.
            should = tf.concat([[expected], positions[:-1] + step], axis=0)
            told = tf.cond(
                tf.reduce_all(positions == should),
                lambda: tf.zeros([0], tf.int64),
                lambda: tf.numpy_function(
                    explain, [key, tf.ragged.range(should, positions, step).flat_values], tf.int64
                ),
            )
            with tf.control_dependencies([told]):
                return positions[-1] + step, tf.nest.map_structure(tf.identity, tuple(rest))

        return batches.scan(tf.cast(start, tf.int64), check)

    def _explain(
        self, split: Split, stream: tf.data.Dataset, see: Callable[[tf.Tensor], Any], channels: int
    ) -> None:
        name, reason = f"an image of {split.name}", "a part of it is damaged"
        try:
            for index, image, _ in stream.take(1):
                name = split.describe(int(index))
                if image.dtype == tf.string:
                    decode(image, channels)
                see(image)
        except tf.errors.OpError as error:
            reason = _reason(error)
        except UnicodeDecodeError:
            reason = "it cannot be read"  # TensorFlow's message holds a path that is no UTF-8
        if self._policy == "raise":
            self._fail(
                f"{name} cannot be decoded ({reason}); mend or remove it, let `keras-resnet data validate "
                "FOLDER` find others, or leave such images out with --bad_images=skip."
            )
        skipped = self._skipped.setdefault(split.name, set())
        # With the reason, which holds the path of a file that cannot even be read.
        told = f"{name}, which cannot be decoded ({reason})"
        if told in skipped:
            return
        skipped.add(told)
        print(f"\nWARNING: left out {told}.", flush=True)
        if len(skipped) > self.room(split):
            self._fail(
                f"{len(skipped)} of the {split.size:,} images of {split.name} cannot be decoded, the last of "
                f"them {name}; --bad_images=skip leaves out {self._most:.0%} of them, or one "
                "(--max_bad_images)."
            )

    def _fail(self, message: str) -> None:
        self._failure = UserError(message)
        raise self._failure


def _reason(error: tf.errors.OpError) -> str:
    """The first sentence of TensorFlow's message, without the names of operations."""
    message = re.sub(r"\{\{.*?\}\}", "", error.message)
    message = re.sub(r"^\s*Error in user-defined function passed to .*? with iterator: \S+: ", "", message)
    return re.split(r"\. |\n|\[Op:", message)[0].strip(" .") or type(error).__name__
