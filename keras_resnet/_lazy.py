"""Public names that import their module only when they are used: Keras and TensorFlow take seconds."""

import importlib
from collections.abc import Callable, Mapping


def lazy_names(package: str, homes: Mapping[str, str]) -> tuple[Callable[[str], object], Callable[[], list]]:
    """`__getattr__` and `__dir__` (PEP 562) for a package whose public names live in other modules.

    Args:
        package: the package's `__name__`.
        homes: module of each public name, or the public module of this name.
    """

    def getattr_(name: str) -> object:
        if name not in homes:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        module = importlib.import_module(homes[name])
        return module if homes[name] == f"{package}.{name}" else getattr(module, name)

    return getattr_, lambda: sorted(homes)
