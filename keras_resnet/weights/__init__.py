"""Public weights: which there are, how they are evaluated, and how to read any weights file safely."""

from typing import TYPE_CHECKING

from keras_resnet._lazy import lazy_names

if TYPE_CHECKING:
    # `convert` needs the models, which are above this package: it lives there, and only its name is here. A
    # lazy name is a string, so that nothing is imported upwards before somebody calls it.
    from keras_resnet.models.convert import Conversion, convert
    from keras_resnet.weights.eval_settings import EvalSettings
    from keras_resnet.weights.normalization import Normalization
    from keras_resnet.weights.registry import PublicWeights, RemoteFile, get_weights, list_weights
    from keras_resnet.weights.transform import eval_transform

__all__ = [
    "Conversion",
    "EvalSettings",
    "Normalization",
    "PublicWeights",
    "RemoteFile",
    "convert",
    "eval_transform",
    "get_weights",
    "list_weights",
]

_CONVERT = "keras_resnet.models.convert"
_REGISTRY = "keras_resnet.weights.registry"

# Hidden from type checkers, which would otherwise accept any name.
if not TYPE_CHECKING:
    __getattr__, __dir__ = lazy_names(
        __name__,
        {
            "Conversion": _CONVERT,
            "EvalSettings": "keras_resnet.weights.eval_settings",
            "Normalization": "keras_resnet.weights.normalization",
            "PublicWeights": _REGISTRY,
            "RemoteFile": _REGISTRY,
            "convert": _CONVERT,
            "eval_transform": "keras_resnet.weights.transform",
            "get_weights": _REGISTRY,
            "list_weights": _REGISTRY,
        },
    )
