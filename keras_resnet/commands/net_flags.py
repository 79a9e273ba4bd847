"""The flags that name a net, shared by the commands."""

from typing import Any

from absl import flags

from keras_resnet.errors import UserError
from keras_resnet.models import architectures
from keras_resnet.models.architectures import Architecture

GROUP = "The net"


def define(values: flags.FlagValues) -> None:
    """Add the flags to a command's."""
    group: dict[str, Any] = {"flag_values": values, "module_name": GROUP}
    flags.DEFINE_integer(
        "depth",
        20,
        "Number of weighted layers: 18, 34, 50, 101, 152 (ImageNet nets) or 6n+2 (CIFAR: 20, 32, 56, 110).",
        **group,
    )
    flags.DEFINE_enum(
        "shortcut",
        "auto",
        ["auto", "A", "B", "C"],
        "A: zero-padding, B: projections where dimensions change, C: projections everywhere; "
        "auto: A for CIFAR nets, B for ImageNet nets.",
        **group,
    )
    flags.DEFINE_boolean("plain", False, "The net without shortcuts.", **group)
    flags.DEFINE_enum(
        "family",
        "auto",
        ["auto", *architectures.FAMILIES],
        "For depths that both families have, as 50; auto takes the ImageNet net.",
        **group,
    )
    flags.DEFINE_enum(
        "variant",
        "v1",
        list(architectures.VARIANTS),
        "Stride of a bottleneck on the first 1x1 (v1, the paper) or on the 3x3 (v1.5, torchvision).",
        **group,
    )


def architecture(values: flags.FlagValues) -> Architecture:
    """The net the flags name.

    Raises:
        UserError: there is none.
    """
    try:
        return architectures.select(
            values.depth,
            family=values.family,
            plain=values.plain,
            shortcut=values.shortcut,
            variant=values.variant,
        )
    except ValueError as error:
        # The message begins with the field's name, which is the flag's.
        raise UserError(f"--{error}") from error


def check_told(values: flags.FlagValues, net: Architecture, source: str) -> None:
    """Refuse flags of the net that say otherwise than weights do; those that a command has not are no matter.

    Args:
        net: that the weights are of.
        source: what tells of it, with its verb, as "a.pth tells".

    Raises:
        UserError: with the first of them.
    """
    told = {
        "depth": net.depth,
        "shortcut": net.shortcut,
        "plain": net.shortcut is None,
        "family": net.stem,
        # Basic blocks are the same in both.
        "variant": net.variant if net.block == "bottleneck" else values.variant,
    }
    for flag, is_so in told.items():
        if flag in values and values[flag].present and values[flag].value not in (is_so, "auto"):
            raise UserError(
                f"--{flag}={values[flag].value} is not what {source}: {net.name}, shortcut "
                f"{net.shortcut or 'none'}, {net.variant}; leave --{flag} out."
            )
