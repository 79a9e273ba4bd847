"""Writes files that work without this package: SavedModel, TFLite, a web page."""

from typing import TYPE_CHECKING

from keras_resnet._lazy import lazy_names

if TYPE_CHECKING:
    from keras_resnet.export.serving import export_saved_model
    from keras_resnet.export.tflite import export_tflite

__all__ = ["export_saved_model", "export_tflite"]

# Type checkers read the imports above; this would let them accept any name.
if not TYPE_CHECKING:
    __getattr__, __dir__ = lazy_names(
        __name__,
        {
            "export_saved_model": "keras_resnet.export.serving",
            "export_tflite": "keras_resnet.export.tflite",
        },
    )
