"""From a net and batches to a trained net, on one device or many, interrupted and resumed."""

from typing import TYPE_CHECKING

from keras_resnet._lazy import lazy_names

if TYPE_CHECKING:
    from keras_resnet.training.checkpoint import Checkpoints
    from keras_resnet.training.feed import TrainingData
    from keras_resnet.training.loop import train
    from keras_resnet.training.recipes import RECIPES, Recipe

__all__ = ["RECIPES", "Checkpoints", "Recipe", "TrainingData", "train"]

# Type checkers, which read the imports above, would take any name for one that this gives.
if not TYPE_CHECKING:
    __getattr__, __dir__ = lazy_names(
        __name__,
        {
            "Checkpoints": "keras_resnet.training.checkpoint",
            "TrainingData": "keras_resnet.training.feed",
            "train": "keras_resnet.training.loop",
            "RECIPES": "keras_resnet.training.recipes",
            "Recipe": "keras_resnet.training.recipes",
        },
    )
