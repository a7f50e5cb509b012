"""Experiments: many heads trained on the same cached bottlenecks, and what they tell."""

from xferlearn.experiments.comparing import ComparedBackbone, Comparison, compare, compare_with
from xferlearn.experiments.learning_curve import Curve, curve, curve_with
from xferlearn.experiments.sweeping import Candidate, SpaceTimes, Sweep, sweep, sweep_with

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
