"""What a model's probabilities mean, and what is decided by them."""

from xferlearn.decisions.answering import Answering, confidence_of
from xferlearn.decisions.calibration import (
    Reliability,
    ReliabilityBin,
    fit_temperature,
    reliability,
    with_temperature,
)
from xferlearn.decisions.deciding import Decision, choose_decision
from xferlearn.decisions.heat_maps import HeatMap, HeatMaps, pooled_features
from xferlearn.decisions.label_sets import LabelSets
from xferlearn.decisions.nearest import Nearest

__all__ = [
    "Answering",
    "Decision",
    "HeatMap",
    "HeatMaps",
    "LabelSets",
    "Nearest",
    "Reliability",
    "ReliabilityBin",
    "choose_decision",
    "confidence_of",
    "fit_temperature",
    "pooled_features",
    "reliability",
    "with_temperature",
]
