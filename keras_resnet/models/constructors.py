"""The paper's networks as functions with the signature of keras.applications.

All arguments that are not described here, shapes and errors are those of `ResNet`.
"""

import dataclasses

import keras

from keras_resnet.models.architectures import IMAGENET, IMAGENET_PLAIN, Architecture, cifar_architecture
from keras_resnet.models.infer import Weights, resolve_variant
from keras_resnet.models.resnet import Activation, ResNet, Shape


def ResNet18(
    include_top: bool = True,
    weights: Weights = None,
    input_tensor: keras.KerasTensor | None = None,
    input_shape: Shape = None,
    pooling: str | None = None,
    classes: int = 1000,
    classifier_activation: Activation = "softmax",
    name: str | None = "resnet18",
    *,
    shortcut: str | None = "B",
    variant: str | None = None,
    output_stride: int | None = None,
    drop_path: float = 0.0,
    zero_gamma: bool = False,
) -> keras.Model:
    """Builds ResNet-18: 2, 2, 2, 2 basic blocks (He et al. 2015, Table 1).

    A drop-in for keras.applications; see `ResNet` for the other arguments, shapes and errors.

    Args:
        shortcut: option "A" (zero-padding), "B" (projection where the dimensions change) or "C" (projection
            everywhere), section 3.3; None for the plain network.
        variant: where a bottleneck has its stride: "v1", the paper's and keras.applications', or "v1.5",
            torchvision's and timm's; by default that of the weights, and "v1" without any. Basic blocks are
            the same in both.
    """
    architecture = _residual(18, shortcut, weights, variant)
    return ResNet(
        architecture,
        include_top,
        weights,
        input_tensor,
        input_shape,
        pooling,
        classes,
        classifier_activation,
        name,
        output_stride=output_stride,
        drop_path=drop_path,
        zero_gamma=zero_gamma,
    )


def ResNet34(
    include_top: bool = True,
    weights: Weights = None,
    input_tensor: keras.KerasTensor | None = None,
    input_shape: Shape = None,
    pooling: str | None = None,
    classes: int = 1000,
    classifier_activation: Activation = "softmax",
    name: str | None = "resnet34",
    *,
    shortcut: str | None = "B",
    variant: str | None = None,
    output_stride: int | None = None,
    drop_path: float = 0.0,
    zero_gamma: bool = False,
) -> keras.Model:
    """Builds ResNet-34: 3, 4, 6, 3 basic blocks (He et al. 2015, Table 1).

    A drop-in for keras.applications; see `ResNet` for the other arguments, shapes and errors.

    Args:
        shortcut: option "A" (zero-padding), "B" (projection where the dimensions change) or "C" (projection
            everywhere), section 3.3; None for the plain network.
        variant: where a bottleneck has its stride: "v1", the paper's and keras.applications', or "v1.5",
            torchvision's and timm's; by default that of the weights, and "v1" without any. Basic blocks are
            the same in both.
    """
    architecture = _residual(34, shortcut, weights, variant)
    return ResNet(
        architecture,
        include_top,
        weights,
        input_tensor,
        input_shape,
        pooling,
        classes,
        classifier_activation,
        name,
        output_stride=output_stride,
        drop_path=drop_path,
        zero_gamma=zero_gamma,
    )


def ResNet50(
    include_top: bool = True,
    weights: Weights = None,
    input_tensor: keras.KerasTensor | None = None,
    input_shape: Shape = None,
    pooling: str | None = None,
    classes: int = 1000,
    classifier_activation: Activation = "softmax",
    name: str | None = "resnet50",
    *,
    shortcut: str | None = "B",
    variant: str | None = None,
    output_stride: int | None = None,
    drop_path: float = 0.0,
    zero_gamma: bool = False,
) -> keras.Model:
    """Builds ResNet-50: 3, 4, 6, 3 bottleneck blocks (He et al. 2015, Table 1).

    A drop-in for keras.applications; see `ResNet` for the other arguments, shapes and errors.

    Args:
        shortcut: option "A" (zero-padding), "B" (projection where the dimensions change) or "C" (projection
            everywhere), section 3.3; None for the plain network.
        variant: where a bottleneck has its stride: "v1", the paper's and keras.applications', or "v1.5",
            torchvision's and timm's; by default that of the weights, and "v1" without any. Basic blocks are
            the same in both.
    """
    architecture = _residual(50, shortcut, weights, variant)
    return ResNet(
        architecture,
        include_top,
        weights,
        input_tensor,
        input_shape,
        pooling,
        classes,
        classifier_activation,
        name,
        output_stride=output_stride,
        drop_path=drop_path,
        zero_gamma=zero_gamma,
    )


def ResNet101(
    include_top: bool = True,
    weights: Weights = None,
    input_tensor: keras.KerasTensor | None = None,
    input_shape: Shape = None,
    pooling: str | None = None,
    classes: int = 1000,
    classifier_activation: Activation = "softmax",
    name: str | None = "resnet101",
    *,
    shortcut: str | None = "B",
    variant: str | None = None,
    output_stride: int | None = None,
    drop_path: float = 0.0,
    zero_gamma: bool = False,
) -> keras.Model:
    """Builds ResNet-101: 3, 4, 23, 3 bottleneck blocks (He et al. 2015, Table 1).

    A drop-in for keras.applications; see `ResNet` for the other arguments, shapes and errors.

    Args:
        shortcut: option "A" (zero-padding), "B" (projection where the dimensions change) or "C" (projection
            everywhere), section 3.3; None for the plain network.
        variant: where a bottleneck has its stride: "v1", the paper's and keras.applications', or "v1.5",
            torchvision's and timm's; by default that of the weights, and "v1" without any. Basic blocks are
            the same in both.
    """
    architecture = _residual(101, shortcut, weights, variant)
    return ResNet(
        architecture,
        include_top,
        weights,
        input_tensor,
        input_shape,
        pooling,
        classes,
        classifier_activation,
        name,
        output_stride=output_stride,
        drop_path=drop_path,
        zero_gamma=zero_gamma,
    )


def ResNet152(
    include_top: bool = True,
    weights: Weights = None,
    input_tensor: keras.KerasTensor | None = None,
    input_shape: Shape = None,
    pooling: str | None = None,
    classes: int = 1000,
    classifier_activation: Activation = "softmax",
    name: str | None = "resnet152",
    *,
    shortcut: str | None = "B",
    variant: str | None = None,
    output_stride: int | None = None,
    drop_path: float = 0.0,
    zero_gamma: bool = False,
) -> keras.Model:
    """Builds ResNet-152: 3, 8, 36, 3 bottleneck blocks (He et al. 2015, Table 1).

    A drop-in for keras.applications; see `ResNet` for the other arguments, shapes and errors.

    Args:
        shortcut: option "A" (zero-padding), "B" (projection where the dimensions change) or "C" (projection
            everywhere), section 3.3; None for the plain network.
        variant: where a bottleneck has its stride: "v1", the paper's and keras.applications', or "v1.5",
            torchvision's and timm's; by default that of the weights, and "v1" without any. Basic blocks are
            the same in both.
    """
    architecture = _residual(152, shortcut, weights, variant)
    return ResNet(
        architecture,
        include_top,
        weights,
        input_tensor,
        input_shape,
        pooling,
        classes,
        classifier_activation,
        name,
        output_stride=output_stride,
        drop_path=drop_path,
        zero_gamma=zero_gamma,
    )


def PlainNet18(
    include_top: bool = True,
    weights: Weights = None,
    input_tensor: keras.KerasTensor | None = None,
    input_shape: Shape = None,
    pooling: str | None = None,
    classes: int = 1000,
    classifier_activation: Activation = "softmax",
    name: str | None = "plainnet18",
    *,
    output_stride: int | None = None,
    drop_path: float = 0.0,
    zero_gamma: bool = False,
) -> keras.Model:
    """Builds the plain network of 18 layers, ResNet-18 without shortcuts (He et al. 2015, section 3.3).

    See `ResNet` for arguments, shapes and errors.
    """
    architecture = IMAGENET_PLAIN[18]
    return ResNet(
        architecture,
        include_top,
        weights,
        input_tensor,
        input_shape,
        pooling,
        classes,
        classifier_activation,
        name,
        output_stride=output_stride,
        drop_path=drop_path,
        zero_gamma=zero_gamma,
    )


def PlainNet34(
    include_top: bool = True,
    weights: Weights = None,
    input_tensor: keras.KerasTensor | None = None,
    input_shape: Shape = None,
    pooling: str | None = None,
    classes: int = 1000,
    classifier_activation: Activation = "softmax",
    name: str | None = "plainnet34",
    *,
    output_stride: int | None = None,
    drop_path: float = 0.0,
    zero_gamma: bool = False,
) -> keras.Model:
    """Builds the plain network of 34 layers, ResNet-34 without shortcuts (He et al. 2015, section 3.3).

    See `ResNet` for arguments, shapes and errors.
    """
    architecture = IMAGENET_PLAIN[34]
    return ResNet(
        architecture,
        include_top,
        weights,
        input_tensor,
        input_shape,
        pooling,
        classes,
        classifier_activation,
        name,
        output_stride=output_stride,
        drop_path=drop_path,
        zero_gamma=zero_gamma,
    )


def CifarResNet(
    depth: int,
    include_top: bool = True,
    weights: Weights = None,
    input_tensor: keras.KerasTensor | None = None,
    input_shape: Shape = None,
    pooling: str | None = None,
    classes: int = 10,
    classifier_activation: Activation = "softmax",
    name: str | None = None,
    *,
    shortcut: str | None = "A",
    output_stride: int | None = None,
    drop_path: float = 0.0,
    zero_gamma: bool = False,
) -> keras.Model:
    """Builds the residual network of 6n+2 layers for small images (He et al. 2015, section 4.2).

    See `ResNet` for the other arguments, shapes and errors. The smallest image is 4x4.

    Args:
        depth: 8, 14, 20, 26, 32, 38, 44, 50, 56, ..., 110, ...
        shortcut: option "A", the paper's choice here, "B" or "C"; None for the plain network.

    Raises:
        UserError: the depth is not 6n+2; and as for `ResNet`.
    """
    architecture = cifar_architecture(depth, shortcut)
    return ResNet(
        architecture,
        include_top,
        weights,
        input_tensor,
        input_shape,
        pooling,
        classes,
        classifier_activation,
        name,
        output_stride=output_stride,
        drop_path=drop_path,
        zero_gamma=zero_gamma,
    )


def CifarPlainNet(
    depth: int,
    include_top: bool = True,
    weights: Weights = None,
    input_tensor: keras.KerasTensor | None = None,
    input_shape: Shape = None,
    pooling: str | None = None,
    classes: int = 10,
    classifier_activation: Activation = "softmax",
    name: str | None = None,
    *,
    output_stride: int | None = None,
    drop_path: float = 0.0,
    zero_gamma: bool = False,
) -> keras.Model:
    """Builds `CifarResNet` without shortcuts, the network that degrades with depth (section 4.2, Fig. 6)."""
    architecture = cifar_architecture(depth, shortcut=None)
    return ResNet(
        architecture,
        include_top,
        weights,
        input_tensor,
        input_shape,
        pooling,
        classes,
        classifier_activation,
        name,
        output_stride=output_stride,
        drop_path=drop_path,
        zero_gamma=zero_gamma,
    )


def _residual(depth: int, shortcut: str | None, weights: Weights, variant: str | None) -> Architecture:
    architecture = dataclasses.replace(IMAGENET[depth], shortcut=shortcut)
    return resolve_variant(architecture, weights, variant)
