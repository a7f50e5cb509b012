"""Bottlenecks: what the frozen network makes of a photo, computed once and kept on disk.

Names load when they are first used, so that a module of this room costs only what it needs itself.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from xferlearn.bottlenecks.compute import Extraction, extract
    from xferlearn.bottlenecks.engines import Engine, EnginePlan, Parity, build_engine
    from xferlearn.bottlenecks.settling import Candidates, Features, sample_pixels
    from xferlearn.bottlenecks.space import FeatureSpace, feature_space
    from xferlearn.bottlenecks.store import BottleneckStore

__all__ = [
    "BottleneckStore",
    "Candidates",
    "Engine",
    "EnginePlan",
    "Extraction",
    "FeatureSpace",
    "Features",
    "Parity",
    "build_engine",
    "extract",
    "feature_space",
    "sample_pixels",
]

_HOMES = {
    "BottleneckStore": "store",
    "Candidates": "settling",
    "Engine": "engines",
    "EnginePlan": "engines",
    "Extraction": "compute",
    "FeatureSpace": "space",
    "Features": "settling",
    "Parity": "engines",
    "build_engine": "engines",
    "extract": "compute",
    "feature_space": "space",
    "sample_pixels": "settling",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return __all__
