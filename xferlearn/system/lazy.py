"""Names of a package that are imported when they are first used, so that importing it is quick."""

import importlib
from collections.abc import Callable, Mapping
from typing import Any


def lazy_names(package: str, homes: Mapping[str, str]) -> Callable[[str], Any]:
    """Returns a `__getattr__` for a package's `__init__`, as PEP 562 has it.

    Args:
        package: name of the package.
        homes: the module that each name is in.

    Example:
        >>> __getattr__ = lazy_names(__name__, {"train": "xferlearn.training"})
    """

    def get(name: str) -> Any:
        if name not in homes:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        return getattr(importlib.import_module(homes[name]), name)

    return get
