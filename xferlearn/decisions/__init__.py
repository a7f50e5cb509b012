"""What a model's probabilities mean, and what is decided by them."""

from xferlearn.decisions.answering import Answering, confidence_of
from xferlearn.decisions.blocks import row_blocks
from xferlearn.decisions.calibration import (
    Reliability,
    ReliabilityBin,
    fit_temperature,
    reliability,
    with_temperature,
)
from xferlearn.decisions.chosen import Chosen, Judged, choose, told_thresholds
from xferlearn.decisions.deciding import OTHER_COST, Decision, choose_decision
from xferlearn.decisions.familiarity import Familiarity, fit_familiarity
from xferlearn.decisions.heat_maps import HeatMap, HeatMaps, pooled_features
from xferlearn.decisions.label_sets import LabelSets
from xferlearn.decisions.nearest import Near, Nearest
from xferlearn.decisions.operating_points import (
    CostChange,
    DecisionMeasured,
    OperatingPoint,
    PointCounts,
    measure_decision,
    measure_label_sets,
    measure_labels,
    operating_points,
    recall_thresholds,
)
from xferlearn.decisions.several_labels import (
    MultiLabelDecision,
    certainty,
    choose_label_thresholds,
    decide_by_others,
    decision_of,
)

__all__ = [
    "OTHER_COST",
    "Answering",
    "Chosen",
    "CostChange",
    "Decision",
    "DecisionMeasured",
    "Familiarity",
    "HeatMap",
    "HeatMaps",
    "Judged",
    "LabelSets",
    "MultiLabelDecision",
    "Near",
    "Nearest",
    "OperatingPoint",
    "PointCounts",
    "Reliability",
    "ReliabilityBin",
    "certainty",
    "choose",
    "choose_decision",
    "choose_label_thresholds",
    "confidence_of",
    "decide_by_others",
    "decision_of",
    "fit_familiarity",
    "fit_temperature",
    "measure_decision",
    "measure_label_sets",
    "measure_labels",
    "operating_points",
    "pooled_features",
    "recall_thresholds",
    "reliability",
    "row_blocks",
    "told_thresholds",
    "with_temperature",
]
