"""Shortcuts and blocks: basic, bottleneck and dense, residual or plain (He et al. 2015, section 3.2)."""

import keras

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
    """x itself, where the block keeps its dimensions (section 3.2, eq. 1).

    Raises:
        ValueError: the block changes the dimensions, so that the sum is impossible.
    """
    shape, wanted = tuple(x.shape), _block_shape(x, filters, stride)
    if shape != wanted:
        raise ValueError(
            f"{name}: an identity shortcut cannot add the block's input {shape} to its output {wanted}; "
            "use a zero-padding (option A) or projection (options B, C) shortcut."
        )
    return x


def zero_padding_shortcut(
    x: keras.KerasTensor, filters: int, *, stride: int = 1, name: str
) -> keras.KerasTensor:
    """Every stride-th position of x, with zeros as its new channels (option A, section 3.3).

    Raises:
        ValueError: the block has fewer channels than its input.
    """
    shape, wanted = tuple(x.shape), _block_shape(x, filters, stride)
    if shape[_axis(x)] > filters:
        raise ValueError(
            f"{name}: zero-padding cannot turn the block's input {shape} into its output {wanted}, which "
            "has fewer channels; use a projection shortcut (options B, C)."
        )
    return ZeroPaddingShortcut(filters, stride, name=f"{name}_0_pad")(x)


def projection_shortcut(
    x: keras.KerasTensor, filters: int, *, stride: int = 1, name: str
) -> keras.KerasTensor:
    """A learned linear map to the block's dimensions, with BN (options B and C, section 3.2, eq. 2).

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
    """The shortcut of a block, by the paper's option (section 3.3); None for the plain net.

    A: zero-padding where the dimensions change, identity elsewhere; no parameters anywhere.
    B: projection where the dimensions change, identity elsewhere.
    C: projection everywhere.

    Args:
        dilated: the block has a dilation in place of its stride, and the shortcut that the stride asks for.

    Raises:
        ValueError: an unknown option, or zero-padding to fewer channels.
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
            *options, plain = map(repr, SHORTCUTS)
            raise ValueError(
                f"{name}: shortcut must be {', '.join(options)} or {plain} (plain), not {shortcut!r}."
            )
    return make(x, filters, stride=stride, name=name)


def basic_block(
    x: keras.KerasTensor,
    filters: int,
    *,
    stride: int = 1,
    dilation: int = 1,
    input_dilation: int | None = None,
    shortcut: str | None = "B",
    drop_path: float = 0.0,
    name: str,
) -> keras.KerasTensor:
    """Two 3x3 convolutions and their shortcut (Fig. 5, left).

    Shapes: (N, H, W, C) -> (N, ceil(H/stride), ceil(W/stride), filters).

    Args:
        dilation: rate of the 3x3 convolutions.
        input_dilation: rate of the blocks before this one, where it has a larger one in place of a stride.
            The first 3x3 keeps it, for it would have had the stride. So the block computes what a strided one
            does, wherever that one has a position.
        drop_path: probability that an image of a training batch skips the convolutions (stochastic depth,
            Huang et al. 2016).

    Raises:
        ValueError: an unknown shortcut option, or one that cannot be added here; a stride and a dilation in
            one convolution; drop_path without a shortcut.
    """
    before = input_dilation or dilation
    branch = shortcut_branch(
        x, filters, stride=stride, dilated=before != dilation, shortcut=shortcut, name=name
    )
    x = conv_bn(x, filters, 3, stride=stride, dilation=before, name=f"{name}_1")
    x = conv_bn(x, filters, 3, dilation=dilation, activation=None, name=f"{name}_2")
    return _join(branch, x, name, drop_path)


def bottleneck_block(
    x: keras.KerasTensor,
    filters: int,
    *,
    stride: int = 1,
    dilation: int = 1,
    input_dilation: int | None = None,
    shortcut: str | None = "B",
    variant: str = "v1",
    drop_path: float = 0.0,
    name: str,
) -> keras.KerasTensor:
    """1x1 reduces, 3x3, 1x1 restores to 4 * filters; and the shortcut (Fig. 5, right).

    Shapes: (N, H, W, C) -> (N, ceil(H/stride), ceil(W/stride), 4 * filters).

    Args:
        dilation: rate of the 3x3 convolution.
        input_dilation: rate of the blocks before this one, where it has a larger one in place of a stride.
            The 3x3 of a v1.5 bottleneck keeps it, for it would have had the stride. In a v1 bottleneck the
            stride would have stood in front of the 3x3, which has `dilation` already. So both compute what a
            strided block does, wherever that one has a position.
        variant: where the stride sits: "v1" on the first 1x1, as in the paper and keras.applications;
            "v1.5" on the 3x3, as in torchvision and timm.
        drop_path: probability that an image of a training batch skips the convolutions (stochastic depth,
            Huang et al. 2016).

    Raises:
        ValueError: an unknown variant or shortcut option, or a shortcut that cannot be added here; a stride
            and a dilation in one convolution; drop_path without a shortcut.
    """
    if variant not in VARIANTS:
        raise ValueError(f"{name}: variant must be {' or '.join(map(repr, VARIANTS))}, not {variant!r}.")
    before = input_dilation or dilation
    stride_1x1, stride_3x3, rate = (stride, 1, dilation) if variant == "v1" else (1, stride, before)
    width = BOTTLENECK_EXPANSION * filters
    branch = shortcut_branch(
        x, width, stride=stride, dilated=before != dilation, shortcut=shortcut, name=name
    )
    x = conv_bn(x, filters, 1, stride=stride_1x1, name=f"{name}_1")
    x = conv_bn(x, filters, 3, stride=stride_3x3, dilation=rate, name=f"{name}_2")
    x = conv_bn(x, width, 1, activation=None, name=f"{name}_3")
    return _join(branch, x, name, drop_path)


def dense_block(
    x: keras.KerasTensor, units: int, *, shortcut: str | None = "B", name: str
) -> keras.KerasTensor:
    """Two fully connected layers and their shortcut, for feature vectors (section 3.2, eq. 1).

    Shapes: (N, C) -> (N, units).

    Raises:
        ValueError: an unknown shortcut option, or one that cannot be added here.
    """
    branch = shortcut_branch(x, units, shortcut=shortcut, name=name)
    x = dense_bn(x, units, name=f"{name}_1")
    x = dense_bn(x, units, activation=None, name=f"{name}_2")
    return _join(branch, x, name)


def _join(
    branch: keras.KerasTensor | None, x: keras.KerasTensor, name: str, drop_path: float = 0.0
) -> keras.KerasTensor:
    if branch is None and drop_path:
        raise ValueError(f"{name}: drop_path={drop_path} needs a shortcut; a plain block has none.")
    if drop_path:
        # One draw for an image, not one for each of its values.
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
