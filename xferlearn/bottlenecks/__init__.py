"""Bottlenecks: what the frozen network makes of a photo, computed once and kept on disk.

Names load when they are first used, so that a module of this room costs only what it needs itself.
"""

from typing import TYPE_CHECKING

from xferlearn.system.lazy import lazy_names

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
    "BottleneckStore": "xferlearn.bottlenecks.store",
    "Candidates": "xferlearn.bottlenecks.settling",
    "Engine": "xferlearn.bottlenecks.engines",
    "EnginePlan": "xferlearn.bottlenecks.engines",
    "Extraction": "xferlearn.bottlenecks.compute",
    "FeatureSpace": "xferlearn.bottlenecks.space",
    "Features": "xferlearn.bottlenecks.settling",
    "Parity": "xferlearn.bottlenecks.engines",
    "build_engine": "xferlearn.bottlenecks.engines",
    "extract": "xferlearn.bottlenecks.compute",
    "feature_space": "xferlearn.bottlenecks.space",
    "sample_pixels": "xferlearn.bottlenecks.settling",
}


__getattr__ = lazy_names(__name__, _HOMES)


def __dir__() -> list[str]:
    return __all__
