"""The graph of a Functional or Sequential model, nested models included.

The calls of a layer are read here and not from `layer.input` and `layer.output`, which are those of its first
call, be it in this model or in another one.
"""

import functools
import inspect
from collections.abc import Iterator
from typing import Any

import keras

from keras_resnet.errors import UserError

# A call of an operation: `operation`, `arguments`, `input_tensors`, `outputs`.
Call = Any


def as_graph(operation: keras.Operation) -> keras.Model | None:
    """Returns a Functional model with the operation's graph; None for anything but a model with a graph.

    A subclass with a `call` of its own need not compute what its graph says, and counts as one layer.
    """
    if not isinstance(operation, keras.Sequential | keras.Function) or not isinstance(operation, keras.Model):
        return None
    if not is_of_keras(next(kind for kind in type(operation).__mro__ if "call" in vars(kind))):
        return None
    if isinstance(operation, keras.Sequential):
        return keras.Model(operation.inputs, operation.outputs) if operation.built else None
    return operation


def check_graph(model: keras.Model) -> None:
    """Checks that a model is Functional.

    Raises:
        UserError: it is Sequential or a subclass.
    """
    if isinstance(model, keras.Sequential) or as_graph(model) is None:
        raise UserError(
            "is not a Functional model; make it one with keras.Model(inputs, outputs).",
            parameter="model",
            value=model.name,
        )


def calls(graph: keras.Model) -> Iterator[Call]:
    """Yields the calls of a graph in the order of computation, without its inputs."""
    for _, nodes in sorted(graph._nodes_by_depth.items(), reverse=True):
        yield from (node for node in nodes if node.operation and not node.is_input)


def run(call: Call, values: dict[int, Any], *, training: bool) -> None:
    """Calls a layer or operation with all that it was called with when the model was built, but for the mode.

    As a Functional model does it, which passes its own mode to all layers that have one: that of a `Dropout`
    was false when the model was built.

    Args:
        values: by id of the model's tensor; the results are added.
        training: the mode.
    """
    inputs, options = call.arguments.fill_in(values)
    options = {key: value for key, value in options.items() if value is not None}
    kind: Any = type(call.operation)
    if _has_mode(kind):
        options["training"] = training
    results = keras.tree.flatten(call.operation(*inputs, **options))
    values.update(zip(map(id, call.outputs), results, strict=True))


@functools.cache
def _has_mode(kind: Any) -> bool:
    return "training" in inspect.signature(kind.call).parameters


def graphs(model: keras.Model) -> Iterator[keras.Model]:
    """Yields the graph of a model and those nested in it at any depth, each once, the outermost first."""
    visited: set[int] = set()
    waiting: list[keras.Operation] = [model]
    while waiting:
        operation = waiting.pop()
        if id(operation) in visited:
            continue
        visited.add(id(operation))
        graph = as_graph(operation)
        if graph is not None:
            yield graph
            waiting.extend(call.operation for call in calls(graph))


def maker(tensor: keras.KerasTensor) -> keras.Operation:
    """Returns the operation or nested model whose output a tensor is."""
    return tensor._keras_history.operation


def is_of_keras(item: Any) -> bool:
    """Whether a class or function is Keras' own."""
    return item.__module__.split(".")[0] == "keras"


def is_known(kind: type) -> bool:
    """Whether a class is Keras' own or this package's."""
    return kind.__module__.split(".")[0] in ("keras", "keras_resnet")
