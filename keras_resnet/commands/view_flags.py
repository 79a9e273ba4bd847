"""The flags that say how a net sees images, shared by the commands."""

from typing import Any

from absl import flags

from keras_resnet.commands.data_flags import GROUP
from keras_resnet.data.source import Source
from keras_resnet.data.view import View, choose_view
from keras_resnet.models.architectures import Architecture


def define(values: flags.FlagValues) -> None:
    """Add the flags to a command's."""
    group: dict[str, Any] = {"flag_values": values, "module_name": GROUP}
    flags.DEFINE_integer(
        "image_size", None, "Side of the net's input in pixels; by default what suits net and data.", **group
    )
    flags.DEFINE_enum(
        "augmentation",
        "paper",
        ["paper", "inception"],
        "paper: a square at a random scale, in random light, or a small image shifted; inception: a random "
        "rectangle of 8% to 100% of the area.",
        **group,
    )
    flags.DEFINE_integer(
        "shift",
        None,
        "Pixels by which small images are shifted at most; by default an eighth of their side, 4 for 32.",
        lower_bound=0,
        **group,
    )
    flags.DEFINE_boolean(
        "mirror", None, "Mirror half of the images; by default not characters and Fashion-MNIST.", **group
    )


def view(values: flags.FlagValues, source: Source, net: Architecture) -> View:
    """How the net sees the images.

    Raises:
        UserError: it cannot see them so.
    """
    return choose_view(
        source,
        default_size=net.default_size,
        smallest_size=net.total_stride,
        image_size=values.image_size,
        mirrored=values.mirror,
        augmentation=values.augmentation,
        shift=values.shift,
    )
