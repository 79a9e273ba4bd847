"""Training images that fit into memory, with the paper's random crops. Imports no TensorFlow."""

import dataclasses
import itertools
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from keras_resnet.errors import UserError

# Uniform numbers that decide about an image: rows, columns, flip.
UNIFORMS = 3

# (epoch) -> order of the images, and (N, `UNIFORMS`) numbers of 0..1, one row for each image.
Draw = Callable[[int], tuple[np.ndarray, np.ndarray]]


@dataclasses.dataclass(frozen=True)
class ImageArrays:
    """Training images in memory, in another order and with other crops in every epoch (section 4.2).

    With JAX the images live on the devices, and are cropped and flipped there, within the compiled step.
    Order and crops are a function of the seed, the epoch and the index of an image, the same on every engine.

    Args:
        images: (N, H, W, C) uint8, or of any type without `padding` and `hflip`.
        labels: integers (N,) or (N, 1), or probabilities (N, classes).
        padding: pixels added to each side before a crop of the image's own size is taken; 4 in the paper.
        hflip: whether half of the images are flipped left to right.
        fill: values of the padding, (H, W, C) or (C,): what the model makes zero. By default the mean of the
            images, of each pixel.
        seed: of order, crops and flips.
        draw: order and random numbers of an epoch, instead of those of `seed`.

    Raises:
        UserError: a field does not take its value.
    """

    images: Any
    labels: Any
    padding: int = 0
    hflip: bool = False
    fill: Any = None
    seed: int = 0
    draw: Draw | None = None

    def __post_init__(self):
        if not isinstance(self.padding, int) or self.padding < 0:
            raise UserError("must be 0 or more pixels.", parameter="padding", value=self.padding)
        if self.augments and (np.ndim(self.images) != 4 or np.asarray(self.images).dtype != "uint8"):
            raise UserError(
                "must be uint8 (N, H, W, C) to be cropped or flipped, and are "
                f"{np.asarray(self.images).dtype} {np.shape(self.images)}.",
                parameter="images",
            )
        if self.fill is not None and np.shape(self.fill) not in (
            np.shape(self.images)[1:],
            np.shape(self.images)[3:],
        ):
            raise UserError(
                f"must be of shape {np.shape(self.images)[1:]} or {np.shape(self.images)[3:]}; got "
                f"{np.shape(self.fill)}.",
                parameter="fill",
            )

    @property
    def augments(self) -> bool:
        """Whether images are cropped or flipped."""
        return bool(self.padding or self.hflip)

    def fill_pixels(self) -> np.ndarray:
        """The padding, uint8 (H, W, C) or (C,)."""
        fill = np.asarray(self.images).mean(axis=0, dtype="float64") if self.fill is None else self.fill
        return np.clip(np.round(fill), 0, 255).astype("uint8")

    def epoch(self, number: int) -> tuple[np.ndarray, np.ndarray]:
        """Returns the order of an epoch, (N,) int32, and random numbers for each image, (N, 3) float32."""
        if self.draw is not None:
            return self.draw(number)
        count = len(self.images)
        order = np.random.default_rng((self.seed, number)).permutation(count).astype("int32")
        uniforms = np.random.default_rng((self.seed, number, 1)).random((count, UNIFORMS), "float32")
        return order, uniforms

    def rows(
        self, batch_size: int, first_step: int, worker: int, workers: int
    ) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Yields this worker's rows of each batch from a step on, without end, and their random numbers.

        Shapes: (n,) int32 and (n, 3) float32, with n = batch_size / workers.
        """
        steps = len(self.images) // batch_size
        first_epoch, done = divmod(first_step, steps)
        for epoch in itertools.count(first_epoch):
            order, uniforms = self.epoch(epoch)
            for step in range(done if epoch == first_epoch else 0, steps):
                rows = order[step * batch_size : (step + 1) * batch_size][worker::workers]
                yield rows, uniforms[rows]
