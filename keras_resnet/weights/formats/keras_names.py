"""Finds the ResNet among the layers of a Keras file, where it is a part of another model."""

import functools
import logging
from collections.abc import Collection, Mapping
from typing import Any

from keras_resnet.errors import UserError
from keras_resnet.weights.names import HEAD, belongs_to_network

# A normalization that each ResNet has once, in keras.applications of Keras 2 and 3 and of Keras 1.
_FIRST = frozenset(("conv1_bn", "post_bn", "bn_conv1"))
_GLOBAL_POOL = "global_average_pooling2d"
# Names that a message lists, and characters of each.
_MAX_LISTED, _MAX_NAME = 5, 80

_LOG = logging.getLogger(__name__)

# Arrays by "layer/variable".
Arrays = dict[str, Any]


def find_network(models: Mapping[str, Arrays], groups: Collection[str], path: object) -> Arrays:
    """Returns the arrays of the ResNet.

    If it has no head, and a single fully connected layer behind a global average pool is all that the file
    has besides it, as in transfer learning, that is taken. The arrays of other layers around a nested ResNet
    are left out; the log says which.

    Args:
        models: the arrays of each nested model by its path in the file; those of the outermost have "".
        groups: names of the layers, or of their classes, in the file.
        path: of the file, for messages.

    Raises:
        UserError: there are several ResNets.
    """
    found = [name for name, arrays in models.items() if not _FIRST.isdisjoint(map(_layer, arrays))]
    if not found:
        return {
            f"{_prefix(name)}{key}": array for name, arrays in models.items() for key, array in arrays.items()
        }
    if len(found) > 1:
        some = ", ".join(name[:_MAX_NAME] for name in found[:_MAX_LISTED])
        raise UserError(f"holds several ResNets: {some}; save one of them alone.", value=path)
    (network,) = found
    inside = dict(models[network])
    outside = {
        f"{_prefix(name)}{key}": array
        for name, arrays in models.items()
        if name != network
        for key, array in arrays.items()
    }
    own_head = f"{HEAD}/kernel" in inside or "fc1000" in map(_layer, inside)
    unknown = {key: array for key, array in inside.items() if not belongs_to_network(_layer(key))}
    others = outside or unknown
    pooled = any(group.startswith(_GLOBAL_POOL) for group in groups)
    if not own_head and pooled and _is_dense(others):
        for key, array in others.items():
            inside.pop(key, None)
            inside[f"{HEAD}/{key.rpartition('/')[2]}"] = array
    elif outside:
        more = f" and {len(outside) - _MAX_LISTED} more" if len(outside) > _MAX_LISTED else ""
        some = ", ".join(key[:_MAX_NAME] for key in list(outside)[:_MAX_LISTED])
        _warn_once(f"Left out of {path}, since its ResNet is {network[:_MAX_NAME]}: {some}{more}.")
    return inside


def _is_dense(arrays: Arrays) -> bool:
    """Whether these are the weights of one fully connected layer."""
    if len(set(map(_layer, arrays))) != 1:
        return False
    shapes = {key.rpartition("/")[2]: array.shape for key, array in arrays.items()}
    return len(shapes.pop("kernel", ())) == 2 and set(shapes) <= {"bias"}


def _layer(key: str) -> str:
    return key.rpartition("/")[0]


def _prefix(model: str) -> str:
    return f"{model}/" if model else ""


@functools.lru_cache(maxsize=8)
def _warn_once(message: str) -> None:
    """Warns: a file is opened several times, to find out what it holds and to load it."""
    _LOG.warning(message)
