"""The models of the experiments, for the images they are trained on."""

import keras

from keras_resnet._utils.recursion import raised_recursion_limit
from keras_resnet.data.pipeline import Pipeline
from keras_resnet.models.architectures import cifar_architecture
from keras_resnet.models.blocks import dense_block
from keras_resnet.models.classifier import build_classifier
from keras_resnet.models.layers import MeanSubtraction, dense_bn, he_normal
from keras_resnet.weights.names import MEAN_LAYER

_WIDTH = 64


def convolutional_model(
    depth: int, shortcut: str | None, pipeline: Pipeline, policy: str | None = None
) -> keras.Model:
    """Builds the CIFAR network of a depth behind the subtraction of the images' mean (section 4.2).

    Args:
        shortcut: option "A", "B" or "C", or None for the plain network.
        policy: as of `build_classifier`.

    Raises:
        UserError: the depth is not 6n+2.
    """
    spec = pipeline.transform.spec
    mean = pipeline.mean(per_pixel=spec.crop_mode == "squash")
    shape = (spec.size, spec.size, spec.channels)
    classes = len(pipeline.dataset.class_names)
    return build_classifier(cifar_architecture(depth, shortcut), shape, classes, mean, policy)


def dense_model(depth: int, shortcut: str | None, pipeline: Pipeline) -> keras.Model:
    """Builds fully connected layers of 64 units: the first, blocks of two, the classifier (section 3.2).

    Args:
        depth: 2n+2 for n blocks.
        shortcut: as of `dense_block`.

    Raises:
        ValueError: the depth is not 2n+2.
    """
    if depth < 4 or depth % 2:
        raise ValueError(f"depth must be 2n+2 (4, 6, 8, ...) for a network of dense blocks; got {depth}.")
    spec = pipeline.transform.spec
    shape = (spec.size, spec.size, spec.channels)
    image = keras.Input(shape, dtype="uint8", name="image")
    subtraction = MeanSubtraction(shape, name=MEAN_LAYER)
    x = keras.layers.Flatten(name="flatten")(subtraction(image))
    subtraction.mean.assign(pipeline.mean(per_pixel=True))
    x = dense_bn(x, _WIDTH, name="dense1")
    for block in range(1, (depth - 2) // 2 + 1):
        x = dense_block(x, _WIDTH, shortcut=shortcut, name=f"dense2_block{block}")
    classes = len(pipeline.dataset.class_names)
    x = keras.layers.Dense(classes, "softmax", kernel_initializer=he_normal(), name="predictions")(x)
    with raised_recursion_limit():
        return keras.Model(image, x, name=f"dense_{'plain' if shortcut is None else 'residual'}{depth}")
