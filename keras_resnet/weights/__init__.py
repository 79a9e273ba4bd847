"""Public weights: which there are, and how any file of weights is read without running it."""

from typing import TYPE_CHECKING

from keras_resnet._lazy import lazy_names

if TYPE_CHECKING:
    from keras_resnet.weights.pixels import Pixels
    from keras_resnet.weights.published import published_view
    from keras_resnet.weights.registry import PublicWeights, find, list

__all__ = ["Pixels", "PublicWeights", "find", "list", "published_view"]

_REGISTRY = "keras_resnet.weights.registry"

# Type checkers, which read the imports above, would take any name for one that this gives.
if not TYPE_CHECKING:
    __getattr__, __dir__ = lazy_names(
        __name__,
        {
            "Pixels": "keras_resnet.weights.pixels",
            "PublicWeights": _REGISTRY,
            "find": _REGISTRY,
            "list": _REGISTRY,
            "published_view": "keras_resnet.weights.published",
        },
    )
