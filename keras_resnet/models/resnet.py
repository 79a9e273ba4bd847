"""Builds any architecture: stem, stages, head."""

from collections.abc import Callable

import keras
import numpy as np

from keras_resnet._utils.recursion import raised_recursion_limit
from keras_resnet.errors import UserError
from keras_resnet.models import surgery
from keras_resnet.models.architectures import Architecture
from keras_resnet.models.blocks import basic_block, bottleneck_block
from keras_resnet.models.infer import Weights, check_weights
from keras_resnet.models.layers import bn, conv, conv_bn, he_normal
from keras_resnet.models.pretrained import load_weights
from keras_resnet.weights.names import HEAD, POST, block_name, stem_name

Activation = str | Callable | None
Shape = tuple[int | None, ...] | None


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
    """Builds a flat Functional model of an architecture, with keras.applications' layer names.

    Shapes: (N, H, W, C) -> (N, classes) with the top; without it (N, ceil(H/s), ceil(W/s), filters), where s
    is the `output_stride`, or (N, filters) with a pooling. The input is that of the first convolution:
    normalized images.

    Args:
        architecture: stages, block, stem, shortcut option and variant.
        include_top: whether to add the global average pool and the classifier.
        weights: None for He initialization; the name of public weights, as listed by
            `keras_resnet.weights.list_weights()` ("imagenet": keras.applications', or torchvision's where it
            has none); or the path of a file: `.weights.h5` and `.keras` of this package, those and `.h5` of
            keras.applications, `.safetensors` and `.pth` of torchvision or timm. All weights must fit, except
            that the head keeps its initial values for another number of `classes`, and is skipped without the
            top. A first convolution with another number of channels gets the sum of the kernel over its
            colors, divided by that number.
        input_tensor: Keras tensor to build upon.
        input_shape: shape of one image; height and width may be None, with the top as well. By default the
            images that the architecture was designed for, and any size without the top.
        pooling: without the top: None for the last feature map, "avg" or "max" for a global pool of it.
        classes: number of classes of the top.
        classifier_activation: activation of the top, None for logits. It is computed in float32 under a
            mixed-precision policy.
        name: of the model; by default the architecture's.
        output_stride: side in pixels of the image region per position of the last feature map: 8, 16 or 32
            for ImageNet architectures, 1, 2 or 4 for CIFAR; by default `architecture.total_stride`. Stages
            that would exceed it keep stride 1 and dilate their 3x3 convolutions instead. The weights are
            interchangeable, and at the positions of the default model both compute the same features.
        drop_path: stochastic depth (Huang et al. 2016): probability that an image of a training batch skips
            the residual branch of the last block; it grows linearly from 0 at the first block. Branches that
            are kept are scaled up accordingly, so that inference is not affected.
        zero_gamma: whether each residual branch of a new model starts at zero, by gamma of its last BN (Goyal
            et al. 2017, section 5.1).

    Raises:
        UserError: weights that do not fit, are damaged, cannot be downloaded, or were trained in the other
            variant; whatever keras.applications refuses: unknown `weights` or `pooling`, an activation other
            than softmax with weights, an `input_shape` that is not three numbers or is smaller than the total
            stride (32 for ImageNet architectures); an impossible output stride; drop_path outside [0, 1);
            drop_path or zero_gamma for a plain architecture; zero_gamma with weights.
    """
    _check_weights(weights, architecture, classifier_activation, include_top)
    _check_branches(architecture, weights, drop_path, zero_gamma)
    if pooling not in (None, "avg", "max"):
        raise UserError("must be None, avg or max.", parameter="pooling", value=pooling)
    output_stride = _output_stride(output_stride, architecture)
    if input_tensor is None:
        inputs = x = keras.Input(_input_shape(input_shape, architecture, include_top))
    elif keras.utils.is_keras_tensor(input_tensor):
        x = input_tensor
        sources = keras.utils.get_source_inputs(x)
        inputs = sources[0] if len(sources) == 1 else sources
    else:
        raise UserError(
            "must be a Keras tensor, as keras.Input() returns it.",
            parameter="input_tensor",
            value=type(input_tensor).__name__,
        )

    x = _stem(x, architecture)
    blocks = _plan(architecture, output_stride, drop_path)
    for block, options in blocks.items():
        x = _block(x, architecture, name=block, **options)
    if architecture.preactivation:
        x = bn(x, name=POST)
    if include_top:
        x = keras.layers.GlobalAveragePooling2D(name="avg_pool")(x)
        x = _classifier(x, classes, classifier_activation)
    elif pooling is not None:
        pool = {"avg": keras.layers.GlobalAveragePooling2D, "max": keras.layers.GlobalMaxPooling2D}[pooling]
        x = pool(name=f"{pooling}_pool")(x)

    model = _model(inputs, x, name or architecture.name)
    if zero_gamma:
        surgery.zero_gamma(model, blocks)
    if weights is not None:
        load_weights(model, weights, architecture)
    return model


def _model(inputs: object, outputs: keras.KerasTensor, name: str) -> keras.Model:
    try:
        with raised_recursion_limit():
            return keras.Model(inputs, outputs, name=name)
    except ValueError as error:
        if "names should be unique" not in str(error):
            raise
        raise UserError(
            "is computed by a network whose layers have the same names; build each of the two without it, "
            "with a `name` of its own, and call one on the output of the other.",
            parameter="input_tensor",
        ) from error


def _plan(architecture: Architecture, output_stride: int, drop_path: float) -> dict[str, dict]:
    """Returns the arguments of each block that differ from block to block, by its name, in order."""
    blocks: dict[str, dict] = {}
    reached = architecture.total_stride // 2 ** (len(architecture.stages) - 1)
    dilation = 1
    # Popped from the end, so that the last block gets the full rate even if it is the only one.
    rates = np.linspace(drop_path, 0, sum(architecture.blocks_per_stage)).tolist()
    preactivation = "both" if architecture.preactivation else None
    for stage, count, filters in zip(
        architecture.stages, architecture.blocks_per_stage, architecture.filters, strict=True
    ):
        strided = 1 if stage != architecture.stages[0] else None
        if architecture.variant == "v2":
            strided = count if stage != architecture.stages[-1] else None
        for block in range(1, count + 1):
            stride = 2 if block == strided else 1
            first_dilation = dilation
            if reached * stride > output_stride:
                stride, dilation = 1, dilation * stride
            reached *= stride
            blocks[block_name(stage, block)] = {
                "filters": filters,
                "stride": stride,
                "dilation": dilation,
                "first_dilation": first_dilation,
                "preactivation": preactivation,
                "drop_path": rates.pop(),
            }
            preactivation = "branch" if architecture.preactivation else None
    return blocks


def _stem(x: keras.KerasTensor, architecture: Architecture) -> keras.KerasTensor:
    filters = architecture.filters[0]
    # Filters, size and stride of each convolution.
    *inner, last = {
        "imagenet": [(filters, 7, 2)],
        "deep": [(filters // 2, 3, 2), (filters // 2, 3, 1), (filters, 3, 1)],
        "cifar": [(filters, 3, 1)],
    }[architecture.stem]
    for number, (width, size, stride) in enumerate(inner, 1):
        x = conv_bn(x, width, size, stride=stride, name=stem_name(number))
    width, size, stride = last
    is_v2 = architecture.variant == "v2"
    x = conv(x, width, size, stride=stride, use_bias=is_v2, name=stem_name(len(inner) + 1))
    if not architecture.preactivation:
        x = bn(x, name=stem_name(len(inner) + 1))
    if architecture.stem == "cifar":
        return x
    if architecture.preactivation and not is_v2:
        # Nothing was activated, so that zeros around it could be the largest. Keras has no layer that pads
        # by minus infinity, but for the pool of stride 1, of which the other takes every second position.
        x = keras.layers.MaxPooling2D(3, strides=1, padding="same", name="pool1_pool")(x)
        return keras.layers.MaxPooling2D(1, strides=2, name="pool1_stride")(x)
    # Zeros pad as well as minus infinity does, since a ReLU leaves nothing negative; keras.applications'
    # pre-activation networks have them without one.
    x = keras.layers.ZeroPadding2D(1, name="pool1_pad")(x)
    return keras.layers.MaxPooling2D(3, strides=2, name="pool1_pool")(x)


def _block(x: keras.KerasTensor, architecture: Architecture, *, filters: int, **options) -> keras.KerasTensor:
    options["shortcut"], options["projection"] = architecture.shortcut, architecture.projection
    width = architecture.width(filters)
    if architecture.block == "basic":
        return basic_block(x, width, **options)
    return bottleneck_block(
        x, filters, variant=architecture.variant, width=width, groups=architecture.groups, **options
    )


def _classifier(x: keras.KerasTensor, classes: int, activation: Activation) -> keras.KerasTensor:
    # A softmax over many classes in a half type loses the precision that the loss needs, and the layer is too
    # small to gain from one.
    half = keras.config.dtype_policy().compute_dtype in ("float16", "bfloat16")
    return keras.layers.Dense(
        classes,
        activation=activation,
        kernel_initializer=he_normal(),
        dtype="float32" if half else None,
        name=HEAD,
    )(x)


def _input_shape(input_shape: Shape, architecture: Architecture, include_top: bool) -> tuple[int | None, ...]:
    first = keras.config.image_data_format() == "channels_first"
    if input_shape is None:
        size = (architecture.default_size if include_top else None,) * 2
        return (3, *size) if first else (*size, 3)
    shape = tuple(input_shape)
    if len(shape) != 3:
        raise UserError(
            "`input_shape` must be a tuple of three integers, such as (224, 224, 3).",
            parameter="input_shape",
            value=shape,
        )
    smallest = architecture.total_stride
    if any(side is not None and side < smallest for side in (shape[1:] if first else shape[:2])):
        raise UserError(
            f"Input size must be at least {smallest}x{smallest} for {architecture.name}.",
            parameter="input_shape",
            value=shape,
        )
    if shape[0 if first else 2] is None:
        raise UserError("the number of channels is required.", parameter="input_shape", value=shape)
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
        raise UserError(
            "`classifier_activation` can only be None or 'softmax' when loading weights.",
            parameter="classifier_activation",
            value=activation,
        )


def _check_branches(architecture: Architecture, weights: Weights, drop_path: float, zero_gamma: bool) -> None:
    if not 0 <= drop_path < 1:
        raise UserError("must be at least 0 and less than 1.", parameter="drop_path", value=drop_path)
    if zero_gamma and weights is not None:
        raise UserError(
            f"is for new models; leave it out with weights={weights}.",
            parameter="zero_gamma",
            value=zero_gamma,
        )
    if architecture.shortcut is None and (drop_path or zero_gamma):
        parameter, value = ("drop_path", drop_path) if drop_path else ("zero_gamma", zero_gamma)
        raise UserError(
            f"is for architectures with shortcuts, and this {architecture.name} has none.",
            parameter=parameter,
            value=value,
        )


def _output_stride(requested: int | None, architecture: Architecture) -> int:
    total = architecture.total_stride
    if requested is None:
        return total
    smallest = 1 if architecture.stem == "cifar" else min(8, total)
    if architecture.projection == "average":
        smallest = total // 2  # further stages would average positions that are apart, which no layer does
    accepted = [2**i for i in range(total.bit_length()) if 2**i >= smallest]
    if requested not in accepted:
        raise UserError(
            f"must be one of {', '.join(map(str, accepted))} for {architecture.name}.",
            parameter="output_stride",
            value=requested,
        )
    return requested
