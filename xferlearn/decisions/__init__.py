"""What a model's probabilities mean, and what is decided by them."""

from xferlearn.decisions.calibration import (
    Reliability,
    ReliabilityBin,
    fit_temperature,
    reliability,
    with_temperature,
)
from xferlearn.decisions.familiarity import Familiarity, fit_familiarity

__all__ = [
    "Familiarity",
    "Reliability",
    "ReliabilityBin",
    "fit_familiarity",
    "fit_temperature",
    "reliability",
    "with_temperature",
]
