"""Trained models in any of their files, as one function from images to class probabilities."""

from typing import TYPE_CHECKING

from keras_resnet._lazy import lazy_names

if TYPE_CHECKING:
    from keras_resnet.inference.predictor import Predictor, load_predictor
    from keras_resnet.inference.spec import Classifier

__all__ = ["Classifier", "Predictor", "load_predictor"]

# Type checkers read the imports above; this would let them accept any name.
if not TYPE_CHECKING:
    __getattr__, __dir__ = lazy_names(
        __name__,
        {
            "Classifier": "keras_resnet.inference.spec",
            "Predictor": "keras_resnet.inference.predictor",
            "load_predictor": "keras_resnet.inference.predictor",
        },
    )
