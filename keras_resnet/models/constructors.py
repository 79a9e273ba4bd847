"""The paper's networks and later ones as functions with the signature of keras.applications.

All arguments that are not described here, shapes and errors are those of `ResNet`.
"""

import dataclasses
import inspect
from collections.abc import Callable
from typing import Any, ParamSpec

import keras

from keras_resnet.models.architectures import (
    IMAGENET,
    IMAGENET_PLAIN,
    NAMED,
    Architecture,
    cifar_architecture,
)
from keras_resnet.models.infer import Weights, resolve_variant
from keras_resnet.models.resnet import Activation, ResNet, Shape

_P = ParamSpec("_P")


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
    return _residual(
        IMAGENET[50],
        include_top,
        weights,
        input_tensor,
        input_shape,
        pooling,
        classes,
        classifier_activation,
        name,
        shortcut=shortcut,
        variant=variant,
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
    shortcut: str | None = "auto",
    block: str | None = None,
    preactivation: bool = False,
    output_stride: int | None = None,
    drop_path: float = 0.0,
    zero_gamma: bool = False,
) -> keras.Model:
    """Builds the residual network of 6n+2 layers for small images (He et al. 2015, section 4.2).

    See `ResNet` for the other arguments, shapes and errors. The smallest image is 4x4.

    Args:
        depth: 6n+2: 8, 14, 20, 26, 32, 38, 44, 50, 56, ..., 110, ...; of bottlenecks 9n+2: ..., 164, 1001.
        shortcut: option "A", "B" or "C"; None for the plain network; "auto": A, and B for bottlenecks, as in
            the papers.
        block: "basic" or "bottleneck"; by default basic, but for pre-activation networks of 9n+2 layers from
            164 on.
        preactivation: batch norm and ReLU come before the convolutions (He et al. 2016).

    Raises:
        UserError: there is no such network of this depth; and as for `ResNet`.
    """
    architecture = cifar_architecture(depth, shortcut, block=block, preactivation=preactivation)
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


def _residual(
    architecture: Architecture,
    include_top: bool,
    weights: Weights,
    *args: Any,
    shortcut: str | None,
    variant: str | None,
    **kwargs: Any,
) -> keras.Model:
    chosen = dataclasses.replace(architecture, shortcut=shortcut)
    return ResNet(resolve_variant(chosen, weights, variant), include_top, weights, *args, **kwargs)


def _like_resnet50(
    build: Callable[_P, keras.Model], title: str, description: str
) -> Callable[_P, keras.Model]:
    """Returns the function of this name with the arguments of another, for the architecture of that name.

    Args:
        build: `ResNet50`.
    """
    name = title.lower().replace("wideresnet", "wide_resnet")
    architecture = NAMED[name]
    signature = inspect.signature(build)
    parameters = [
        parameter.replace(default=name) if parameter.name == "name" else parameter
        for parameter in signature.parameters.values()
    ]
    signature = signature.replace(parameters=parameters)

    def constructor(*args: _P.args, **kwargs: _P.kwargs) -> keras.Model:
        bound = signature.bind(*args, **kwargs)
        bound.apply_defaults()
        return _residual(architecture, **bound.arguments)

    # As if each were written down, so that help, messages and pickle know it.
    constructor.__name__ = constructor.__qualname__ = title
    constructor.__signature__ = signature  # type: ignore[attr-defined]
    blocks = ", ".join(map(str, architecture.blocks_per_stage))
    constructor.__doc__ = (
        f"Builds {description}: {blocks} {architecture.block} blocks.\n\n"
        f"See `ResNet50` for the arguments; by default it is in variant {architecture.variant}."
    )
    return constructor


_TABLE_1 = "(He et al. 2015, Table 1)"
ResNet18 = _like_resnet50(ResNet50, "ResNet18", f"ResNet-18 {_TABLE_1}")
ResNet34 = _like_resnet50(ResNet50, "ResNet34", f"ResNet-34 {_TABLE_1}")
ResNet101 = _like_resnet50(ResNet50, "ResNet101", f"ResNet-101 {_TABLE_1}")
ResNet152 = _like_resnet50(ResNet50, "ResNet152", f"ResNet-152 {_TABLE_1}")
_V2 = "pre-activation networks of keras.applications (He et al. 2016)"
ResNet50V2 = _like_resnet50(ResNet50, "ResNet50V2", f"ResNet-50 of the {_V2}")
ResNet101V2 = _like_resnet50(ResNet50, "ResNet101V2", f"ResNet-101 of the {_V2}")
ResNet152V2 = _like_resnet50(ResNet50, "ResNet152V2", f"ResNet-152 of the {_V2}")
_X = "groups in its 3x3 convolutions (Xie et al. 2017)"
ResNeXt50_32x4d = _like_resnet50(ResNet50, "ResNeXt50_32x4d", f"ResNeXt-50 with 32 {_X}")
ResNeXt101_32x8d = _like_resnet50(ResNet50, "ResNeXt101_32x8d", f"ResNeXt-101 with 32 {_X}")
ResNeXt101_64x4d = _like_resnet50(ResNet50, "ResNeXt101_64x4d", f"ResNeXt-101 with 64 {_X}")
_WIDE = "3x3 convolutions of twice the filters (Zagoruyko and Komodakis 2016)"
WideResNet50_2 = _like_resnet50(ResNet50, "WideResNet50_2", f"ResNet-50 with {_WIDE}")
WideResNet101_2 = _like_resnet50(ResNet50, "WideResNet101_2", f"ResNet-101 with {_WIDE}")
_D = "a stem of three 3x3 convolutions and averages before its projections (He T. et al. 2019)"
ResNet18D = _like_resnet50(ResNet50, "ResNet18D", f"ResNet-18 with {_D}")
ResNet34D = _like_resnet50(ResNet50, "ResNet34D", f"ResNet-34 with {_D}")
ResNet50D = _like_resnet50(ResNet50, "ResNet50D", f"ResNet-50 with {_D}")
ResNet101D = _like_resnet50(ResNet50, "ResNet101D", f"ResNet-101 with {_D}")
ResNet152D = _like_resnet50(ResNet50, "ResNet152D", f"ResNet-152 with {_D}")
