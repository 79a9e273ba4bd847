"""Stem, stages, head: one loop for every net, and the constructors in keras.applications' signature."""

import dataclasses
import os
from collections.abc import Callable

import keras

from keras_resnet.models import architectures
from keras_resnet.models.architectures import Architecture
from keras_resnet.models.blocks import basic_block, bottleneck_block
from keras_resnet.models.deep import room_to_recurse
from keras_resnet.models.layers import conv_bn, he_normal

Activation = str | Callable | None
Shape = tuple[int | None, ...] | None


def ResNet(
    architecture: Architecture,
    include_top: bool = True,
    weights: str | os.PathLike | None = None,
    input_tensor: keras.KerasTensor | None = None,
    input_shape: Shape = None,
    pooling: str | None = None,
    classes: int = 1000,
    classifier_activation: Activation = "softmax",
    name: str | None = None,
) -> keras.Model:
    """Any net of the paper's kind: a flat Functional model with keras.applications' layer names.

    Shapes: (N, H, W, C) -> (N, classes) with the top; without it (N, H/s, W/s, filters), s being
    `architecture.total_stride`, or (N, filters) with a pooling. The input is what the first convolution
    sees: normalised images.

    Args:
        architecture: stages, block, stem, shortcut option and variant.
        include_top: with the global average pool and the classifier.
        weights: None for He initialisation, or the path of a `.weights.h5` or `.keras` file of the same net.
        input_tensor: Keras tensor to build upon.
        input_shape: shape of one image; height and width may be None, with the top as well. By default
            the images the architecture was made for, and any size without the top.
        pooling: without the top: None for the last feature map, "avg" or "max" for a global pool of it.
        classes: number of classes of the top.
        classifier_activation: activation of the top, None for logits. It is computed in float32 under a
            mixed-precision policy.
        name: name of the model; by default the architecture's.

    Raises:
        ValueError: as keras.applications does: unknown `weights`, `pooling` or activation for given
            weights, `input_shape` that is not three numbers or is smaller than the net's total stride
            (32 for ImageNet nets).
    """
    _check_weights(weights, classifier_activation, include_top)
    if pooling not in (None, "avg", "max"):
        raise ValueError(f"`pooling` must be None, 'avg' or 'max'; got {pooling!r}.")
    if input_tensor is None:
        inputs = x = keras.Input(_input_shape(input_shape, architecture, include_top))
    elif keras.utils.is_keras_tensor(input_tensor):
        x = input_tensor
        sources = keras.utils.get_source_inputs(x)
        inputs = sources[0] if len(sources) == 1 else sources
    else:
        inputs = x = keras.Input(tensor=input_tensor)

    x = _stem(x, architecture)
    for stage, blocks, filters in zip(
        architecture.stages, architecture.blocks_per_stage, architecture.filters, strict=True
    ):
        for block in range(1, blocks + 1):
            stride = 2 if block == 1 and stage != architecture.stages[0] else 1
            x = _block(x, filters, stride, architecture, f"{stage}_block{block}")
    if include_top:
        x = keras.layers.GlobalAveragePooling2D(name="avg_pool")(x)
        x = _classifier(x, classes, classifier_activation)
    elif pooling is not None:
        pool = {"avg": keras.layers.GlobalAveragePooling2D, "max": keras.layers.GlobalMaxPooling2D}[pooling]
        x = pool(name=f"{pooling}_pool")(x)

    with room_to_recurse():
        model = keras.Model(inputs, x, name=name or architecture.name)
    if weights is not None:
        _load(model, weights)
    return model


def _stem(x: keras.KerasTensor, architecture: Architecture) -> keras.KerasTensor:
    filters = architecture.filters[0]
    if architecture.stem == "cifar":
        return conv_bn(x, filters, 3, name="conv1")
    x = conv_bn(x, filters, 7, stride=2, name="conv1")
    # Zeros pad as well as minus infinity here: everything is behind a ReLU.
    x = keras.layers.ZeroPadding2D(1, name="pool1_pad")(x)
    return keras.layers.MaxPooling2D(3, strides=2, name="pool1_pool")(x)


def _block(
    x: keras.KerasTensor, filters: int, stride: int, architecture: Architecture, name: str
) -> keras.KerasTensor:
    options = {"stride": stride, "shortcut": architecture.shortcut, "name": name}
    if architecture.block == "basic":
        return basic_block(x, filters, **options)
    return bottleneck_block(x, filters, variant=architecture.variant, **options)


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
        raise ValueError(f"`input_shape` must be a tuple of three integers; got {input_shape}.")
    smallest = architecture.total_stride
    if any(side is not None and side < smallest for side in (shape[1:] if first else shape[:2])):
        raise ValueError(
            f"Input size must be at least {smallest}x{smallest} for {architecture.name}; "
            f"got input_shape={input_shape}."
        )
    if shape[0 if first else 2] is None:
        raise ValueError(f"The number of channels must be given; got input_shape={input_shape}.")
    return shape


def _check_weights(weights: str | os.PathLike | None, activation: Activation, include_top: bool) -> None:
    if weights is None:
        return
    if not os.path.isfile(weights):
        raise ValueError(
            "The `weights` argument should be either None (random initialisation) or the path to the "
            f"weights file to be loaded; got weights={weights}, and there is no such file."
        )
    if not str(weights).endswith((".weights.h5", ".keras")):
        raise ValueError(f"`weights` must be a .weights.h5 or .keras file; got {weights}.")
    if include_top and keras.activations.get(activation) not in (
        keras.activations.softmax,
        keras.activations.linear,
    ):
        raise ValueError(
            "`classifier_activation` can only be None or 'softmax' when loading weights; "
            f"got classifier_activation={activation}."
        )


def _load(model: keras.Model, weights: str | os.PathLike) -> None:
    try:
        model.load_weights(weights)
    except Exception as error:
        # Keras raises whatever h5py, zipfile or its own matching of shapes raises.
        raise ValueError(f"The weights in {weights} do not fit {model.name}: {error}") from error


def _residual(depth: int) -> Callable[..., keras.Model]:
    net = architectures.IMAGENET[depth]

    def constructor(
        include_top: bool = True,
        weights: str | os.PathLike | None = None,
        input_tensor: keras.KerasTensor | None = None,
        input_shape: Shape = None,
        pooling: str | None = None,
        classes: int = 1000,
        classifier_activation: Activation = "softmax",
        name: str = net.name,
        *,
        shortcut: str | None = "B",
        variant: str = "v1",
    ) -> keras.Model:
        return ResNet(
            dataclasses.replace(net, shortcut=shortcut, variant=variant),
            include_top,
            weights,
            input_tensor,
            input_shape,
            pooling,
            classes,
            classifier_activation,
            name,
        )

    stages = ", ".join(map(str, net.blocks_per_stage))
    constructor.__name__ = constructor.__qualname__ = f"ResNet{depth}"
    constructor.__doc__ = f"""ResNet-{depth}: {stages} {net.block} blocks (He et al. 2015, Table 1).

    A drop-in for keras.applications; `ResNet` describes shapes, arguments and errors.

    Args:
        shortcut: option "A" (zero-padding), "B" (projection where dimensions change) or "C" (projection
            everywhere), section 3.3; None is the plain net.
        variant: "v1", the paper's and keras.applications', or "v1.5", torchvision's and timm's: where a
            bottleneck has its stride. Basic blocks are the same in both.
    """
    return constructor


def _plain(depth: int) -> Callable[..., keras.Model]:
    net = architectures.IMAGENET_PLAIN[depth]

    def constructor(
        include_top: bool = True,
        weights: str | os.PathLike | None = None,
        input_tensor: keras.KerasTensor | None = None,
        input_shape: Shape = None,
        pooling: str | None = None,
        classes: int = 1000,
        classifier_activation: Activation = "softmax",
        name: str = net.name,
    ) -> keras.Model:
        return ResNet(
            net,
            include_top,
            weights,
            input_tensor,
            input_shape,
            pooling,
            classes,
            classifier_activation,
            name,
        )

    constructor.__name__ = constructor.__qualname__ = f"PlainNet{depth}"
    constructor.__doc__ = f"""Plain-{depth}: ResNet-{depth} without shortcuts (He et al. 2015, section 3.3).

    `ResNet` describes shapes, arguments and errors.
    """
    return constructor


ResNet18 = _residual(18)
ResNet34 = _residual(34)
ResNet50 = _residual(50)
ResNet101 = _residual(101)
ResNet152 = _residual(152)
PlainNet18 = _plain(18)
PlainNet34 = _plain(34)


def CifarResNet(
    depth: int,
    include_top: bool = True,
    weights: str | os.PathLike | None = None,
    input_tensor: keras.KerasTensor | None = None,
    input_shape: Shape = None,
    pooling: str | None = None,
    classes: int = 10,
    classifier_activation: Activation = "softmax",
    name: str | None = None,
    *,
    shortcut: str | None = "A",
) -> keras.Model:
    """The residual net of 6n+2 layers for small images (section 4.2): 20, 32, 44, 56, 110, ...

    `ResNet` describes shapes, arguments and errors. The smallest image is 4x4.

    Args:
        shortcut: option "A", the paper's here, "B" or "C"; None is the plain net.

    Raises:
        ValueError: the depth is not 6n+2; and as `ResNet`.
    """
    return ResNet(
        architectures.cifar(depth, shortcut),
        include_top,
        weights,
        input_tensor,
        input_shape,
        pooling,
        classes,
        classifier_activation,
        name,
    )


def CifarPlainNet(
    depth: int,
    include_top: bool = True,
    weights: str | os.PathLike | None = None,
    input_tensor: keras.KerasTensor | None = None,
    input_shape: Shape = None,
    pooling: str | None = None,
    classes: int = 10,
    classifier_activation: Activation = "softmax",
    name: str | None = None,
) -> keras.Model:
    """`CifarResNet` without its shortcuts, the net that degrades with depth (section 4.2, Fig. 6)."""
    return ResNet(
        architectures.cifar(depth, shortcut=None),
        include_top,
        weights,
        input_tensor,
        input_shape,
        pooling,
        classes,
        classifier_activation,
        name,
    )
