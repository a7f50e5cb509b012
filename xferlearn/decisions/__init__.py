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
from xferlearn.decisions.label_sets import LabelSets

__all__ = [
    "Answering",
    "Decision",
    "LabelSets",
    "Reliability",
    "ReliabilityBin",
    "choose_decision",
    "confidence_of",
    "fit_temperature",
    "reliability",
    "with_temperature",
]
