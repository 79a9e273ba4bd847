"""Registers this package's layers with Keras, so that `keras.saving.load_model` finds them by itself.

Keras looks a custom layer up by the name under which its class was registered, and imports no package for it.
The layers need Keras, which takes seconds to import, so `import keras_resnet` registers them only where Keras
is there already, and otherwise as soon as Keras has been imported.
"""

import importlib
import importlib.abc
import sys

# Whose classes a saved model may name.
_MODULES = ("batch_norm", "layers", "preprocessing")
_MODELS = "keras_resnet.models"


def register_with_keras() -> None:
    """Registers the layers, now or after the import of Keras."""
    if sys.modules.get("keras"):
        _register()
    elif "keras" not in sys.modules:  # None keeps it from being imported
        sys.meta_path.insert(0, _AfterKeras())


def _register() -> None:
    for name in _MODULES:
        importlib.import_module(f"{_MODELS}.{name}")


class _AfterKeras(importlib.abc.MetaPathFinder):
    """Finds Keras as the import system does, and registers the layers once it has been executed."""

    def find_spec(self, name, path, target=None):
        if name != "keras":
            return None
        finders = (finder for finder in sys.meta_path if finder is not self and hasattr(finder, "find_spec"))
        spec = next(filter(None, (finder.find_spec(name, path, target) for finder in finders)), None)
        if spec is None or spec.loader is None:
            return spec
        execute = spec.loader.exec_module

        def execute_and_register(module):
            execute(module)
            if self in sys.meta_path:
                sys.meta_path.remove(self)
                # Modules of this package that import Keras are in the middle of their own import.
                if not any(loaded.startswith(f"{_MODELS}.") for loaded in sys.modules):
                    _register()

        spec.loader.exec_module = execute_and_register  # type: ignore[method-assign]
        return spec
