"""Copies of models, with changes: the one way in which this package makes a model from another one.

A copy answers as its original does, whatever Keras layers and operations are in it, or the layer that cannot
be copied is named.
"""

from collections.abc import Mapping
from typing import Any

import keras

from keras_resnet._utils.recursion import raised_recursion_limit
from keras_resnet.errors import UserError, first_line
from keras_resnet.models.graph import as_graph, calls, check_graph, is_known
from keras_resnet.models.layer_copy import (
    answers_alike,
    as_array,
    copy_layer,
    copy_state,
    copy_trainable,
    dtype_policy,
)

_HALF = ("float16", "bfloat16")

# These compute with an image of integers as with one of floats: they turn it into floats first.
_FLOAT_LAYERS = ("MeanSubtraction", "Preprocessing", "Rescaling", "Normalization")
_FLOAT_OPERATIONS = ("Add", "Subtract", "Multiply", "Divide", "TrueDivide", "Cast")


class Copier:
    """Copies a model operation by operation, in one graph; subclasses change what is copied.

    Nested models are copied as models, or become part of the graph (`inline`). Layers that several calls
    share are shared in the copy.

    Args:
        dtype: to compute in, whatever policies the layers have; None: as the model does. Layers that do not
            compute in floating point stay as they are.
        inline: whether nested models become part of the graph.
    """

    def __init__(self, dtype: str | None = None, *, inline: bool = False):
        self.dtype, self.inline = dtype, inline
        self._model: Any = None
        self._copies: dict[int, tuple[Any, Any]] = {}  # an operation and its copy
        self._graphs: dict[int, Any] = {}
        self._names: set[str] = set()

    def copy(self, model: keras.Model, inputs: Any = None, name: str | None = None) -> keras.Model:
        """Returns the copy.

        Args:
            inputs: to build it upon, nested as those of the model; by default new ones like the model's.
            name: of the copy; by default that of the model.

        Raises:
            UserError: the model is not Functional, or has a layer that cannot be copied.
        """
        check_graph(model)
        self._model = model
        if inputs is None:
            inputs = keras.tree.map_structure(self._new_input, model.input)
        flat = keras.tree.flatten(inputs)
        with raised_recursion_limit(), dtype_policy(self.dtype):
            entered = [
                self._enter(model, *each) for each in zip(model.inputs, flat, model.inputs, strict=True)
            ]
            copied = keras.Model(inputs, self._run(model, entered), name=name or model.name)
        copied.trainable = model.trainable
        for original, copy in reversed(self._copies.values()):  # models before the layers in them
            if isinstance(original, keras.Layer):
                copy_trainable(original, copy)
        return copied

    # What subclasses override.

    def changes(self, layer: keras.layers.Layer) -> Mapping[str, Any]:
        """Returns changes to the config of the copy of a layer."""
        return {}

    def make(self, layer: keras.layers.Layer) -> keras.layers.Layer:
        """Returns the new layer in place of one."""
        return copy_layer(layer, self.dtype, self.changes(layer))

    def call(self, operation: keras.Operation, copied: Any, args: Any, kwargs: Any) -> Any:
        """Calls the copy of an operation; returns the outputs."""
        return copied(*args, **kwargs)

    def load(self, layer: keras.layers.Layer, copied: keras.layers.Layer) -> None:
        """Gives the copy of a layer its state, after its first call."""
        copy_state(layer, copied)

    # How a graph is copied.

    def _new_input(self, tensor: keras.KerasTensor) -> keras.KerasTensor:
        return keras.Input(batch_shape=tensor.shape, dtype=self._dtype_of(tensor), name=tensor.name)

    def _dtype_of(self, tensor: keras.KerasTensor) -> str:
        return self.dtype if self.dtype and _is_float(tensor) else tensor.dtype

    def _enter(self, graph: keras.Model, tensor: Any, value: Any, given: Any) -> Any:
        """Turns a value into what a graph takes, as Keras does.

        Args:
            tensor: an input of the graph.
            value: in the copy.
            given: what the value is in the original.
        """
        dtype = self._dtype_of(tensor)
        if not _is_float(tensor) and _is_float(value) and not _is_float(given):
            # Integers of the original are floats in the copy, with fractions that the original never gets.
            if _takes_floats(graph, tensor):
                return value
            value = keras.ops.round(value)
        return value if value.dtype == dtype else keras.ops.cast(value, dtype)

    def _run(self, graph: keras.Model, inputs: list) -> Any:
        """Computes the outputs of a graph's copy."""
        values = {id(tensor): value for tensor, value in zip(graph.inputs, inputs, strict=True)}
        for call in calls(graph):
            args, kwargs = call.arguments.convert(
                lambda value: values[id(value)] if isinstance(value, keras.KerasTensor) else _constant(value)
            )
            outputs = self._call(call, args, kwargs)
            for tensor, value in zip(call.outputs, keras.tree.flatten(outputs), strict=True):
                values[id(tensor)] = value
        return keras.tree.map_structure(lambda tensor: values[id(tensor)], graph.output)

    def _call(self, call: Any, args: Any, kwargs: Any) -> Any:
        operation = call.operation
        try:
            graph = self._graph(operation)
            if graph is not None:
                return self.call_graph(call, graph, args, kwargs)
            if id(operation) in self._copies:
                return self.call(operation, self._copies[id(operation)][1], args, kwargs)
            if not isinstance(operation, keras.Layer):
                copied = self._add(operation, _copy_operation(operation, self.dtype))
                return self.call(operation, copied, args, kwargs)
            copied = self._add(operation, self.make(operation))
            outputs = self.call(operation, copied, args, kwargs)
            self.load(operation, copied)
            is_same = type(copied) is type(operation) and self.changes(operation).keys() <= {"name"}
            if is_same and not answers_alike(operation, copied, call.arguments):
                raise ValueError(
                    "made from its config and its weights it computes something else; make all of its state "
                    "weights (add_weight), or return it in get_config"
                )
        except UserError:
            raise
        except Exception as error:  # whatever the layer's class raises
            raise UserError(
                f"its layer {operation.name} ({type(operation).__name__}) cannot be copied: "
                f"{first_line(error)}.",
                parameter="model",
                value=self._model.name,
            ) from error
        return outputs

    def call_graph(self, call: Any, graph: keras.Model, args: Any, kwargs: Any) -> Any:
        """Calls the copy of a nested model; returns the outputs."""
        given, values = (keras.tree.flatten(each[:1]) for each in (call.arguments.args, args))
        entered = [self._enter(graph, *each) for each in zip(graph.inputs, values, given, strict=True)]
        ranks = zip(graph.inputs, entered, strict=True)
        if self.inline and all(len(one.shape) == len(other.shape) for one, other in ranks):
            return self._run(graph, entered)
        if id(call.operation) not in self._copies:
            inputs = [
                keras.Input(batch_shape=value.shape, dtype=value.dtype, name=tensor.name)
                for tensor, value in zip(graph.inputs, entered, strict=True)
            ]
            nested = keras.tree.pack_sequence_as(graph.input, inputs)
            copied = keras.Model(nested, self._run(graph, inputs), name=call.operation.name)
            self._add(call.operation, copied)
        copied = self._copies[id(call.operation)][1]
        args = (keras.tree.pack_sequence_as(args[0], entered), *args[1:])
        return self.call(call.operation, copied, args, kwargs)

    def _graph(self, operation: keras.Operation) -> keras.Model | None:
        # Kept, since that of a Sequential model is a new object each time.
        if id(operation) not in self._graphs:
            self._graphs[id(operation)] = as_graph(operation)
        return self._graphs[id(operation)]

    def _add(self, operation: keras.Operation, copied: Any) -> Any:
        if self.inline:  # names are unique in each model, not in all of them together
            name, number = copied.name, 1
            while copied.name in self._names:
                copied.name, number = f"{name}_{number}", number + 1
            self._names.add(copied.name)
        self._copies[id(operation)] = operation, copied
        return copied


def _copy_operation(operation: keras.Operation, dtype: str | None) -> Any:
    """Returns an operation without weights once more; its constants are arguments of its calls."""
    copied = object.__new__(type(operation))
    vars(copied).update(vars(operation), _inbound_nodes=[], _outbound_nodes=[])
    if dtype and getattr(operation, "dtype", None) in _HALF:
        copied.dtype = dtype
    return copied


def _constant(value: Any) -> Any:
    """Returns the value of a variable that is an argument: the model it is in does not know it."""
    return as_array(value) if hasattr(value, "assign") else value


def _is_float(tensor: keras.KerasTensor) -> bool:
    return "float" in keras.backend.standardize_dtype(tensor.dtype)


def _takes_floats(graph: keras.Model, tensor: keras.KerasTensor) -> bool:
    """Whether all that is done with an input of integers begins with turning it into floats."""
    for call in calls(graph):
        if not any(other is tensor for other in call.input_tensors):
            continue
        nested = as_graph(call.operation)
        if nested is not None:
            if len(nested.inputs) != 1 or not (
                _is_float(nested.inputs[0]) or _takes_floats(nested, nested.inputs[0])
            ):
                return False
        elif isinstance(call.operation, keras.Layer):
            if not is_known(type(call.operation)) or type(call.operation).__name__ not in _FLOAT_LAYERS:
                return False
        elif type(call.operation).__name__ not in _FLOAT_OPERATIONS or not _is_float(call.outputs[0]):
            return False
    return True
