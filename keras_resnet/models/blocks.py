"""Shortcuts and blocks: basic, bottleneck and dense, residual or plain (He et al. 2015, section 3.2)."""

import keras

from keras_resnet.errors import UserError
from keras_resnet.models.architectures import SHORTCUTS, VARIANTS
from keras_resnet.models.layers import (
    ZeroPaddingShortcut,
    ceil_divide,
    channel_axis,
    conv_bn,
    dense_bn,
)

BOTTLENECK_EXPANSION = 4


def identity_shortcut(x: keras.KerasTensor, filters: int, *, stride: int = 1, name: str) -> keras.KerasTensor:
    """Returns x itself, for a block that keeps its dimensions (section 3.2, eq. 1).

    Raises:
        UserError: the block changes the dimensions, so that the sum is impossible.
    """
    shape, expected = tuple(x.shape), _block_shape(x, filters, stride)
    if shape != expected:
        raise UserError(
            f"the identity shortcut of block {name} cannot add its input {shape} to its output {expected}; "
            "use a zero-padding (option A) or projection (options B, C) shortcut.",
            parameter="shortcut",
        )
    return x


def zero_padding_shortcut(
    x: keras.KerasTensor, filters: int, *, stride: int = 1, name: str
) -> keras.KerasTensor:
    """Takes every stride-th position of x, with zeros as its new channels (option A, section 3.3).

    Raises:
        UserError: the block has fewer channels than its input.
    """
    shape, expected = tuple(x.shape), _block_shape(x, filters, stride)
    if shape[_axis(x)] > filters:
        raise UserError(
            f"the zero-padding shortcut of block {name} cannot turn its input {shape} into its output "
            f"{expected}, which has fewer channels; use a projection (options B, C).",
            parameter="shortcut",
        )
    return ZeroPaddingShortcut(filters, stride, name=f"{name}_0_pad")(x)


def projection_shortcut(
    x: keras.KerasTensor, filters: int, *, stride: int = 1, name: str
) -> keras.KerasTensor:
    """Applies a learned linear map to the block's dimensions, with BN (options B, C; section 3.2, eq. 2).

    A 1x1 convolution for feature maps, a fully connected layer for feature vectors.
    """
    if len(x.shape) == 2:
        return dense_bn(x, filters, activation=None, name=f"{name}_0")
    return conv_bn(x, filters, 1, stride=stride, activation=None, name=f"{name}_0")


def shortcut_branch(
    x: keras.KerasTensor,
    filters: int,
    *,
    stride: int = 1,
    dilated: bool = False,
    shortcut: str | None = "B",
    name: str,
) -> keras.KerasTensor | None:
    """Returns the shortcut of a block by the paper's options (section 3.3); None for the plain network.

    A: zero-padding where the dimensions change, identity elsewhere; no parameters anywhere.
    B: projection where the dimensions change, identity elsewhere.
    C: projection everywhere.

    Args:
        dilated: the block has a dilation in place of a stride, and gets the shortcut that the stride would
            need.

    Raises:
        UserError: the option is unknown, or is zero-padding to fewer channels.
    """
    if shortcut is None:
        return None
    changes = stride != 1 or dilated or x.shape[_axis(x)] != filters
    match shortcut:
        case "A":
            make = zero_padding_shortcut if changes else identity_shortcut
        case "B":
            make = projection_shortcut if changes else identity_shortcut
        case "C":
            make = projection_shortcut
        case _:
            raise UserError(
                f"must be one of {', '.join(map(str, SHORTCUTS))} (plain).",
                parameter="shortcut",
                value=shortcut,
            )
    return make(x, filters, stride=stride, name=name)


def basic_block(
    x: keras.KerasTensor,
    filters: int,
    *,
    stride: int = 1,
    dilation: int = 1,
    first_dilation: int | None = None,
    shortcut: str | None = "B",
    drop_path: float = 0.0,
    name: str,
) -> keras.KerasTensor:
    """Applies two 3x3 convolutions and adds their shortcut (Fig. 5, left).

    Shapes: (N, H, W, C) -> (N, ceil(H/stride), ceil(W/stride), filters).

    Args:
        dilation: of the 3x3 convolutions.
        first_dilation: dilation of the preceding blocks, for a block that has a larger one in place of a
            stride. Its first 3x3 keeps it, since that is the convolution the stride would have been on. The
            block then computes what a strided one does, wherever that one has a position.
        drop_path: probability that an image of a training batch skips the convolutions (stochastic depth,
            Huang et al. 2016).

    Raises:
        UserError: the shortcut option is unknown or cannot be added here, or drop_path has no shortcut.
        ValueError: one convolution would have both a stride and a dilation.
    """
    first = first_dilation or dilation
    branch = shortcut_branch(
        x, filters, stride=stride, dilated=first != dilation, shortcut=shortcut, name=name
    )
    x = conv_bn(x, filters, 3, stride=stride, dilation=first, name=f"{name}_1")
    x = conv_bn(x, filters, 3, dilation=dilation, activation=None, name=f"{name}_2")
    return _join(branch, x, name, drop_path)


def bottleneck_block(
    x: keras.KerasTensor,
    filters: int,
    *,
    stride: int = 1,
    dilation: int = 1,
    first_dilation: int | None = None,
    shortcut: str | None = "B",
    variant: str = "v1",
    drop_path: float = 0.0,
    name: str,
) -> keras.KerasTensor:
    """Applies 1x1, 3x3 and 1x1 convolutions and adds their shortcut (Fig. 5, right).

    The first 1x1 reduces the channels to `filters`, the last restores 4 * filters.

    Shapes: (N, H, W, C) -> (N, ceil(H/stride), ceil(W/stride), 4 * filters).

    Args:
        dilation: of the 3x3 convolution.
        first_dilation: dilation of the preceding blocks, for a block that has a larger one in place of a
            stride. The 3x3 of a v1.5 bottleneck keeps it, since that is the convolution the stride would have
            been on. In a v1 bottleneck the stride would have come before the 3x3, which has `dilation`
            already. Both then compute what a strided block does, wherever that one has a position.
        variant: where the stride is: "v1" on the first 1x1, as in the paper and keras.applications; "v1.5" on
            the 3x3, as in torchvision and timm.
        drop_path: probability that an image of a training batch skips the convolutions (stochastic depth,
            Huang et al. 2016).

    Raises:
        UserError: the variant or shortcut option is unknown, the shortcut cannot be added here, or drop_path
            has no shortcut.
        ValueError: one convolution would have both a stride and a dilation.
    """
    if variant not in VARIANTS:
        raise UserError(f"must be one of {', '.join(VARIANTS)}.", parameter="variant", value=variant)
    first = first_dilation or dilation
    stride_1x1, stride_3x3, rate = (stride, 1, dilation) if variant == "v1" else (1, stride, first)
    width = BOTTLENECK_EXPANSION * filters
    branch = shortcut_branch(x, width, stride=stride, dilated=first != dilation, shortcut=shortcut, name=name)
    x = conv_bn(x, filters, 1, stride=stride_1x1, name=f"{name}_1")
    x = conv_bn(x, filters, 3, stride=stride_3x3, dilation=rate, name=f"{name}_2")
    x = conv_bn(x, width, 1, activation=None, name=f"{name}_3")
    return _join(branch, x, name, drop_path)


def dense_block(
    x: keras.KerasTensor, units: int, *, shortcut: str | None = "B", name: str
) -> keras.KerasTensor:
    """Applies two fully connected layers to feature vectors and adds their shortcut (section 3.2, eq. 1).

    Shapes: (N, C) -> (N, units).

    Raises:
        UserError: the shortcut option is unknown or cannot be added here.
    """
    branch = shortcut_branch(x, units, shortcut=shortcut, name=name)
    x = dense_bn(x, units, name=f"{name}_1")
    x = dense_bn(x, units, activation=None, name=f"{name}_2")
    return _join(branch, x, name)


def _join(
    branch: keras.KerasTensor | None, x: keras.KerasTensor, name: str, drop_path: float = 0.0
) -> keras.KerasTensor:
    if branch is None and drop_path:
        raise UserError(
            "needs a shortcut, and a plain block has none.", parameter="drop_path", value=drop_path
        )
    if drop_path:
        # One random number per image, not one per value.
        x = keras.layers.Dropout(drop_path, noise_shape=(None, 1, 1, 1), name=f"{name}_drop")(x)
    if branch is not None:
        x = keras.layers.Add(name=f"{name}_add")([branch, x])
    return keras.layers.Activation("relu", name=f"{name}_out")(x)


def _axis(x: keras.KerasTensor) -> int:
    return channel_axis() if len(x.shape) == 4 else -1


def _block_shape(x: keras.KerasTensor, filters: int, stride: int) -> tuple[int | None, ...]:
    axis = _axis(x) % len(x.shape)
    return tuple(
        size if i == 0 else filters if i == axis else ceil_divide(size, stride)
        for i, size in enumerate(x.shape)
    )
