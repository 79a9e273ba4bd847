"""Compares our models with torchvision's on any Keras backend; imported by tests, or run as a script.

KERAS_BACKEND=torch python tests/golden/parity_with_torchvision.py
"""

import pathlib

import numpy as np
import torchvision_weights

from keras_resnet.models import constructors

GOLDEN = pathlib.Path(__file__).with_name("torchvision.npz")
MODELS = {18: {}, 50: {"variant": "v1.5"}}
SIZES = ((64, 96), (65, 47))


def torchvision_key(layer: str, variable: str) -> str:
    """conv2_block1_0_bn, gamma -> layer1.0.downsample.1.weight."""
    variable = {
        "kernel": "weight",
        "gamma": "weight",
        "beta": "bias",
        "bias": "bias",
        "moving_mean": "running_mean",
        "moving_variance": "running_var",
    }[variable]
    if layer == "predictions":
        return f"fc.{variable}"
    if layer.startswith("conv1_"):
        return f"{layer[6:]}1.{variable}"
    stage, block, number, kind = layer.split("_")
    place = f"{kind}{number}" if number != "0" else {"conv": "downsample.0", "bn": "downsample.1"}[kind]
    return f"layer{int(stage[4:]) - 1}.{int(block[5:]) - 1}.{place}.{variable}"


def fill(model):
    """Gives a model the weights that the golden models had."""
    for layer in model.layers:
        for variable in layer.weights:
            key = torchvision_key(layer.name, variable.name)
            shape = tuple(variable.shape)
            if len(shape) == 4:  # ours HWIO, theirs OIHW
                value = torchvision_weights.make(key, (shape[3], shape[2], *shape[:2])).transpose(2, 3, 1, 0)
            elif len(shape) == 2:
                value = torchvision_weights.make(key, shape[::-1]).T
            else:
                value = torchvision_weights.make(key, shape)
            variable.assign(value)


def largest_difference(depth: int, **options) -> float:
    """Returns the largest difference of a logit from torchvision's, over all sizes."""
    golden = np.load(GOLDEN, allow_pickle=False)
    constructor = getattr(constructors, f"ResNet{depth}")
    model = constructor(classifier_activation=None, input_shape=(None, None, 3), **options)
    fill(model)
    return max(
        float(abs(logits - golden[f"resnet{depth}_{height}x{width}"]).max())
        for height, width in SIZES
        for logits in [model.predict(torchvision_weights.images(height, width), verbose=0)]
    )


if __name__ == "__main__":
    for model_depth, model_options in MODELS.items():
        print(model_depth, largest_difference(model_depth, **model_options))
