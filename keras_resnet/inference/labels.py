"""The labels file of a model: one class name per line, in the order of the outputs.

It lies next to a `.keras` file, in `assets.extra` of a SavedModel, and in the ZIP archive that a TFLite file
ends with. Imports neither NumPy nor TensorFlow.
"""

from collections.abc import Sequence

LABELS = "labels.txt"


def format_labels(class_names: Sequence[str]) -> str:
    """Returns the content of a labels file."""
    return "".join(f"{name}\n" for name in class_names)


def read_labels(text: str) -> tuple[str, ...]:
    """Returns the class names in the content of a labels file."""
    # Not splitlines(), which also splits at U+2028 and others that may be part of a name.
    return tuple(text.removesuffix("\n").split("\n"))
