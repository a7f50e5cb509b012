"""What a model's probabilities mean, and what is decided by them."""

from xferlearn.decisions.calibration import (
    Reliability,
    ReliabilityBin,
    fit_temperature,
    reliability,
    with_temperature,
)
from xferlearn.decisions.heat_maps import HeatMap, HeatMaps, pooled_features
from xferlearn.decisions.nearest import Nearest

__all__ = [
    "HeatMap",
    "HeatMaps",
    "Nearest",
    "Reliability",
    "ReliabilityBin",
    "fit_temperature",
    "pooled_features",
    "reliability",
    "with_temperature",
]
