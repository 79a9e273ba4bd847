"""Shortcuts and blocks: basic, bottleneck and dense, residual or plain (He et al. 2015, section 3.2)."""

from collections.abc import Mapping, Sequence
from typing import Any

import keras

from keras_resnet.errors import UserError
from keras_resnet.models.architectures import PROJECTIONS, SHORTCUTS, VARIANTS, check_one_of
from keras_resnet.models.layers import (
    ZeroPaddingShortcut,
    bn,
    ceil_divide,
    channel_axis,
    conv,
    conv_bn,
    dense_bn,
)

BOTTLENECK_EXPANSION = 4
PREACTIVATIONS = (None, "branch", "both")


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
    x: keras.KerasTensor,
    filters: int,
    *,
    stride: int = 1,
    dilated: bool = False,
    projection: str = "strided",
    normalized: bool = True,
    use_bias: bool = False,
    name: str,
) -> keras.KerasTensor:
    """Applies a learned linear map to the block's dimensions, with BN (options B, C; section 3.2, eq. 2).

    A 1x1 convolution for feature maps, a fully connected layer for feature vectors.

    Args:
        dilated: the block has a dilation in place of a stride.
        projection: "strided" leaves positions out, "average" averages each 2x2 of them first (He T. et al.
            2019, ResNet-D).
        normalized: whether BN follows, as it does but for pre-activation blocks.
        use_bias: of a convolution.
    """
    if len(x.shape) == 2:
        return dense_bn(x, filters, activation=None, name=f"{name}_0")
    if projection == "average" and (stride > 1 or dilated):
        x = keras.layers.AveragePooling2D(2, strides=stride, padding="same", name=f"{name}_0_pool")(x)
        stride = 1
    x = conv(x, filters, 1, stride=stride, use_bias=use_bias, name=f"{name}_0")
    return bn(x, activation=None, name=f"{name}_0") if normalized else x


def shortcut_branch(
    x: keras.KerasTensor,
    filters: int,
    *,
    stride: int = 1,
    dilated: bool = False,
    shortcut: str | None = "B",
    name: str,
    **options: Any,
) -> keras.KerasTensor | None:
    """Returns the shortcut of a block by the paper's options (section 3.3); None for the plain network.

    A: zero-padding where the dimensions change, identity elsewhere; no parameters anywhere.
    B: projection where the dimensions change, identity elsewhere.
    C: projection everywhere.

    Args:
        dilated: the block has a dilation in place of a stride, and gets the shortcut that the stride would
            need.
        **options: of `projection_shortcut`.

    Raises:
        UserError: the option is unknown, or is zero-padding to fewer channels.
    """
    if shortcut not in SHORTCUTS:
        raise UserError(
            f"must be one of {', '.join(map(str, SHORTCUTS))} (plain).", parameter="shortcut", value=shortcut
        )
    if shortcut is None:
        return None
    if _is_projection(x, filters, stride, dilated, shortcut):
        return projection_shortcut(x, filters, stride=stride, dilated=dilated, name=name, **options)
    if _changes(x, filters, stride, dilated):
        return zero_padding_shortcut(x, filters, stride=stride, name=name)
    return identity_shortcut(x, filters, stride=stride, name=name)


def _is_projection(
    x: keras.KerasTensor, filters: int, stride: int, dilated: bool, shortcut: str | None
) -> bool:
    return shortcut == "C" or (shortcut == "B" and _changes(x, filters, stride, dilated))


def _changes(x: keras.KerasTensor, filters: int, stride: int, dilated: bool) -> bool:
    return stride != 1 or dilated or x.shape[_axis(x)] != filters


def basic_block(
    x: keras.KerasTensor,
    filters: int,
    *,
    stride: int = 1,
    dilation: int = 1,
    first_dilation: int | None = None,
    shortcut: str | None = "B",
    projection: str = "strided",
    preactivation: str | None = None,
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
        projection: as for `Architecture`.
        preactivation: None: BN and ReLU follow the convolutions. "branch": they come first, in the residual
            branch and a projection, and the sum is not activated (He et al. 2016, Fig. 4e). "both": any
            shortcut begins behind the first of them, as that of a network's first block does.
        drop_path: probability that an image of a training batch skips the convolutions (stochastic depth,
            Huang et al. 2016).

    Raises:
        UserError: an option is unknown, the shortcut cannot be added here, or drop_path has no shortcut.
        ValueError: one convolution would have both a stride and a dilation.
    """
    first = first_dilation or dilation
    convolutions = [
        {"filters": filters, "kernel_size": 3, "stride": stride, "dilation": first},
        {"filters": filters, "kernel_size": 3, "dilation": dilation},
    ]
    branch = {"stride": stride, "dilated": first != dilation, "shortcut": shortcut, "projection": projection}
    return _block(x, convolutions, branch, preactivation=preactivation, drop_path=drop_path, name=name)


def bottleneck_block(
    x: keras.KerasTensor,
    filters: int,
    *,
    stride: int = 1,
    dilation: int = 1,
    first_dilation: int | None = None,
    shortcut: str | None = "B",
    variant: str = "v1",
    width: int | None = None,
    groups: int = 1,
    projection: str = "strided",
    preactivation: str | None = None,
    drop_path: float = 0.0,
    name: str,
) -> keras.KerasTensor:
    """Applies 1x1, 3x3 and 1x1 convolutions and adds their shortcut (Fig. 5, right).

    The first 1x1 reduces the channels to `filters`, the last restores 4 * filters.

    Shapes: (N, H, W, C) -> (N, ceil(H/stride), ceil(W/stride), 4 * filters).

    Args:
        dilation: of the 3x3 convolution.
        first_dilation: dilation of the preceding blocks, for a block that has a larger one in place of a
            stride. In a v1.5 bottleneck the 3x3 keeps it, since that is where the stride would have been. In
            a v1 bottleneck the stride would have come before the 3x3, which has `dilation` already. Both then
            compute what a strided block does, wherever that one has a position.
        variant: where the stride is: "v1" on the first 1x1, as in the paper and keras.applications; "v1.5" on
            the 3x3, as in torchvision and timm; "v2" there as well, in a pre-activation block of
            keras.applications: its shortcut projects where the number of channels changes alone, and its
            convolutions without BN have a bias.
        width: filters of the 3x3 and the 1x1 before it, by default `filters` (wide networks, ResNeXt).
        groups: of the 3x3 (ResNeXt, Xie et al. 2017).
        projection, preactivation, drop_path: as for `basic_block`.

    Raises:
        UserError: an option is unknown, the shortcut cannot be added here, or drop_path has no shortcut.
        ValueError: one convolution would have both a stride and a dilation.
    """
    if variant not in VARIANTS or (variant == "v2" and preactivation is None):
        accepted = [known for known in VARIANTS if known != "v2" or preactivation]
        raise UserError(f"must be one of {', '.join(accepted)}.", parameter="variant", value=variant)
    first = first_dilation or dilation
    stride_1x1, stride_3x3, rate = (stride, 1, dilation) if variant == "v1" else (1, stride, first)
    outputs, width = BOTTLENECK_EXPANSION * filters, width or filters
    convolutions = [
        {"filters": width, "kernel_size": 1, "stride": stride_1x1},
        {"filters": width, "kernel_size": 3, "stride": stride_3x3, "dilation": rate, "groups": groups},
        {"filters": outputs, "kernel_size": 1},
    ]
    branch = {"stride": stride, "dilated": first != dilation, "shortcut": shortcut, "projection": projection}
    if variant == "v2":
        branch["dilated"] = False
        if shortcut == "B" and x.shape[_axis(x)] == outputs:
            branch["shortcut"] = "A"  # which takes every second position, and pads nothing
    return _block(
        x,
        convolutions,
        branch,
        preactivation=preactivation,
        use_bias=variant == "v2",
        drop_path=drop_path,
        name=name,
    )


def _block(
    x: keras.KerasTensor,
    convolutions: Sequence[Mapping[str, Any]],
    branch: Mapping[str, Any],
    *,
    preactivation: str | None,
    use_bias: bool = False,
    drop_path: float,
    name: str,
) -> keras.KerasTensor:
    """Applies convolutions and adds their shortcut.

    Args:
        convolutions: arguments of each.
        branch: arguments of the shortcut.
        use_bias: of convolutions that no BN follows.
    """
    check_one_of("projection", branch["projection"], PROJECTIONS)
    check_one_of("preactivation", preactivation, PREACTIVATIONS)
    *inner, last = convolutions
    source = x
    if preactivation:
        x = bn(x, name=f"{name}_preact")
        where = (branch["stride"], branch["dilated"], branch["shortcut"])
        if preactivation == "both" or _is_projection(source, last["filters"], *where):
            source = x
    shortcut = shortcut_branch(
        source, last["filters"], normalized=not preactivation, use_bias=use_bias, name=name, **branch
    )
    for number, options in enumerate(inner, 1):
        x = conv_bn(x, **options, name=f"{name}_{number}")
    end = f"{name}_{len(convolutions)}"
    x = conv(x, **last, use_bias=use_bias, name=end)
    if not preactivation:
        x = bn(x, activation=None, name=end)
    return _join(shortcut, x, name, drop_path, activated=not preactivation)


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
    branch: keras.KerasTensor | None,
    x: keras.KerasTensor,
    name: str,
    drop_path: float = 0.0,
    *,
    activated: bool = True,
) -> keras.KerasTensor:
    if branch is None and drop_path:
        raise UserError(
            "needs a shortcut, and a plain block has none.", parameter="drop_path", value=drop_path
        )
    if drop_path:
        # One random number per image, not one per value.
        x = keras.layers.Dropout(drop_path, noise_shape=(None, 1, 1, 1), name=f"{name}_drop")(x)
    if branch is not None:
        x = keras.layers.Add(name=f"{name}_add" if activated else f"{name}_out")([branch, x])
    elif not activated:
        x = keras.layers.Identity(name=f"{name}_out")(x)
    return keras.layers.Activation("relu", name=f"{name}_out")(x) if activated else x


def _axis(x: keras.KerasTensor) -> int:
    return channel_axis() if len(x.shape) == 4 else -1


def _block_shape(x: keras.KerasTensor, filters: int, stride: int) -> tuple[int | None, ...]:
    axis = _axis(x) % len(x.shape)
    return tuple(
        size if i == 0 else filters if i == axis else ceil_divide(size, stride)
        for i, size in enumerate(x.shape)
    )
