"""Make keras_hub.npz: what KerasHub's networks answer, and how their weights are called in a file.

    python tests/golden/make_keras_hub.py

in an environment with KerasHub. The file says with which version it was made. Weights are random, made from
their names, which are in the file with their shapes.
"""

import pathlib

import keras_hub
import numpy as np
from torchvision_weights import images, make_layer

SIZE = (64, 47)
# Channels of the pooled features that are kept.
KEPT = 100
# Blocks a stage, kind of block, whether batch norm comes first.
NETWORKS = {
    "resnet18": ((2, 2, 2, 2), "basic_block", False),
    "resnet50v2": ((3, 4, 6, 3), "bottleneck_block", True),
    "resnet50d": ((3, 4, 6, 3), "bottleneck_block_vd", False),
}


def main():
    golden = {"versions": f"keras_hub {keras_hub.__version__}"}
    for name, (blocks, kind, preactivation) in NETWORKS.items():
        deep = kind.endswith("vd")
        net = keras_hub.models.ResNetBackbone(
            input_conv_filters=[32, 32, 64] if deep else [64],
            input_conv_kernel_sizes=[3, 3, 3] if deep else [7],
            stackwise_num_filters=[64, 128, 256, 512],
            stackwise_num_blocks=list(blocks),
            stackwise_num_strides=[1, 2, 2, 2],
            block_type=kind,
            use_pre_activation=preactivation,
            image_shape=(*SIZE, 3),
        )
        layers = [layer for layer in net.layers if layer.weights]
        for layer in layers:
            layer.set_weights(make_layer(layer.name, [tuple(weight.shape) for weight in layer.weights]))
        golden[f"{name}_layers"] = np.array([layer.name for layer in layers])
        golden[f"{name}_shapes"] = np.array(
            [(len(layer.weights), *_four(layer.weights[0].shape)) for layer in layers]
        )
        golden[f"{name}_features"] = net.predict(images(*SIZE)).mean((1, 2))[:, :KEPT]
    np.savez_compressed(pathlib.Path(__file__).with_name("keras_hub.npz"), **golden)
    for name, value in golden.items():
        print(name, value if np.ndim(value) == 0 else np.shape(value))


def _four(shape):
    return (*shape, *[0] * (4 - len(shape)))


if __name__ == "__main__":
    main()
