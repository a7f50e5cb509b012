"""What a model's probabilities mean, and what is decided by them."""

from xferlearn.decisions.calibration import (
    Reliability,
    ReliabilityBin,
    fit_temperature,
    reliability,
    with_temperature,
)

__all__ = [
    "Reliability",
    "ReliabilityBin",
    "fit_temperature",
    "reliability",
    "with_temperature",
]
