"""Public names that import their module only when they are used: Keras and TensorFlow take seconds."""

import importlib
from collections.abc import Callable, Mapping


def lazy_names(
    package: str, modules: Mapping[str, str]
) -> tuple[Callable[[str], object], Callable[[], list[str]]]:
    """Makes `__getattr__` and `__dir__` (PEP 562) for a package whose public names live in other modules.

    Args:
        package: the package's `__name__`.
        modules: module of each public name, or the public subpackage of this name.
    """

    def getattr_(name: str) -> object:
        if name not in modules:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        module = importlib.import_module(modules[name])
        return module if modules[name] == f"{package}.{name}" else getattr(module, name)

    return getattr_, lambda: sorted(modules)
