"""A layer once more, with the same state: what Keras does when it saves and loads one, without a file."""

import contextlib
import tempfile
import types
import warnings
from collections.abc import Iterator, Mapping
from typing import Any

import keras
import numpy as np

from keras_resnet.models.graph import is_known, is_of_keras

_FLOATS = ("float16", "bfloat16", "float32", "float64")

# Of inputs that a layer and its copy are compared on: images, and the side of those that have any size.
_IMAGES, _SIDE = 4, 16
# Relative to the largest output.
_TOLERANCE, _HALF_TOLERANCE = 1e-4, 5e-2


def copy_layer(layer: keras.layers.Layer, dtype: str | None, changes: Mapping[str, Any]) -> Any:
    """Returns a new layer of the same configuration, which has no state yet.

    Args:
        dtype: to compute in, where the layer computes in floating point; None: as the layer.
        changes: to its config.

    Raises:
        Exception: whatever the layer's class raises that cannot be made from its config.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # that lambdas are unsafe in files
        if type(layer) is keras.layers.Lambda:
            copied = _copy_lambda(layer)
        else:
            described = keras.saving.serialize_keras_object(layer)
            # Built by being called, as layers of a Functional model are.
            described = {key: value for key, value in described.items() if key != "build_config"}
            config = described["config"]
            if not isinstance(layer, keras.layers.Lambda):  # which makes its function from the config
                functions = _functions(layer).items()
                config = {**config, **{name: value for name, value in functions if name in config}}
            described["config"] = {**config, **changes}
            if dtype and layer.compute_dtype in _FLOATS and "dtype" in described["config"]:
                described["config"]["dtype"] = dtype
            copied = keras.saving.deserialize_keras_object(described, custom_objects=_python_objects(layer))
    for part, copy in _pairs(layer, copied):
        changed = dtype if dtype and part.compute_dtype in _FLOATS and not part.quantization_mode else None
        copy.dtype_policy = changed or part.dtype_policy
        # The function itself: what is made from its code has lost the names of its module.
        for name, value in _functions(part).items():
            if name in _functions(copy) and name not in changes:
                setattr(copy, name, value)
    return copied


def copy_state(layer: keras.layers.Layer, copied: keras.layers.Layer) -> None:
    """Gives a built copy of a layer the state of the layer: weights, what follows from them, vocabularies.

    Raises:
        ValueError: the copy has other weights.
    """
    if len(sublayers(layer)) != len(sublayers(copied)):
        raise ValueError(
            f"it has {len(sublayers(layer))} layers inside, and its copy {len(sublayers(copied))}"
        )
    for part, copy in _pairs(layer, copied):
        store: dict[str, Any] = {}
        part.save_own_variables(store)
        copy.load_own_variables({name: as_array(value) for name, value in store.items()})
        if hasattr(part, "save_assets"):
            with tempfile.TemporaryDirectory() as folder:
                part.save_assets(folder)
                copy.load_assets(folder)


def copy_trainable(layer: keras.layers.Layer, copied: keras.layers.Layer) -> None:
    """Makes the copy of a layer trainable where the layer is."""
    for part, copy in _pairs(layer, copied):
        copy.trainable = part.trainable


def answers_alike(layer: keras.layers.Layer, copied: keras.layers.Layer, arguments: Any) -> bool:
    """Whether a copy of a layer computes what the layer does.

    Layers of Keras do. Others may hold state that is neither a weight nor in their config, so that both are
    called on pixels, small numbers and zeros.

    Args:
        arguments: of the layer's call in its graph.
    """
    if all(is_known(type(part)) for part in sublayers(layer)):
        return True
    tolerance = _TOLERANCE if layer.compute_dtype in ("float32", "float64") else _HALF_TOLERANCE
    for scale in (255, 1, 0):
        try:
            expected, again = (_outputs(layer, arguments, scale) for _ in range(2))
        except Exception:  # whatever it raises for numbers that are not those it is made for
            continue
        if not _are_close(expected, again, tolerance):
            continue  # random even in inference
        if not _are_close(expected, _outputs(copied, arguments, scale), tolerance):
            return False
    return True


def sublayers(layer: keras.layers.Layer) -> list[Any]:
    """Returns a layer and all layers inside of it, without those that stand for inputs."""
    return [part for part, _ in _pairs(layer, layer)]


def as_array(value: Any) -> np.ndarray:
    """Returns the value of a variable, tensor or array."""
    tensor = value.value if isinstance(value, keras.Variable) else value
    return np.asarray(keras.ops.convert_to_numpy(tensor))


@contextlib.contextmanager
def dtype_policy(dtype: str | None) -> Iterator[None]:
    """Makes a type the global one, which layers made by other layers have; None changes nothing."""
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(dtype or before)
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)


def _copy_lambda(layer: Any) -> keras.layers.Layer:
    """Shares the function, which Keras would save by its name or its code: neither need lead back to it."""
    return keras.layers.Lambda(
        layer.function,
        output_shape=layer._output_shape,
        mask=layer.mask,
        arguments=layer.arguments,
        name=layer.name,
        dtype=layer.dtype_policy,
        trainable=layer.trainable,
    )


def _pairs(layer: keras.layers.Layer, copied: keras.layers.Layer) -> Iterator[tuple[Any, Any]]:
    """Yields a layer and those inside of it, each with its counterpart, outer ones first.

    Layers that are made when another one is built have none before that.
    """
    yield layer, copied
    inner = (
        [part for part in one._layers if not isinstance(part, keras.layers.InputLayer)]
        for one in (layer, copied)
    )
    for part, copy in zip(*inner, strict=False):
        yield from _pairs(part, copy)


def _functions(layer: keras.layers.Layer) -> dict[str, types.FunctionType]:
    """Returns the functions that a layer was given, by attribute; not its own methods, which Keras wraps."""
    return {
        name: value
        for name, value in vars(layer).items()
        if isinstance(value, types.FunctionType) and not hasattr(type(layer), name)
    }


def _python_objects(layer: keras.layers.Layer) -> dict[str, Any]:
    """Returns the classes and functions of a layer by name, so that they need not be registered."""
    found: list[Any] = []
    for part in sublayers(layer):
        found += (type(part), *_functions(part).values())
    return {item.__name__: item for item in found if not is_of_keras(item)}


def _outputs(layer: keras.layers.Layer, arguments: Any, scale: int) -> list:
    random = np.random.default_rng(0)

    def numbers(value):
        if not isinstance(value, keras.KerasTensor):
            return value
        shape = (_IMAGES, *(side or _SIDE for side in value.shape[1:]))
        return keras.ops.cast(random.uniform(0, scale, shape), value.dtype)

    args, kwargs = keras.tree.map_structure(numbers, (arguments.args, arguments.kwargs))
    # Without effects on the state of either.
    outputs, _ = layer.stateless_call(
        layer.trainable_variables, layer.non_trainable_variables, *args, **kwargs
    )
    return [as_array(output) for output in keras.tree.flatten(outputs)]


def _are_close(expected: list, actual: list, tolerance: float) -> bool:
    def close(one, other):
        if one.shape != other.shape:
            return False
        if one.dtype.kind in "SUO":
            return bool(np.all(one == other))
        one, other = one.astype("float64"), other.astype("float64")
        return np.allclose(
            one, other, rtol=tolerance, atol=tolerance * np.abs(one).max(initial=0), equal_nan=True
        )

    return len(expected) == len(actual) and all(map(close, expected, actual))
