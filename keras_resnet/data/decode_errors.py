"""What happens to images that cannot be decoded: an error that names the file, or a warning."""

import contextlib
import logging
import re
from collections.abc import Callable, Iterator
from typing import Any

import tensorflow as tf

from keras_resnet.data.dataset import Split, max_left_out
from keras_resnet.data.images.decode import decode
from keras_resnet.errors import UserError

_LOG = logging.getLogger(__name__)


class DecodeErrors:
    """Detects images that a stream lacks because they could not be read or decoded, and names them.

    Streams of images pass through tf.data's `ignore_errors`, each image with its position; a gap between the
    positions is an image lost. So images that can be decoded cost nothing.

    Args:
        policy: "raise" stops at the first such image; "skip" leaves it out with a warning.
        max_fraction: largest fraction of a split, 0..1, that may be skipped; one image may be in any case.
    """

    def __init__(self, policy: str = "raise", max_fraction: float = 0.01):
        self._policy = policy
        self._max_fraction = max_fraction
        self._skipped: dict[str, set[str]] = {}
        self._splits: dict[str, Split] = {}
        self._failure: UserError | None = None

    @property
    def skipped(self) -> int:
        """Number of images left out so far."""
        return sum(map(len, self._skipped.values()))

    def max_skipped(self, split: Split) -> int:
        """Returns how many images of a split may be skipped; never all of them."""
        if self._policy != "skip":
            return 0
        return max_left_out(split.size, self._max_fraction)

    @contextlib.contextmanager
    def translate(self) -> Iterator[None]:
        """Replaces the TensorFlow error that an undecodable image causes by one that names the image.

        Raises:
            UserError: an image cannot be decoded and the policy is "raise", or too many cannot be.
        """
        try:
            yield
        except tf.errors.OpError as error:
            if self._failure is not None:
                raise self._failure from error
            if "was expected to contain" in error.message:
                raise self._too_few_images() from error
            raise

    def detect_gaps(
        self,
        batches: tf.data.Dataset,
        split: Split,
        read: Callable[[tf.Tensor, int], tf.data.Dataset],
        key: tf.Tensor,
        *,
        transform: Callable[[tf.Tensor], Any],
        channels: int,
        start: tf.Tensor | int = 0,
        step: int = 1,
    ) -> tf.data.Dataset:
        """Returns the batches without their positions, after checking these for gaps.

        Args:
            batches: batches of (positions, *rest), in order.
            split: the split they belong to.
            read: takes a key and a position and returns the stream of (index, image, label) from there on;
                called once for each gap and key.
            key: key of this stream.
            transform: prepares an image; reveals why it fails where decoding alone does not.
            channels: channels to which images are decoded.
            start: first position.
            step: difference of neighboring positions.
        """
        self._splits[split.name] = split
        explained: dict[tuple[int, ...], set[int]] = {}

        def explain(key, positions):
            order = tuple(key.tolist())
            if order not in explained:
                explained.clear()  # the keys of earlier epochs do not come back
            known = explained.setdefault(order, set())
            for position in positions.tolist():
                if position not in known:
                    self._explain(split, read(key, position), transform, channels)
                    known.add(position)
            return positions

        def check(expected, batch):
            positions, *rest = batch
            # Without a gap, the batch starts where the one before ended and continues in equal steps.
            wanted = tf.concat([[expected], positions[:-1] + step], axis=0)
            explanation = tf.cond(
                tf.reduce_all(positions == wanted),
                lambda: tf.zeros([0], tf.int64),
                lambda: tf.numpy_function(
                    explain, [key, tf.ragged.range(wanted, positions, step).flat_values], tf.int64
                ),
            )
            with tf.control_dependencies([explanation]):
                return positions[-1] + step, tf.nest.map_structure(tf.identity, tuple(rest))

        return batches.scan(tf.cast(start, tf.int64), check)

    def _explain(
        self,
        split: Split,
        stream: tf.data.Dataset,
        transform: Callable[[tf.Tensor], Any],
        channels: int,
    ) -> None:
        name, reason = f"an image of {split.name}", "a part of it is damaged"
        try:
            for index, image, _ in stream.take(1):
                name = split.describe(int(index))
                if image.dtype == tf.string:
                    decode(image, channels)
                transform(image)
        except tf.errors.OpError as error:
            reason = _reason(error)
        except UnicodeDecodeError:
            reason = "it cannot be read"  # TensorFlow's message holds a path that is not UTF-8
        if self._policy == "raise":
            self._fail(
                f"cannot be decoded ({reason}); repair or remove it, let `keras-resnet data validate` "
                "find others, or leave such images out with bad_images=skip.",
                value=name,
            )
        skipped = self._skipped.setdefault(split.name, set())
        # With the reason, which holds the path of a file that cannot even be read.
        entry = f"{name}, which cannot be decoded ({reason})"
        if entry in skipped:
            return
        skipped.add(entry)
        _LOG.warning("Left out %s.", entry)
        if len(skipped) > self.max_skipped(split):
            self._fail(
                f"{len(skipped)} of the {split.size:,} images of {split.name} cannot be decoded, the last of "
                f"them {name}; at most this fraction of a split, or one image, may be left out.",
                parameter="max_bad_images",
                value=self._max_fraction,
            )

    def _fail(self, reason: str, **fields: Any) -> None:
        self._failure = UserError(reason, **fields)
        raise self._failure

    def _too_few_images(self) -> UserError:
        if self.skipped:
            splits = " and ".join(self._skipped)
            return UserError(
                f"{self.skipped} images of {splits} cannot be decoded, and too few others are left to "
                "replace them; repair or remove them."
            )
        splits = " or ".join(
            f"{name} ({split.size:,} images from {split.describe(0)} on)"
            for name, split in self._splits.items()
        )
        return UserError(
            f"The split {splits} holds fewer images than it declares: its files are damaged; prepare the "
            "dataset again."
        )


def _reason(error: tf.errors.OpError) -> str:
    """Returns the first sentence of TensorFlow's message, without the names of operations."""
    message = re.sub(r"\{\{.*?\}\}", "", error.message)
    message = re.sub(r"^\s*Error in user-defined function passed to .*? with iterator: \S+: ", "", message)
    # An error of Python within it begins with its class, and ends with its traceback.
    message = re.sub(r"^\s*ValueError: ", "", message)
    return re.split(r"\. |\n|\[Op:", message)[0].strip(" .") or type(error).__name__
