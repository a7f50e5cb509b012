"""What a trained model is worth: measured on photos with known classes, and its decision."""

from xferlearn.evaluation.deciding import DecideResult, decide, decide_with
from xferlearn.evaluation.evaluating import EvaluationResult, evaluate, evaluate_with

__all__ = [
    "DecideResult",
    "EvaluationResult",
    "decide",
    "decide_with",
    "evaluate",
    "evaluate_with",
]
