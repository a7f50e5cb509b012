"""Experiments: many heads trained on the same cached bottlenecks, and what they tell."""

from xferlearn.experiments.compare_result import ComparedBackbone, Comparison
from xferlearn.experiments.comparing import compare, compare_with
from xferlearn.experiments.curve_result import Curve
from xferlearn.experiments.learning_curve import curve, curve_with
from xferlearn.experiments.sweep_result import Candidate, SpaceTimes, Sweep
from xferlearn.experiments.sweeping import sweep, sweep_with

__all__ = [
    "Candidate",
    "ComparedBackbone",
    "Comparison",
    "Curve",
    "SpaceTimes",
    "Sweep",
    "compare",
    "compare_with",
    "curve",
    "curve_with",
    "sweep",
    "sweep_with",
]
