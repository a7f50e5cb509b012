"""Experiments: many heads trained on the same cached bottlenecks, and what they tell."""

from xferlearn.sweeps.comparing import ComparedBackbone, Comparison, compare, compare_with
from xferlearn.sweeps.grid import Candidate, SpaceTimes, Sweep, sweep, sweep_with
from xferlearn.sweeps.learning_curve import Curve, curve, curve_with

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
