"""Labeled images: datasets, their preparation for a model, and batches of them."""

from typing import TYPE_CHECKING

from keras_resnet._lazy import lazy_names

if TYPE_CHECKING:
    from keras_resnet.data.dataset import Dataset, Split
    from keras_resnet.data.input_spec import InputSpec, InputTransform
    from keras_resnet.data.load import load_dataset
    from keras_resnet.data.sources.arrays import from_arrays
    from keras_resnet.data.tools.shrink import ShrinkReport, shrink

__all__ = [
    "Dataset",
    "InputSpec",
    "InputTransform",
    "ShrinkReport",
    "Split",
    "from_arrays",
    "load_dataset",
    "shrink",
]

# Hidden from type checkers: with a `__getattr__` they would accept any name.
if not TYPE_CHECKING:
    __getattr__, __dir__ = lazy_names(
        __name__,
        {
            "Dataset": "keras_resnet.data.dataset",
            "InputSpec": "keras_resnet.data.input_spec",
            "InputTransform": "keras_resnet.data.input_spec",
            "ShrinkReport": "keras_resnet.data.tools.shrink",
            "Split": "keras_resnet.data.dataset",
            "from_arrays": "keras_resnet.data.sources.arrays",
            "load_dataset": "keras_resnet.data.load",
            "shrink": "keras_resnet.data.tools.shrink",
        },
    )
