"""Finds the ResNet among the names of a PyTorch file, where other modules are around it."""

import functools
import logging
from collections.abc import Mapping

from keras_resnet.errors import UserError
from keras_resnet.weights.lazy_array import LazyArray

# Of a single convolution, and the first of a deeper stem.
_STEMS = ("conv1.weight", "conv1.0.weight")
# In every ResNet, and by its name nowhere else.
_FIRST_BLOCK = "layer1.0.conv1.weight"
# The places of a ResNet's modules where it was cut into a `torch.nn.Sequential`; 2, 3 and 8 have no weights.
_CHILDREN = {
    "0": "conv1",
    "1": "bn1",
    **{str(place): f"layer{place - 3}" for place in range(4, 8)},
    "9": "fc",
}
_COUNTER = "num_batches_tracked"
# What people call the fully connected layer behind a ResNet that has none of its own.
_HEADS = frozenset(("fc", "classifier", "head", "last_linear", "linear", "logits"))
# Names that a message lists, and characters of each.
_MAX_LISTED, _MAX_NAME = 5, 80

_LOG = logging.getLogger(__name__)


def find_network(stored: Mapping[str, LazyArray], path: object) -> dict[str, LazyArray]:
    """Returns the arrays of the ResNet by torchvision's names, without what stands in front of them.

    If it has no fully connected layer, and a single one is the only other layer of the file, that is taken.
    The arrays of other modules around it are left out; the log says which.

    Args:
        stored: by the names in the file.
        path: of the file, for messages.

    Raises:
        UserError: there are several ResNets.
    """
    if any(stem in stored for stem in _STEMS):
        return dict(stored)
    in_sequential = f"4.{_FIRST_BLOCK.partition('.')[2]}"
    roots = [key.removesuffix(_FIRST_BLOCK) for key in stored if key.endswith(_FIRST_BLOCK)]
    cut = [key.removesuffix(in_sequential) for key in stored if key.endswith(in_sequential)]
    roots = [root for root in roots if _is_root(root) and _has_stem(stored, root)]
    cut = [root for root in cut if _is_root(root) and f"{root}0.weight" in stored]
    if not roots and not cut:
        return dict(stored)
    if len(roots) + len(cut) > 1:
        some = ", ".join(repr(root[:_MAX_NAME]) for root in (*roots, *cut)[:_MAX_LISTED])
        raise UserError(
            f"holds several ResNets, whose names begin with {some}; save the state dict of one of them.",
            value=path,
        )
    (root,) = roots or cut
    inside = {key.removeprefix(root): array for key, array in stored.items() if key.startswith(root)}
    outside = {key: array for key, array in stored.items() if not key.startswith(root)}
    if cut:
        inside, others = _join(inside)
        outside |= {f"{root}{key}": array for key, array in others.items()}
    if not any(f"{head}.weight" in inside for head in ("fc", "linear")):
        head = _head(outside)
        inside |= {f"fc.{key.rpartition('.')[2]}": outside.pop(key) for key in head}
    left_out = [key[:_MAX_NAME] for key in outside if not key.endswith(_COUNTER)]
    if left_out:
        more = f" and {len(left_out) - _MAX_LISTED} more" if len(left_out) > _MAX_LISTED else ""
        some = ", ".join(left_out[:_MAX_LISTED])
        _warn_once(f"Left out of {path}, since its ResNet is under {root[:_MAX_NAME]}: {some}{more}.")
    return inside


def _has_stem(stored: Mapping[str, LazyArray], root: str) -> bool:
    return any(f"{root}{stem}" in stored for stem in _STEMS)


def _is_root(prefix: str) -> bool:
    return not prefix or prefix.endswith(".")


def _join(inside: Mapping[str, LazyArray]) -> tuple[dict[str, LazyArray], dict[str, LazyArray]]:
    """Returns the arrays of the modules of a `torch.nn.Sequential` by torchvision's names, and the others."""
    joined, others = {}, {}
    for key, array in inside.items():
        place, _, rest = key.partition(".")
        if place in _CHILDREN:
            joined[f"{_CHILDREN[place]}.{rest}"] = array
        else:
            others[key] = array
    return joined, others


def _head(outside: Mapping[str, LazyArray]) -> list[str]:
    """Returns the names of the head's arrays, if the only layer outside is one with such a name."""
    kernels = [key for key, array in outside.items() if len(array.shape) > 1]
    if len(kernels) != 1 or len(outside[kernels[0]].shape) != 2:
        return []
    layer, _, variable = kernels[0].rpartition(".")
    if variable != "weight" or layer.rpartition(".")[2] not in _HEADS:
        return []
    return [key for key in (f"{layer}.weight", f"{layer}.bias") if key in outside]


@functools.lru_cache(maxsize=8)
def _warn_once(message: str) -> None:
    """Warns: a file is opened several times, to find out what it holds and to load it."""
    _LOG.warning(message)
