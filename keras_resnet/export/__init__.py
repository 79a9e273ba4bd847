"""Files that others use without this package: SavedModel, TFLite, a web page."""

from typing import TYPE_CHECKING

from keras_resnet._lazy import lazy_names

if TYPE_CHECKING:
    from keras_resnet.export.lite import tflite
    from keras_resnet.export.serving import saved_model

__all__ = ["saved_model", "tflite"]

# Type checkers, which read the imports above, would take any name for one that this gives.
if not TYPE_CHECKING:
    __getattr__, __dir__ = lazy_names(
        __name__,
        {
            "saved_model": "keras_resnet.export.serving",
            "tflite": "keras_resnet.export.lite",
        },
    )
