"""Stem, stages, head: one loop for every net, and the constructors in keras.applications' signature."""

import dataclasses
import inspect
from collections.abc import Callable
from typing import Any

import keras
import numpy as np

from keras_resnet.models import architectures, surgery
from keras_resnet.models.architectures import Architecture
from keras_resnet.models.blocks import basic_block, bottleneck_block
from keras_resnet.models.deep import room_to_recurse
from keras_resnet.models.layers import conv_bn, he_normal
from keras_resnet.models.origin import Weights, check_weights, suited
from keras_resnet.models.pretrained import load_weights
from keras_resnet.models.signatures import (
    Activation,
    CifarPlain,
    CifarResidualNet,
    PlainNet,
    ResidualNet,
    Shape,
)


def ResNet(
    architecture: Architecture,
    include_top: bool = True,
    weights: Weights = None,
    input_tensor: keras.KerasTensor | None = None,
    input_shape: Shape = None,
    pooling: str | None = None,
    classes: int = 1000,
    classifier_activation: Activation = "softmax",
    name: str | None = None,
    *,
    output_stride: int | None = None,
    drop_path: float = 0.0,
    zero_gamma: bool = False,
) -> keras.Model:
    """Any net of the paper's kind: a flat Functional model with keras.applications' layer names.

    Shapes: (N, H, W, C) -> (N, classes) with the top; without it (N, ceil(H/s), ceil(W/s), filters), s being
    the `output_stride`, or (N, filters) with a pooling. The input is what the first convolution sees:
    normalised images.

    Args:
        architecture: stages, block, stem, shortcut option and variant.
        include_top: with the global average pool and the classifier.
        weights: None for He initialisation; the name of public weights, which `keras_resnet.weights.list()`
            lists ("imagenet": keras.applications', or torchvision's where it has none); or the path
            of a file: `.weights.h5` and `.keras` of this package, `.h5` of keras.applications, `.safetensors`
            and `.pth` of torchvision or timm. All of them, or none: with other `classes` than they have, the
            head begins anew, and without the top it is left out. A first convolution of another number of
            channels gets the sum of the kernel over its colours, divided by that number.
        input_tensor: Keras tensor to build upon.
        input_shape: shape of one image; height and width may be None, with the top as well. By default
            the images the architecture was made for, and any size without the top.
        pooling: without the top: None for the last feature map, "avg" or "max" for a global pool of it.
        classes: number of classes of the top.
        classifier_activation: activation of the top, None for logits. It is computed in float32 under a
            mixed-precision policy.
        name: name of the model; by default the architecture's.
        output_stride: how many pixels wide one position of the last feature map is: 8, 16 or 32 for ImageNet
            nets, 1, 2 or 4 for CIFAR nets; by default `architecture.total_stride`. Stages that would go
            beyond it keep stride 1 and dilate their 3x3 convolutions instead. Weights of one fit the other,
            and at the positions that the default has, both give the same features.
        drop_path: stochastic depth (Huang et al. 2016): probability that an image of a training batch skips
            the residual branch of the last block, growing linearly from 0 at the first. Branches that stay
            are scaled by what is missing, so that inference is as without it.
        zero_gamma: a new net's residual branches begin at zero: gamma of their last BN does (Goyal et al.
            2017, section 5.1).

    Raises:
        ValueError: weights that do not fit, are damaged, cannot be downloaded, or were trained in the other
            variant; and as keras.applications does: unknown `weights`, `pooling` or activation for given
            weights, `input_shape` that is not three numbers or is smaller than the net's total stride
            (32 for ImageNet nets). An output stride that the net cannot have, drop_path outside [0, 1);
            drop_path or zero_gamma of a plain net, zero_gamma of given weights.
    """
    _check_weights(weights, architecture, classifier_activation, include_top)
    _check_branches(architecture, weights, drop_path, zero_gamma)
    if pooling not in (None, "avg", "max"):
        raise ValueError(f"`pooling` must be None, 'avg' or 'max'; got {pooling!r}.")
    output_stride = _output_stride(output_stride, architecture)
    if input_tensor is None:
        inputs = x = keras.Input(_input_shape(input_shape, architecture, include_top))
    elif keras.utils.is_keras_tensor(input_tensor):
        x = input_tensor
        sources = keras.utils.get_source_inputs(x)
        inputs = sources[0] if len(sources) == 1 else sources
    else:
        raise ValueError(
            f"`input_tensor` must be a Keras tensor, as keras.Input() gives one; got "
            f"{type(input_tensor).__name__}."
        )

    x = _stem(x, architecture)
    blocks = _plan(architecture, output_stride, drop_path)
    for block, options in blocks.items():
        x = _block(x, architecture, name=block, **options)
    if include_top:
        x = keras.layers.GlobalAveragePooling2D(name="avg_pool")(x)
        x = _classifier(x, classes, classifier_activation)
    elif pooling is not None:
        pool = {"avg": keras.layers.GlobalAveragePooling2D, "max": keras.layers.GlobalMaxPooling2D}[pooling]
        x = pool(name=f"{pooling}_pool")(x)

    with room_to_recurse():
        model = keras.Model(inputs, x, name=name or architecture.name)
    if zero_gamma:
        surgery.zero_gamma(model, blocks)
    if weights is not None:
        load_weights(model, weights, architecture)
    return model


def _plan(architecture: Architecture, output_stride: int, drop_path: float) -> dict[str, dict]:
    """What each block is made with, beside what all have from the architecture; by name, in order."""
    blocks = {}
    reached = architecture.total_stride // 2 ** (len(architecture.stages) - 1)
    dilation = 1
    # From the last block back: it has the rate named, even where it is the only one.
    drops = np.linspace(drop_path, 0, sum(architecture.blocks_per_stage)).tolist()
    for stage, count, filters in zip(
        architecture.stages, architecture.blocks_per_stage, architecture.filters, strict=True
    ):
        for block in range(1, count + 1):
            stride = 2 if block == 1 and stage != architecture.stages[0] else 1
            input_dilation = dilation
            if reached * stride > output_stride:
                stride, dilation = 1, dilation * stride
            reached *= stride
            blocks[f"{stage}_block{block}"] = {
                "filters": filters,
                "stride": stride,
                "dilation": dilation,
                "input_dilation": input_dilation,
                "drop_path": drops.pop(),
            }
    return blocks


def _stem(x: keras.KerasTensor, architecture: Architecture) -> keras.KerasTensor:
    filters = architecture.filters[0]
    if architecture.stem == "cifar":
        return conv_bn(x, filters, 3, name="conv1")
    x = conv_bn(x, filters, 7, stride=2, name="conv1")
    # Zeros pad as well as minus infinity here: everything is behind a ReLU.
    x = keras.layers.ZeroPadding2D(1, name="pool1_pad")(x)
    return keras.layers.MaxPooling2D(3, strides=2, name="pool1_pool")(x)


def _block(x: keras.KerasTensor, architecture: Architecture, **options) -> keras.KerasTensor:
    if architecture.block == "basic":
        return basic_block(x, shortcut=architecture.shortcut, **options)
    return bottleneck_block(x, shortcut=architecture.shortcut, variant=architecture.variant, **options)


def _classifier(x: keras.KerasTensor, classes: int, activation: Activation) -> keras.KerasTensor:
    # A softmax over many classes in a half type loses what the loss needs; the layer is too small to
    # gain anything from one.
    half = keras.config.dtype_policy().compute_dtype in ("float16", "bfloat16")
    return keras.layers.Dense(
        classes,
        activation=activation,
        kernel_initializer=he_normal(),
        dtype="float32" if half else None,
        name="predictions",
    )(x)


def _input_shape(input_shape: Shape, architecture: Architecture, include_top: bool) -> tuple[int | None, ...]:
    first = keras.config.image_data_format() == "channels_first"
    if input_shape is None:
        size = (architecture.default_size if include_top else None,) * 2
        return (3, *size) if first else (*size, 3)
    shape = tuple(input_shape)
    if len(shape) != 3:
        raise ValueError(
            f"`input_shape` must be a tuple of three integers, as (224, 224, 3); got {input_shape}."
        )
    smallest = architecture.total_stride
    if any(side is not None and side < smallest for side in (shape[1:] if first else shape[:2])):
        raise ValueError(
            f"Input size must be at least {smallest}x{smallest} for {architecture.name}; "
            f"got input_shape={input_shape}."
        )
    if shape[0 if first else 2] is None:
        raise ValueError(f"The number of channels must be given; got input_shape={input_shape}.")
    return shape


def _check_weights(
    weights: Weights, architecture: Architecture, activation: Activation, include_top: bool
) -> None:
    if weights is None:
        return
    check_weights(weights, architecture)
    if include_top and keras.activations.get(activation) not in (
        keras.activations.softmax,
        keras.activations.linear,
    ):
        raise ValueError(
            "`classifier_activation` can only be None or 'softmax' when loading weights; "
            f"got classifier_activation={activation}."
        )


def _check_branches(architecture: Architecture, weights: Weights, drop_path: float, zero_gamma: bool) -> None:
    if not 0 <= drop_path < 1:
        raise ValueError(f"`drop_path` must be at least 0 and less than 1; got {drop_path}.")
    if zero_gamma and weights is not None:
        raise ValueError(f"`zero_gamma` is for new nets; leave it out with weights={weights}.")
    if architecture.shortcut is None and (drop_path or zero_gamma):
        option = "drop_path" if drop_path else "zero_gamma"
        raise ValueError(f"`{option}` is for nets with shortcuts; {architecture.name} has none here.")


def _output_stride(asked: int | None, architecture: Architecture) -> int:
    total = architecture.total_stride
    if asked is None:
        return total
    smallest = 1 if architecture.stem == "cifar" else min(8, total)
    accepted = [2**i for i in range(total.bit_length()) if 2**i >= smallest]
    if asked not in accepted:
        raise ValueError(
            f"`output_stride` must be one of {', '.join(map(str, accepted))} for {architecture.name}; "
            f"got {asked!r}."
        )
    return asked


def _constructor(name: str, doc: str, architecture: Callable[..., Architecture], defaults: dict) -> Any:
    """`ResNet` with the arguments of `architecture`, which makes one, in the place of its first.

    The signature is made of the two, so that no list of arguments is written twice: what `architecture` takes
    by position, what `ResNet` does, and the keyword-only ones of both.

    Args:
        architecture: takes `weights` first, for nets that follow them.
        defaults: those that differ from `ResNet`'s.
    """
    own = dict(list(inspect.signature(architecture).parameters.items())[1:])
    _, *rest = inspect.signature(ResNet).parameters.values()
    shared = (argument.replace(default=defaults.get(argument.name, argument.default)) for argument in rest)
    parameters = sorted([*own.values(), *shared], key=lambda argument: argument.kind)
    signature = inspect.Signature(parameters, return_annotation=keras.Model)

    def constructor(*args, **kwargs):
        bound = signature.bind(*args, **kwargs)
        bound.apply_defaults()
        chosen = {key: bound.arguments.pop(key) for key in own}
        net = architecture(bound.arguments["weights"], **chosen)
        return ResNet(net, **bound.arguments)

    constructor.__signature__ = signature  # type: ignore[attr-defined]
    constructor.__name__ = constructor.__qualname__ = name
    constructor.__doc__ = doc
    return constructor


def _residual(depth: int) -> ResidualNet:
    net = architectures.IMAGENET[depth]
    stages = ", ".join(map(str, net.blocks_per_stage))
    doc = f"""ResNet-{depth}: {stages} {net.block} blocks (He et al. 2015, Table 1).

    A drop-in for keras.applications; `ResNet` describes shapes, arguments and errors.

    Args:
        shortcut: option "A" (zero-padding), "B" (projection where dimensions change) or "C" (projection
            everywhere), section 3.3; None is the plain net.
        variant: "v1", the paper's and keras.applications', or "v1.5", torchvision's and timm's: where a
            bottleneck has its stride. Basic blocks are the same in both. By default that of the weights, and
            "v1" without any.
    """

    def architecture(
        weights: Weights, *, shortcut: str | None = "B", variant: str | None = None
    ) -> Architecture:
        return suited(dataclasses.replace(net, shortcut=shortcut), weights, variant)

    return _constructor(f"ResNet{depth}", doc, architecture, {"name": net.name})


def _plain(depth: int) -> PlainNet:
    net = architectures.IMAGENET_PLAIN[depth]
    doc = f"""Plain-{depth}: ResNet-{depth} without shortcuts (He et al. 2015, section 3.3).

    `ResNet` describes shapes, arguments and errors.
    """
    return _constructor(f"PlainNet{depth}", doc, lambda weights: net, {"name": net.name})


ResNet18 = _residual(18)
ResNet34 = _residual(34)
ResNet50 = _residual(50)
ResNet101 = _residual(101)
ResNet152 = _residual(152)
PlainNet18 = _plain(18)
PlainNet34 = _plain(34)


def _cifar(weights: Weights, depth: int, *, shortcut: str | None = "A") -> Architecture:
    return architectures.cifar(depth, shortcut)


def _cifar_plain(weights: Weights, depth: int) -> Architecture:
    return architectures.cifar(depth, shortcut=None)


CifarResNet: CifarResidualNet = _constructor(
    "CifarResNet",
    """The residual net of 6n+2 layers for small images (section 4.2): 20, 32, 44, 56, 110, ...

    `ResNet` describes shapes, arguments and errors. The smallest image is 4x4.

    Args:
        shortcut: option "A", the paper's here, "B" or "C"; None is the plain net.

    Raises:
        ValueError: the depth is not 6n+2; and as `ResNet`.
    """,
    _cifar,
    {"classes": 10},
)
CifarPlainNet: CifarPlain = _constructor(
    "CifarPlainNet",
    """`CifarResNet` without its shortcuts, the net that degrades with depth (section 4.2, Fig. 6).""",
    _cifar_plain,
    {"classes": 10},
)
