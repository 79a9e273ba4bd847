"""Which net weights from elsewhere are of, and which they fit. Imports no Keras."""

import dataclasses
import functools
import os
import re
from collections.abc import Collection

from keras_resnet.errors import UserError
from keras_resnet.models import architectures
from keras_resnet.models.architectures import Architecture
from keras_resnet.weights import registry
from keras_resnet.weights.layouts import Named
from keras_resnet.weights.read import check_file, open_weights

Weights = str | os.PathLike | None

_BLOCK = re.compile(r"conv([2-9])_block([1-9][0-9]{0,3})_1_conv/kernel$")
# More than any picture has, and any data set.
_MOST_CHANNELS, _MOST_CLASSES = 64, 50_000


def suited(architecture: Architecture, weights: Weights, variant: str | None) -> Architecture:
    """The architecture in the variant that is asked for, or else in that of the weights, or v1 without any.

    Args:
        variant: "v1" or "v1.5"; None where none is asked for.

    Raises:
        UserError: the weights are those of another net, or do not tell their variant.
    """
    if weights is not None and variant is None:
        variant = variant_of(weights, architecture)
        if variant is None and architecture.block == "bottleneck":
            raise _untold(weights, "variant='v1'", "'v1.5'")
    return dataclasses.replace(architecture, variant=variant or "v1")


def check_weights(weights: str | os.PathLike, architecture: Architecture) -> None:
    """Refuse weights of another net than this, before it is built.

    Raises:
        UserError: there are no such weights, or they were trained in the other variant.
    """
    made_for = variant_of(weights, architecture)
    if architecture.block == "bottleneck" and made_for not in (None, architecture.variant):
        raise UserError(
            f"weights={weights} were trained with variant {made_for!r}, with the stride of a bottleneck on "
            f"its {'first 1x1' if made_for == 'v1' else '3x3'} convolution; they answer nonsense in "
            f"{architecture.variant!r}: leave variant out, or give variant={made_for!r}."
        )


def variant_of(weights: str | os.PathLike, architecture: Architecture) -> str | None:
    """The variant that the weights were trained in, or None where they do not tell.

    Raises:
        UserError: there are no such weights, or they are those of another kind of net.
    """
    if registry.is_name(weights):
        return public_weights(weights, architecture).variant
    if not os.path.isfile(weights):
        raise UserError(
            "The `weights` argument should be either None (random initialisation), the name of public "
            f"weights ({', '.join((registry.IMAGENET, *registry.NAMES))}) or the path to the weights file to "
            f"be loaded; got weights={weights}, and there is no such file."
        )
    check_file(weights)
    about = os.stat(weights)
    return _variant_of_file(os.fspath(weights), about.st_mtime_ns, about.st_size)


@functools.lru_cache(maxsize=8)
def _variant_of_file(path: str, *version: int) -> str | None:
    """Remembered for as long as the file stays: it is asked before a net is built, and when it is."""
    with open_weights(path) as named:
        return named.layout.variant


def architecture_of(
    named: Named, name: str, *, variant: str | None = None, plain: bool | None = None
) -> tuple[Architecture, int, int | None]:
    """The net that a file has the weights of; its channels; its classes, or None without a head.

    Args:
        name: of the file, for messages.
        variant, plain: what it is if the file does not tell; None: not known.

    Raises:
        UserError: it is none of the paper's, or the file does not tell which.
    """
    shapes = {key: array.shape for key, array in named.arrays.items()}
    blocks: dict[int, set[int]] = {}
    for found in filter(None, map(_BLOCK.match, shapes)):
        blocks.setdefault(int(found[1]), set()).add(int(found[2]))
    counts = tuple(len(blocks[stage]) for stage in sorted(blocks))
    in_a_row = all(numbers == set(range(1, len(numbers) + 1)) for numbers in blocks.values())
    bottleneck = "conv2_block1_3_conv/kernel" in shapes
    stem, head = (shapes.get(f"{layer}/kernel", ()) for layer in ("conv1_conv", "predictions"))
    nets = list(architectures.IMAGENET.values())
    if len(counts) == 3 and len(set(counts)) == 1:
        nets = [architectures.cifar(6 * counts[0] + 2)]
    fitting = [
        net
        for net in nets
        if in_a_row
        and net.blocks_per_stage == counts
        and (net.block == "bottleneck") == bottleneck
        and stem[3:] == net.filters[:1]
    ]
    if not fitting or stem[2] > _MOST_CHANNELS or (len(head) == 2 and head[1] > _MOST_CLASSES):
        raise UserError(
            f"{name} has the weights of no net of the paper: {'-'.join(map(str, counts)) or 'no'} blocks, "
            f"first convolution {stem}, head {head}; those of ResNet-18, 34, 50, 101 and 152 and of CIFAR "
            "nets of 6n+2 layers fit."
        )
    net = dataclasses.replace(fitting[0], shortcut=_shortcut(shapes, bottleneck))
    if net.shortcut == "A":
        plain = plain if named.layout.plain is None else named.layout.plain
        if plain is None:
            raise UserError(
                f"{name} does not tell whether its net has shortcuts (--noplain) or none (--plain); say so, "
                "or use its .keras file."
            )
        if plain and net.stem == "cifar":
            net = architectures.cifar(net.depth, None)
        elif plain:
            # The paper has no plain net of bottlenecks; `ResNet50(shortcut=None)` is one.
            net = architectures.IMAGENET_PLAIN.get(net.depth, dataclasses.replace(net, shortcut=None))
    variant = named.layout.variant or variant
    if variant is None and bottleneck:
        raise _untold(name, "--variant=v1", "--variant=v1.5")
    return dataclasses.replace(net, variant=variant or "v1"), stem[2], head[1] if len(head) == 2 else None


def _shortcut(shapes: Collection[str], bottleneck: bool) -> str:
    """The option, by where projections are; without any it is A, or the net is plain."""
    everywhere = "conv2_block1_0_conv/kernel" if not bottleneck else "conv2_block2_0_conv/kernel"
    if everywhere in shapes:
        return "C"
    return "B" if "conv3_block1_0_conv/kernel" in shapes else "A"


def _untold(name: object, new: str, other: str) -> UserError:
    return UserError(
        f"{name} does not tell where its bottlenecks have their stride; give {new}, as new nets have it, or "
        f"{other}, or use its .keras file."
    )


def public_weights(name: str, architecture: Architecture) -> registry.PublicWeights:
    """The public weights of this name for a net.

    Raises:
        UserError: there are none for it.
    """
    published = architectures.IMAGENET.get(architecture.depth)
    same = published and dataclasses.replace(architecture, variant=published.variant, name=published.name)
    if same != published or published is None:
        kind = "no shortcuts" if architecture.shortcut is None else f"shortcut {architecture.shortcut!r}"
        raise UserError(
            f"weights={name!r} are those of ResNets with shortcut 'B' for ImageNet; {architecture.name} with "
            f"{kind} has none: take such a net, or other weights."
        )
    return registry.find(name, architecture.depth)
