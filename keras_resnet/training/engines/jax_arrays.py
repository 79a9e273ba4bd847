"""Steps of the JAX engine on images that live on the devices: cropped there, and many steps a call."""

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import keras
import numpy as np

from keras_resnet.data.image_arrays import ImageArrays
from keras_resnet.training.engines.jax_mesh import DeviceMesh, narrow
from keras_resnet.training.engines.jax_steps import JaxSteps, pad
from keras_resnet.training.recipes import Recipe

# A step of a small network takes a GPU less time than Python takes to start one.
_STEPS_PER_CALL = 32


class JaxArraySteps(JaxSteps):
    """The steps on rows of arrays; `train_step` takes rows and their random numbers, see `ImageArrays.rows`.

    Args:
        mesh: the devices, each of which has all images.
        arrays: the images.
    """

    def __init__(
        self, mesh: DeviceMesh, arrays: ImageArrays, model: keras.Model, recipe: Recipe, **options: Any
    ):
        self._arrays = arrays
        fill = arrays.fill_pixels() if arrays.augments else np.zeros(0, "uint8")
        labels = narrow(np.asarray(arrays.labels))
        self._on_devices = tuple(mesh.replicate(array) for array in (arrays.images, labels, fill))
        # XLA computes convolutions inside of loops on one thread of a processor.
        self.steps_per_call = 1 if mesh.platform == "cpu" else _STEPS_PER_CALL
        super().__init__(mesh, model, recipe, **options)

    def _compile_train(self):
        per_device = self._mesh.per_device
        step = self._train_on_device if per_device else self._train_on_all

        def steps(weights, state, optimizer_state, teacher, rates, arrays, rows, uniforms, flags, count):
            def body(number, carry):
                *values, totals = carry
                images, labels = self._take(arrays, rows[number], uniforms[number])
                *values, total = step(*values, teacher, rates[number], images, labels, flags)
                return (*values, totals.at[number].set(total))

            # The sums of `train_step`: those of the metrics, the images and the flag.
            totals = jnp.zeros((len(rates), len(self.names) + 2), "float32")
            carry = (weights, state, optimizer_state, totals)
            return body(0, carry) if self.steps_per_call == 1 else jax.lax.fori_loop(0, count, body, carry)

        return self._mesh.compile(
            steps,
            shared=(None, None, None, None, None, None, 1, 1, 0, None),
            per_device=per_device,
            donate=(0, 1, 2),
        )

    def train_step(self, images: Any, labels: Any, flag: float = 0.0) -> list[float]:
        rate = self._inner_optimizer.learning_rate.numpy()
        (sums,) = self.train_steps([(images, labels)], [rate], flag)
        return sums

    def train_steps(
        self, batches: Sequence[tuple[Any, Any]], learning_rates: Sequence[float], flag: float = 0.0
    ) -> list[list[float]]:
        # Always of one shape, or each number of steps would be compiled.
        missing = self.steps_per_call - len(batches)
        rows, uniforms = (np.stack(part) for part in zip(*batches, strict=True))
        rates = np.array(learning_rates, self._inner_optimizer.learning_rate.dtype)
        rates, rows, uniforms = (pad(array, missing) for array in (rates, rows, uniforms))
        share = self._mesh.share
        totals = self._run_train(
            rates,
            self._on_devices,
            share(rows, axis=1),
            share(uniforms, axis=1),
            share(np.full(self._mesh.local_devices, flag, "float32")),
            np.int32(len(batches)),
        )
        return totals[: len(batches)].tolist()

    def load_ahead(self, batches):
        return iter(batches)  # rows, which are few bytes

    def _take(self, arrays, rows, uniforms):
        images, labels, fill = arrays
        own = self._arrays
        if own.augments:
            return crop_rows(images, rows, uniforms, fill, own.padding, hflip=own.hflip), labels[rows]
        return images[rows], labels[rows]


def crop_rows(
    images: jax.Array, rows: jax.Array, uniforms: jax.Array, fill: jax.Array, padding: int, *, hflip: bool
) -> jax.Array:
    """Takes rows of images, and crops and flips them as `augment.random_crop_flip` does.

    Shapes: (N, H, W, C), (n,), (n, 3) -> (n, H, W, C).
    """
    height, width = images.shape[1:3]
    shift = jnp.floor(uniforms[:, :2] * (2 * padding + 1)).astype("int32") - padding
    down = jnp.arange(height) + shift[:, :1]
    across = jnp.arange(width) + shift[:, 1:]
    if hflip:
        across = jnp.where(uniforms[:, 2:] < 0.5, across[:, ::-1], across)
    inside = ((down >= 0) & (down < height))[:, :, None] & ((across >= 0) & (across < width))[:, None]
    crops = images[
        rows[:, None, None],
        jnp.clip(down, 0, height - 1)[:, :, None],
        jnp.clip(across, 0, width - 1)[:, None],
    ]
    return jnp.where(inside[..., None], crops, fill)
