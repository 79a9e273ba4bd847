"""Infers from weights their architecture and the normalization of their input. Imports no Keras."""

import dataclasses
import functools
import os
from collections.abc import Collection, Mapping
from typing import Any

import numpy as np

from keras_resnet.errors import UserError
from keras_resnet.models import architectures
from keras_resnet.models.architectures import Architecture
from keras_resnet.weights import registry
from keras_resnet.weights.conventions import NamedArrays
from keras_resnet.weights.names import (
    HEAD,
    MEAN_LAYER,
    POST,
    STEM,
    layer_name,
    parse_layer_name,
    stage_name,
    stem_name,
)
from keras_resnet.weights.normalization import Normalization
from keras_resnet.weights.read import check_file, open_weights

Weights = str | os.PathLike | None

# More than any image or dataset has.
_MAX_CHANNELS, _MAX_CLASSES = 64, 50_000
# Pixels; of a mean image.
_MAX_SIDE = 4096


def resolve_variant(architecture: Architecture, weights: Weights, variant: str | None) -> Architecture:
    """Returns the architecture in the requested variant, or in that of the weights, or its own without any.

    Args:
        variant: "v1", "v1.5" or "v2"; None: not requested.

    Raises:
        UserError: the weights belong to another architecture, or do not say which variant they are.
    """
    if weights is not None and variant is None:
        variant = detect_variant(weights, architecture)
        if variant is None and architecture.block == "bottleneck":
            raise ambiguous_variant(weights)
    return dataclasses.replace(architecture, variant=variant or architecture.variant)


def check_weights(weights: str | os.PathLike, architecture: Architecture) -> None:
    """Checks that weights can belong to an architecture, before a model is built.

    Raises:
        UserError: there are no such weights, or they were trained in the other variant.
    """
    trained = detect_variant(weights, architecture)
    if architecture.block == "bottleneck" and trained not in (None, architecture.variant):
        where = "first 1x1" if trained == "v1" else "3x3"
        raise UserError(
            f"weights={weights} were trained as variant {trained}, with the stride of a bottleneck on its "
            f"{where} convolution, and predict nonsense in the other; leave variant out, or use "
            f"variant={trained}.",
            parameter="variant",
            value=architecture.variant,
        )


def detect_variant(weights: str | os.PathLike, architecture: Architecture) -> str | None:
    """Returns the variant that weights were trained in; None if they do not say.

    Raises:
        UserError: there are no such weights, or they belong to another kind of network.
    """
    if registry.is_name(weights):
        return public_weights(weights, architecture).variant
    if not os.path.isfile(weights):
        raise UserError(
            "the `weights` argument should be either None (random initialization), the name of public "
            f"weights ({', '.join((registry.IMAGENET, *registry.NAMES))}) or the path to the weights file to "
            "be loaded, and there is no such file.",
            parameter="weights",
            value=weights,
        )
    check_file(weights)
    status = os.stat(weights)
    return _variant_of_file(os.fspath(weights), status.st_mtime_ns, status.st_size)


@functools.lru_cache(maxsize=8)
def _variant_of_file(path: str, *version: int) -> str | None:
    """Cached while the file is unchanged: it is needed before a model is built, and when it is."""
    with open_weights(path) as named:
        return named.convention.variant


def infer_architecture(
    named: NamedArrays, name: str, *, variant: str | None = None, plain: bool | None = None
) -> tuple[Architecture, int, int | None]:
    """Infers from a file's weights their architecture, its input channels, and its classes (None: no head).

    Args:
        name: of the file, for messages.
        variant, plain: used where the file does not say; None: not known.

    Raises:
        UserError: the architecture is none of those with a name, or the file does not say which.
    """
    shapes = {key: array.shape for key, array in named.arrays.items()}
    stem, head = (shapes.get(f"{layer}/kernel", ()) for layer in (f"{STEM}_conv", HEAD))
    found = _from_shapes(shapes, named.convention.projection)
    if found is None or stem[2] > _MAX_CHANNELS or (len(head) == 2 and head[1] > _MAX_CLASSES):
        counts = _blocks_per_stage(shapes)
        blocks = "-".join(map(str, counts)) if counts else "no"
        raise UserError(
            f"has weights of none of the architectures that have a name: {blocks} blocks, first convolution "
            f"{stem}, head {head}; use those of {', '.join(architectures.NAMED)}, or of a CIFAR ResNet of "
            "6n+2 layers or, with bottlenecks, 9n+2.",
            value=name,
        )
    bottleneck = found.block == "bottleneck"
    architecture = dataclasses.replace(found, shortcut=_shortcut(shapes, found))
    if architecture.shortcut == "A":
        architecture = _plain_or_residual(architecture, named, name, plain)
    variant = named.convention.variant or (None if found.variant == "v1" else found.variant) or variant
    if variant is None and bottleneck:
        raise ambiguous_variant(name)
    architecture = dataclasses.replace(architecture, variant=variant or "v1")
    return architecture, stem[2], head[1] if len(head) == 2 else None


def _from_shapes(shapes: Mapping[str, tuple[int, ...]], projection: str | None) -> Architecture | None:
    """Returns the architecture with a name that has weights of these shapes, in its own variant; or None."""

    def kernel(layer: str) -> tuple[int, ...]:
        return shapes.get(f"{layer}/kernel", ())

    counts = _blocks_per_stage(shapes)
    stems = [stem for stem in (kernel(f"{stem_name(number)}_conv") for number in (1, 2, 3)) if stem]
    first = [kernel(layer_name(stage_name(2 + number), 1, 1, "conv")) for number in range(len(counts or ()))]
    if not counts or not stems or any(len(shape) != 4 for shape in (*stems, *first)):
        return None
    bottleneck = bool(kernel(layer_name("conv2", 1, 3, "conv")))
    middle = kernel(layer_name("conv2", 1, 2, "conv"))
    if len(middle) != 4 or not middle[2] or first[0][3] % middle[2]:
        return None
    groups = first[0][3] // middle[2] if bottleneck else 1
    filters = stems[-1][3]
    fields = {
        "blocks_per_stage": counts,
        "filters": tuple(filters * shape[3] // first[0][3] for shape in first),
        "block": "bottleneck" if bottleneck else "basic",
        "stem": "deep" if len(stems) == 3 else "imagenet" if stems[0][0] == 7 else "cifar",
        "groups": groups,
        "width_per_group": 64 * first[0][3] // (filters * groups),
        "preactivation": f"{POST}_bn/gamma" in shapes,
    }
    if projection is not None:
        fields["projection"] = projection
    is_v2 = fields["preactivation"] and f"{STEM}_conv/bias" in shapes
    for candidate in (*architectures.NAMED.values(), *_cifar(counts, fields)):
        if any(getattr(candidate, field) != value for field, value in fields.items()):
            continue
        if is_v2 or candidate.variant == "v2":
            # The same blocks without biases are those of other publishers, in another variant.
            return dataclasses.replace(candidate, variant="v2" if is_v2 else "v1")
        return candidate
    return None


def _cifar(counts: tuple[int, ...], fields: Mapping[str, Any]) -> list[Architecture]:
    if len(counts) != 3 or len(set(counts)) != 1:
        return []
    block, preactivation = fields["block"], fields["preactivation"]
    depth = (6 if block == "basic" else 9) * counts[0] + 2
    return [architectures.cifar_architecture(depth, block=block, preactivation=preactivation)]


def _blocks_per_stage(keys: Collection[str]) -> tuple[int, ...] | None:
    """Counts the blocks of each stage; None if their numbers have gaps."""
    blocks: dict[int, set[int]] = {}
    for key in keys:
        layer, _, variable = key.partition("/")
        parsed = parse_layer_name(layer)
        if parsed and parsed.block and (parsed.index, parsed.kind, variable) == (1, "conv", "kernel"):
            blocks.setdefault(parsed.stage_number, set()).add(parsed.block)
    if any(numbers != set(range(1, len(numbers) + 1)) for numbers in blocks.values()):
        return None
    return tuple(len(blocks[stage]) for stage in sorted(blocks))


def _shortcut(keys: Collection[str], architecture: Architecture) -> str:
    """Returns the option by where projections are; without any it is A, or the network is plain."""
    # Under option B, the first block has a projection too where it widens the stem's output.
    widens = architecture.block == "bottleneck" or architecture.width_per_group != 64
    everywhere = layer_name("conv2", 2 if widens else 1, 0, "conv")
    if f"{everywhere}/kernel" in keys:
        return "C"
    return "B" if f"{layer_name('conv3', 1, 0, 'conv')}/kernel" in keys else "A"


def _plain_or_residual(
    architecture: Architecture, named: NamedArrays, name: str, plain: bool | None
) -> Architecture:
    plain = plain if named.convention.plain is None else named.convention.plain
    if plain is None:
        raise UserError(
            f"{name} does not say whether its network has shortcuts; use plain=false if it has, "
            "plain=true if not, or its .keras file.",
            parameter="plain",
        )
    if not plain:
        return architecture
    if architecture.stem == "cifar":
        block, preactivation = architecture.block, architecture.preactivation
        return architectures.cifar_architecture(
            architecture.depth, None, block=block, preactivation=preactivation
        )
    # The paper has no plain network of bottlenecks; `ResNet50(shortcut=None)` is one.
    plain_one = dataclasses.replace(architecture, shortcut=None)
    named_one = architectures.IMAGENET_PLAIN.get(architecture.depth, plain_one)
    return named_one if dataclasses.replace(named_one, name=plain_one.name) == plain_one else plain_one


def ambiguous_variant(name: object) -> UserError:
    """Returns the error for weights that do not say where their bottlenecks have the stride."""
    return UserError(
        f"{name} does not say where its bottlenecks have their stride; use variant=v1, the default of this "
        "package, or variant=v1.5, or its .keras file.",
        parameter="variant",
    )


def public_weights(
    name: str, architecture: Architecture, *, any_shortcut: bool = False
) -> registry.PublicWeights:
    """Returns the public weights of this name for an architecture.

    Args:
        any_shortcut: whether those with another option are taken too; CIFAR's are published with A and B.

    Raises:
        UserError: there are none for it.
    """
    try:
        entry = registry.get_weights(name, architectures.name_of(architecture))
    except UserError as error:
        raise UserError(error.reason.removeprefix(f"{name} "), parameter="weights", value=name) from error
    if entry.shortcut != architecture.shortcut and not any_shortcut:
        shortcut = "no shortcuts" if architecture.shortcut is None else f"shortcut {architecture.shortcut}"
        raise UserError(
            f"are for {entry.architecture} with shortcut {entry.shortcut}, not with {shortcut}; use such an "
            "architecture, or other weights.",
            parameter="weights",
            value=name,
        )
    return entry


def read_normalization(named: NamedArrays, channels: int, name: str) -> np.ndarray | Normalization | None:
    """Returns how plain pixels are normalized for weights; None if the file does not say.

    Args:
        named: of a model that was trained here, with its mean image; or as their publishers normalize.
        channels: of the new model's images; a mean of another number of channels is averaged to gray.
        name: of the file, for messages.

    Raises:
        UserError: the mean image has an impossible shape.
    """
    stored = named.arrays.get(f"{MEAN_LAYER}/mean")
    if stored is None:
        return named.convention.normalization
    *sides, last = stored.shape or (0,)
    if len(sides) not in (0, 2) or max(sides, default=1) > _MAX_SIDE or last not in (1, 3):
        raise UserError(
            f"has a mean image of impossible shape, {stored.shape}; use another file.", value=name
        )
    mean = np.asarray(stored.read(), "float32")
    if mean.shape[-1] != channels:
        mean = np.repeat(mean.mean(axis=-1, keepdims=True), channels, axis=-1)
    return mean
