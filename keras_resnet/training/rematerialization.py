"""What blocks keep for their gradients, by what the user asks for. Imports neither Keras nor an engine."""

from collections.abc import Collection

from keras_resnet.errors import UserError

# What `rematerialize` takes besides stages: all but the convolutions, in every block.
BATCH_NORM = "batch_norm"


def is_frugal(rematerialize: Collection[str], jit_compile: bool, backend: str) -> bool:
    """Whether blocks keep the outputs of convolutions for their gradients, and recompute what is cheap.

    TensorFlow does so by itself (`recompute.py`), but not in steps that XLA compiles, whose batch norm
    returns other statistics. JAX does it for "batch_norm".

    Args:
        rematerialize: stages, or "batch_norm".
        jit_compile: whether the step is compiled by XLA, for TensorFlow.
        backend: Keras' backend.

    Raises:
        UserError: "batch_norm" with jit_compile.
    """
    requested = BATCH_NORM in rematerialize
    if backend == "jax":
        return requested
    if requested and jit_compile:
        raise UserError(
            "cannot recompute batch_norm in steps of TensorFlow that XLA compiles; leave out jit_compile, or "
            "name stages.",
            parameter="rematerialize",
            value=tuple(rematerialize),
        )
    return not jit_compile
