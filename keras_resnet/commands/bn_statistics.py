"""Exact statistics of BN, as `train --precise_bn` and `precise_bn` take them."""

from typing import TYPE_CHECKING

from keras_resnet.data.source import Source
from keras_resnet.errors import UserError

if TYPE_CHECKING:
    import keras

    from keras_resnet.data.pipeline import Pipeline

_BATCH, _TEST_BATCH = 64, 256


def check(count: int | None, source: Source, flag: str) -> None:
    """Refuse more images than there are.

    Raises:
        UserError: with the flag.
    """
    if count is not None and count > source.train.size:
        raise UserError(
            f"--{flag}={count} is more than the {source.train.size:,} training images of {source.name}."
        )


def recompute(model: "keras.Model", images: "Pipeline", count: int) -> float:
    """Take the statistics over so many training images; returns the test error afterwards, 0..1."""
    from keras_resnet.evaluation.evaluator import error
    from keras_resnet.evaluation.statistics import memory, precise_batch_norm

    needed = memory(model, count) / 2**30
    told = f"over {count:,} training images, which takes {needed:.1f} GiB of memory"
    print(f"Taking BN's statistics {told}.", flush=True)
    with images.bad_images.told():
        drawn = images.drawn_batches(images.source.train, count, _BATCH).as_numpy_iterator()
        precise_batch_norm(model, [batch for batch, _ in drawn], print)
        return error(model, images.evaluation_batches(_TEST_BATCH).as_numpy_iterator())
