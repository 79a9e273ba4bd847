"""How strongly the layers of a trained model respond (section 4.2, Fig. 7)."""

import dataclasses
from collections.abc import Iterable

import keras
import numpy as np

from keras_resnet._utils.recursion import raised_recursion_limit
from keras_resnet.errors import UserError
from keras_resnet.models.graph import as_graph, calls


@dataclasses.dataclass(frozen=True)
class Response:
    """The response of one layer.

    Args:
        layer: name of the 3x3 convolution.
        std: standard deviation of its output behind BN and in front of the activation or addition, over
            all images, positions and channels.
    """

    layer: str
    std: float


def layer_responses(model: keras.Model, batches: Iterable[np.ndarray]) -> tuple[Response, ...]:
    """Measures the responses of a trained model's 3x3 layers, in their order (section 4.2, Fig. 7).

    Args:
        model: a flat Functional model with one input, in which BN follows each 3x3 convolution.
        batches: images prepared as for evaluation, (n, H, W, C) each.

    Raises:
        UserError: there are no images, or there is no 3x3 convolution with a BN.
    """
    graph = as_graph(model)
    steps = list(calls(graph)) if graph else []
    normalized = {
        id(call.input_tensors[0]): call
        for call in steps
        if isinstance(call.operation, keras.layers.BatchNormalization)
    }
    pairs = [
        (call.operation.name, normalized[id(call.outputs[0])].outputs[0])
        for call in steps
        if isinstance(call.operation, keras.layers.Conv2D)
        and tuple(call.operation.kernel_size) == (3, 3)
        and id(call.outputs[0]) in normalized
    ]
    if not pairs:
        raise UserError(
            "has no 3x3 convolution followed by batch normalization, as the models of this package have.",
            parameter="model",
            value=model.name,
        )
    with raised_recursion_limit():
        tapped = keras.Model(model.inputs, [output for _, output in pairs])
    sums, count = np.zeros((3, len(pairs))), 0
    for batch in batches:
        count += len(batch)
        for place, values in enumerate(keras.tree.flatten(tapped.predict_on_batch(batch))):
            values = np.asarray(values, "float64")
            sums[:, place] += (values.size, values.sum(), np.square(values).sum())
    if not count:
        raise UserError("must yield at least one image.", parameter="batches")
    size, total, squares = sums
    stds = np.sqrt(np.maximum(squares / size - np.square(total / size), 0))
    return tuple(Response(name, float(std)) for (name, _), std in zip(pairs, stds, strict=True))
