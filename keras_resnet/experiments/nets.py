"""The nets of the experiments, for the images they will be trained on."""

import keras

from keras_resnet.data.pipeline import Pipeline
from keras_resnet.models import architectures
from keras_resnet.models.blocks import dense_block
from keras_resnet.models.deep import room_to_recurse
from keras_resnet.models.layers import MeanSubtraction, dense_bn, he_normal
from keras_resnet.training.classifier import build_classifier
from keras_resnet.weights.layouts import MEAN_LAYER

_WIDTH = 64


def convolutional_net(
    depth: int, shortcut: str | None, images: Pipeline, policy: str | None = None
) -> keras.Model:
    """The CIFAR net of that depth behind a subtraction of the images' mean (section 4.2).

    Args:
        shortcut: option "A", "B" or "C", or None for the plain net.
        policy: as of `build_classifier`.

    Raises:
        ValueError: the depth is not 6n+2.
    """
    view, source = images.view, images.source
    mean = images.mean(per_pixel=view.whole)
    net = architectures.cifar(depth, shortcut)
    return build_classifier(net, view.size, source.channels, len(source.class_names), mean, policy)


def dense_net(depth: int, shortcut: str | None, images: Pipeline) -> keras.Model:
    """Fully connected layers of 64 units: the first, blocks of two, the classifier (section 3.2).

    Args:
        depth: 2n+2 for n blocks.
        shortcut: as of `dense_block`.

    Raises:
        ValueError: the depth is not 2n+2.
    """
    if depth < 4 or depth % 2:
        raise ValueError(f"depth must be 2n+2 (4, 6, 8, ...) for a net of dense blocks; got {depth}.")
    shape = (images.view.size, images.view.size, images.source.channels)
    image = keras.Input(shape, dtype="uint8", name="image")
    subtraction = MeanSubtraction(shape, name=MEAN_LAYER)
    x = keras.layers.Flatten(name="flatten")(subtraction(image))
    subtraction.mean.assign(images.mean(per_pixel=True))
    x = dense_bn(x, _WIDTH, name="dense1")
    for block in range(1, (depth - 2) // 2 + 1):
        x = dense_block(x, _WIDTH, shortcut=shortcut, name=f"dense2_block{block}")
    classes = len(images.source.class_names)
    x = keras.layers.Dense(classes, "softmax", kernel_initializer=he_normal(), name="predictions")(x)
    with room_to_recurse():
        return keras.Model(image, x, name=f"dense_{'plain' if shortcut is None else 'residual'}{depth}")
