"""Feature maps at several scales, for detection and segmentation."""

from collections.abc import Collection

import keras

from keras_resnet._utils.recursion import raised_recursion_limit
from keras_resnet.errors import UserError
from keras_resnet.models.graph import as_graph, calls
from keras_resnet.weights.names import STEM, parse_layer_name


def feature_pyramid(model: keras.Model, levels: Collection[str] | None = None) -> keras.Model:
    """Returns a model whose outputs are the last feature maps of the stages, C1, C2, ... (Lin et al. 2017).

    It shares layers and weights with the original: training one trains the other.

    Shapes: (N, H, W, C) -> {"C2": (N, ceil(H/4), ceil(W/4), filters), ...}. The strides from C1 to C5 are 2,
    4, 8, 16 and 32 for ImageNet architectures; those from C1 to C4 are 1, 1, 2 and 4 for CIFAR architectures;
    none exceeds the model's `output_stride`. Those of a pre-activation network are sums, which nothing has
    activated yet; in variant v2, whose stages end in their stride, C2 and C3 have strides 8 and 16, C4 and C5
    have 32.

    Args:
        model: of this package, with or without a top, and with anything in front of its stem.
        levels: "C1" is the stem's convolution, before its max pool; "C2", ... are the stages conv2, ...; by
            default all there are. In the result they have the order of the stages.

    Raises:
        UserError: the model has no such level, or none at all.
    """
    tensors = {}
    graph = as_graph(model)
    for call in calls(graph) if graph else ():
        name = parse_layer_name(call.operation.name)
        if name and (name.kind == "out" or name.stage == STEM):
            tensors[f"C{name.stage_number}"] = call.outputs[0]  # a later layer of the same stage replaces it
    if not tensors:
        raise UserError(
            "has no layers named as this package names them, and so no levels.",
            parameter="model",
            value=model.name,
        )
    requested = tensors if levels is None else levels
    for level in requested:
        if level not in tensors:
            raise UserError(
                f"{model.name} has no such level; it has {', '.join(tensors)}.",
                parameter="levels",
                value=level,
            )
    outputs = {level: tensor for level, tensor in tensors.items() if level in requested}
    with raised_recursion_limit():
        return keras.Model(model.input, outputs, name=f"{model.name}_pyramid")
