"""What the outputs of a classifier are, and a model that returns probabilities whatever they are.

Models that others build may end in a softmax, without one, in one sigmoid for two classes, or in a sigmoid
for each of several labels. Whatever takes such a model for a classifier asks here, so that logits are nowhere
taken for probabilities.
"""

import contextlib
from collections.abc import Iterator

import keras
import numpy as np

from keras_resnet._utils.recursion import raised_recursion_limit
from keras_resnet.errors import UserError
from keras_resnet.models.graph import as_graph, maker

# Kinds of outputs. Logarithms of probabilities are logits as well: their softmax are the probabilities.
PROBABILITIES, LOGITS, SIGMOID = "probabilities", "logits", "sigmoid"
# A sigmoid for each of several labels, of which an image has any number.
MULTI_LABEL = "multi_label"

_ACTIVATIONS = {"softmax": PROBABILITIES, "linear": LOGITS, "log_softmax": LOGITS, "sigmoid": SIGMOID}
# Keras' layers and operations, by the name of their class.
_HEADS = {"Softmax": PROBABILITIES, "LogSoftmax": LOGITS, "Sigmoid": SIGMOID}
_UNCHANGED = frozenset(
    (
        "ActivityRegularization",
        "AlphaDropout",
        "Cast",
        "Dropout",
        "GaussianDropout",
        "GaussianNoise",
        "Identity",
    )
)
# Linear functions: of logits, and only of these, they give logits.
_LINEAR = frozenset(
    (
        "Add",
        "Average",
        "AveragePooling2D",
        "BatchNormalization",
        "Divide",
        "Flatten",
        "GlobalAveragePooling2D",
        "GlobalMaxPooling2D",
        "Mean",
        "Multiply",
        "Permute",
        "Rescaling",
        "Reshape",
        "Squeeze",
        "Subtract",
        "Transpose",
        "TrueDivide",
    )
)
# Of the outputs for noise, by which ends of other kinds are recognized: images, and side where any is taken.
_NUM_IMAGES, _SIDE = 4, 64
_TOLERANCE = 1e-2  # of a sum of probabilities in half precision


def find_head(model: keras.Model) -> str:
    """Returns what the outputs of a classifier are: "probabilities", "logits", "sigmoid" or "multi_label".

    "sigmoid" is one output, the probability of the second of two classes; "multi_label" are several, each the
    probability that the image has this label.

    Args:
        model: Functional or Sequential, (N, ...) -> (N, classes).

    Raises:
        UserError: they are none of these, or one output that cannot tell two classes apart.
    """
    output = model.outputs[0]
    if len(model.outputs) != 1 or len(output.shape) != 2:
        shapes = [tuple(tensor.shape) for tensor in model.outputs]
        raise UserError(
            f"must return one vector of scores for each image; its outputs are {shapes}.",
            parameter="model",
            value=model.name,
        )
    last, units = head_operation(output), output.shape[-1]
    kind = _kind(output) or (PROBABILITIES if _sums_to_one(model) else _activation_kind(last))
    if kind is None:
        raise UserError(
            f"ends in {last.name}, whose outputs are neither probabilities nor logits; end it in a softmax, "
            "in Dense without an activation, or for two classes in one sigmoid.",
            parameter="model",
            value=model.name,
        )
    if kind == SIGMOID and units != 1:
        return MULTI_LABEL
    if kind != SIGMOID and units == 1:
        raise UserError(
            f"ends in {last.name} with one output and no sigmoid, which tells no classes apart; end it in a "
            "sigmoid, or give it one output for each class.",
            parameter="model",
            value=model.name,
        )
    return kind


def count_classes(model: keras.Model) -> int:
    """Returns the number of classes or labels of a classifier, two for one sigmoid.

    Raises:
        UserError: as of `find_head`.
    """
    return 2 if find_head(model) == SIGMOID else model.outputs[0].shape[-1]


def probability_model(model: keras.Model) -> keras.Model:
    """Returns the classifier itself if it returns probabilities, of classes or of labels, or one around it.

    It shares the layers and weights of the model.

    Shapes: (N, ...) -> (N, classes), two for one sigmoid.

    Raises:
        UserError: as of `find_head`.
    """
    head = find_head(model)
    if head in (PROBABILITIES, MULTI_LABEL):
        return model
    (output,) = model.outputs
    names = {layer.name for layer in model.layers}
    if head == LOGITS:
        output = keras.layers.Softmax(dtype="float32", name=_unused("class_probabilities", names))(output)
    else:
        complement = keras.layers.Rescaling(
            -1.0, 1.0, dtype="float32", name=_unused("complement_probability", names)
        )(output)
        output = keras.layers.Concatenate(dtype="float32", name=_unused("class_probabilities", names))(
            [complement, output]
        )
    with raised_recursion_limit():
        return keras.Model(model.input, output, name=model.name)


def logits_tensor(model: keras.Model) -> keras.KerasTensor | None:
    """Returns what a classifier's softmax or sigmoid takes, where that is a layer or operation of its own."""
    (output,) = model.outputs
    if not is_activation(maker(output)) or _kind(output) is None:
        return None
    (logits,) = _inputs(output)
    return logits


@contextlib.contextmanager
def linear_head(model: keras.Model) -> Iterator[bool]:
    """Leaves out the softmax or sigmoid that is the activation of a classifier's last layer.

    Inside the `with` block, the model's calls return logits, if what it yields is True.
    """
    layer = head_operation(model.outputs[0])
    if _activation_kind(layer) not in (PROBABILITIES, SIGMOID):
        yield False
        return
    activation, layer.activation = layer.activation, keras.activations.linear
    try:
        yield True
    finally:
        layer.activation = activation


def divide_logits(model: keras.Model, divisor: float) -> None:
    """Divides the logits of a classifier: the kernel and bias of the dense layer that makes them.

    Raises:
        UserError: they are not made by a dense layer; and as of `find_head`.
    """
    find_head(model)
    logits = logits_tensor(model)
    layer = head_operation(model.outputs[0] if logits is None else logits)
    if not isinstance(layer, keras.layers.Dense):
        raise UserError(
            f"ends in {layer.name}, and only the logits of a dense layer can be divided.",
            parameter="model",
            value=model.name,
        )
    for weight in (layer.kernel, layer.bias):
        if weight is not None:
            weight.assign(weight / divisor)


def head_operation(tensor: keras.KerasTensor) -> keras.Operation:
    """Returns the layer or operation that made a tensor, without those behind it that change no values.

    Of a nested model it is the one inside.
    """
    operation, _, index = _history(tensor)
    graph = as_graph(operation)
    if graph is not None:
        return head_operation(graph.outputs[index])
    if _is_unchanged(operation):
        (source,) = _inputs(tensor)
        return head_operation(source)
    return operation


def is_activation(operation: keras.Operation) -> bool:
    """Whether this is a softmax, its logarithm, or a sigmoid, as a layer or operation of its own."""
    return _keras_class(operation) in _HEADS


def _kind(tensor: keras.KerasTensor) -> str | None:
    operation, _, index = _history(tensor)
    name = _keras_class(operation)
    if isinstance(operation, keras.Model):
        graph = as_graph(operation)
        return None if graph is None else _kind(graph.outputs[index])
    if _is_unchanged(operation):
        (source,) = _inputs(tensor)
        return _kind(source)
    if name in _HEADS:
        last_axis = getattr(operation, "axis", -1) in (-1, len(tensor.shape) - 1)
        return _HEADS[name] if last_axis or name == "Sigmoid" else None
    if name in _LINEAR:
        return LOGITS if all(_kind(source) == LOGITS for source in _inputs(tensor)) else None
    return _activation_kind(operation) if name else None


def _activation_kind(operation: keras.Operation) -> str | None:
    activation = getattr(operation, "activation", None)
    return _ACTIVATIONS.get(getattr(activation, "__name__", ""))


def _is_unchanged(operation: keras.Operation) -> bool:
    if isinstance(operation, keras.layers.Activation):
        return operation.activation is keras.activations.linear
    return _keras_class(operation) in _UNCHANGED


def _keras_class(operation: keras.Operation) -> str | None:
    """The name of one of Keras' own classes; None for others, which may compute anything."""
    return type(operation).__name__ if type(operation).__module__.startswith("keras.") else None


def _history(tensor: keras.KerasTensor) -> tuple[keras.Operation, int, int]:
    return tensor._keras_history


def _inputs(tensor: keras.KerasTensor) -> list[keras.KerasTensor]:
    operation, node, _ = _history(tensor)
    return operation._inbound_nodes[node].input_tensors


def _unused(name: str, names: set[str]) -> str:
    while name in names:
        name = f"{name}_"
    return name


def _sums_to_one(model: keras.Model) -> bool:
    """Whether the outputs for noise are probabilities: of layers that Keras does not have, this tells."""
    random = np.random.default_rng(0)
    tensors = [
        np.asarray(
            random.uniform(0, 255, (_NUM_IMAGES, *(side or _SIDE for side in tensor.shape[1:]))), "float32"
        )
        for tensor in model.inputs
    ]
    images = keras.tree.pack_sequence_as(model.input, tensors)
    outputs = keras.ops.convert_to_numpy(keras.ops.cast(model(images, training=False), "float32"))
    return bool((outputs >= 0).all() and np.allclose(outputs.sum(axis=-1), 1, rtol=0, atol=_TOLERANCE))
