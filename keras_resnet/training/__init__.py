"""Trains a model on one device or many, and resumes what was interrupted."""

from typing import TYPE_CHECKING

from keras_resnet._lazy import lazy_names

if TYPE_CHECKING:
    from keras_resnet.data.image_arrays import ImageArrays
    from keras_resnet.training.checkpoint import Checkpoints
    from keras_resnet.training.distillation import Distillation
    from keras_resnet.training.input import ResumableData
    from keras_resnet.training.loop import train
    from keras_resnet.training.recipes import RECIPES, Recipe
    from keras_resnet.training.state import TrainState

__all__ = [
    "RECIPES",
    "Checkpoints",
    "Distillation",
    "ImageArrays",
    "Recipe",
    "ResumableData",
    "TrainState",
    "train",
]

# Not for type checkers, which read the imports above: with a `__getattr__` they would accept any name.
if not TYPE_CHECKING:
    __getattr__, __dir__ = lazy_names(
        __name__,
        {
            "Checkpoints": "keras_resnet.training.checkpoint",
            "Distillation": "keras_resnet.training.distillation",
            "ImageArrays": "keras_resnet.data.image_arrays",
            "ResumableData": "keras_resnet.training.input",
            "train": "keras_resnet.training.loop",
            "RECIPES": "keras_resnet.training.recipes",
            "Recipe": "keras_resnet.training.recipes",
            "TrainState": "keras_resnet.training.state",
        },
    )
