"""How batches reach the steps: this worker's share of each, from any step on."""

import dataclasses
from collections.abc import Callable, Iterator

import numpy as np
import tensorflow as tf

from keras_resnet.errors import UserError
from keras_resnet.training.strategy import Place

Batch = tuple[tf.Tensor, tf.Tensor]


@dataclasses.dataclass(frozen=True)
class TrainingData:
    """Batches as a function of the step to begin with, so that a run can go on anywhere.

    Args:
        steps_per_epoch: number of batches of an epoch.
        batches: takes the first step, this worker's number and the number of workers, and gives this
            worker's share of each batch from there to the end of the training, (images, labels).
    """

    steps_per_epoch: int
    batches: Callable[[int, int, int], tf.data.Dataset]


def as_training_data(data: "TrainingData | tf.data.Dataset") -> TrainingData:
    """An epoch of batches (images, labels) as `TrainingData`; the last one of another size is left out.

    A run that goes on inside an epoch passes over the batches it has seen, and of several workers each takes
    its share of its own copy: both are exact where the dataset gives the same batches each time, everywhere.

    Raises:
        ValueError: it is not known how many batches there are.
    """
    if isinstance(data, TrainingData):
        return data
    size = next((int(labels.shape[0]) for _, labels in data.take(1)), 0)
    whole = data.filter(lambda _, labels: tf.shape(labels)[0] == size)
    steps = int(data.cardinality())
    if steps < 1:
        raise ValueError(
            f"train_data must know how many batches it has, one at least, and has a cardinality of {steps}; "
            "give it one by dataset.apply(tf.data.experimental.assert_cardinality(n))."
        )
    steps -= any(labels.shape[0] != size for _, labels in data.skip(steps - 1))

    def batches(first_step, worker, workers):
        if size % workers:
            raise ValueError(
                f"batches of {size} images cannot be shared out to {workers} workers; their size must be a "
                "multiple of that."
            )
        return (
            whole.repeat()
            .skip(first_step % steps)
            .map(lambda images, labels: (images[worker::workers], labels[worker::workers]))
            .prefetch(tf.data.AUTOTUNE)
        )

    return TrainingData(steps, batches)


class EvaluationData:
    """Every image once, over all workers, in batches of one size whose last places may not count.

    Args:
        batches: (images, integer labels), this worker's, of any sizes.
        place: of this worker.
        devices: of this worker.
    """

    def __init__(self, batches: tf.data.Dataset, place: Place, devices: int):
        self._batches, self._place, self._devices = batches, place, devices
        self._size = 0

    def __iter__(self) -> Iterator[tuple[tf.Tensor, tf.Tensor, tf.Tensor]]:
        """(images, labels, counted); with several workers endless, for they need equally many steps."""
        images = labels = None
        for images, labels in self._batches:
            count = len(labels)
            self._size = max(self._size, -(-count // self._devices) * self._devices)
            missing = self._size - count
            counted = np.repeat(np.array([1, 0], "float32"), [count, missing])
            # The first image again: any will do, and one that the net has seen is sure to be one it can see.
            fill = [tf.repeat(part[:1], missing, axis=0) for part in (images, labels)]
            yield (
                tf.concat([images, fill[0]], axis=0) if missing else images,
                tf.concat([labels, fill[1]], axis=0) if missing else labels,
                tf.constant(counted),
            )
        if images is None or labels is None:
            raise UserError("The test batches give no image to test on; give at least one.")
        while self._place.workers > 1:
            again = [tf.repeat(part[:1], self._size, axis=0) for part in (images, labels)]
            yield (*again, tf.zeros(self._size))
