"""What a trained model is worth: measured, decided about, and compared with another."""

from xferlearn.evaluation.deciding import DecideResult, decide, decide_with
from xferlearn.evaluation.diff_result import ChangedPhoto, DiffResult
from xferlearn.evaluation.diffing import diff, diff_with
from xferlearn.evaluation.evaluating import evaluate, evaluate_with
from xferlearn.evaluation.evaluation_result import EvaluationResult
from xferlearn.evaluation.seen import SeenPhotos

__all__ = [
    "ChangedPhoto",
    "DecideResult",
    "DiffResult",
    "EvaluationResult",
    "SeenPhotos",
    "decide",
    "decide_with",
    "diff",
    "diff_with",
    "evaluate",
    "evaluate_with",
]
