"""How good a classifier is, and how certain that is."""

from xferlearn.metrics.average_precision import (
    MeanAveragePrecision,
    PrecisionChange,
    mean_average_precision,
    precision_change,
)
from xferlearn.metrics.intervals import (
    FEW_PHOTOS,
    Change,
    paired_change,
    paired_interval,
    wilson_interval,
    worth_of,
)
from xferlearn.metrics.losses import cross_entropy
from xferlearn.metrics.one_label import (
    ClassMetrics,
    Evaluation,
    Misclassified,
    accuracy_text,
    evaluate_predictions,
)
from xferlearn.metrics.several_labels import (
    LabelMetrics,
    MultiLabelEvaluation,
    evaluate_label_sets,
)

AnyEvaluation = Evaluation | MultiLabelEvaluation

__all__ = [
    "FEW_PHOTOS",
    "AnyEvaluation",
    "Change",
    "ClassMetrics",
    "Evaluation",
    "LabelMetrics",
    "MeanAveragePrecision",
    "Misclassified",
    "MultiLabelEvaluation",
    "PrecisionChange",
    "accuracy_text",
    "cross_entropy",
    "evaluate_label_sets",
    "evaluate_predictions",
    "mean_average_precision",
    "paired_change",
    "paired_interval",
    "precision_change",
    "wilson_interval",
    "worth_of",
]
