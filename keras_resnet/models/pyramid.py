"""Feature maps at several scales, for detection and segmentation."""

import re
from collections.abc import Collection

import keras

from keras_resnet.models.deep import room_to_recurse

_BLOCK_OUTPUT = re.compile(r"conv(\d+)_block\d+_out")


def feature_pyramid(model: keras.Model, levels: Collection[str] | None = None) -> keras.Model:
    """The last feature map of each stage (Lin et al. 2017, section 3, calls them so).

    A model of the same layers and weights: train one, and the other is trained.

    Shapes: (N, H, W, C) -> {"C2": (N, ceil(H/4), ceil(W/4), filters), ...}: strides of 2, 4, 8, 16 and 32
    from C1 to C5 for ImageNet nets, of 1, 1, 2 and 4 from C1 to C4 for CIFAR nets; none beyond the net's
    `output_stride`.

    Args:
        model: a net called as this package's, with or without a top, and with anything in front of its stem.
        levels: "C1" is the stem's convolution, before its max pool, and "C2", ... the stages conv2, ...; by
            default all there are. In the result they come in the order of the stages.

    Raises:
        ValueError: the model has no such level, or none at all.
    """
    tensors = {}
    for layer in model.layers:
        if layer.name == "conv1_relu":
            tensors["C1"] = layer.output
        elif found := _BLOCK_OUTPUT.fullmatch(layer.name):
            tensors[f"C{found[1]}"] = layer.output  # the last of a stage stays
    if not tensors:
        raise ValueError(
            f"{model.name} has no layers called as this package's, and so no levels; give a net of it."
        )
    wanted = tensors if levels is None else levels
    for level in wanted:
        if level not in tensors:
            raise ValueError(f"{model.name} has no level {level!r}; there are {', '.join(tensors)}.")
    outputs = {level: tensor for level, tensor in tensors.items() if level in wanted}
    with room_to_recurse():
        return keras.Model(model.input, outputs, name=f"{model.name}_pyramid")
