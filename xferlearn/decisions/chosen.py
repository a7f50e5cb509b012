"""What is chosen on a model's predictions, and measured on others: metadata.json keeps it."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from xferlearn.decisions.answering import Answering
from xferlearn.decisions.deciding import Decision, choose_decision
from xferlearn.decisions.operating_points import (
    DecisionMeasured,
    OperatingPoint,
    measure_decision,
    measure_label_sets,
    operating_points,
    recall_thresholds,
)
from xferlearn.decisions.several_labels import MultiLabelDecision, choose_label_thresholds

ERRORS = (0.02, 0.05)
"""Shares of wrong answers for which it is told how many photos a model answers alone."""

# With more classes the points would be most of metadata.json.
_MOST_CLASSES = 50


class Judged(NamedTuple):
    """Photos that a model has not learned from, and what it says of them.

    Attributes:
        probabilities: float32, [photos, classes], range [0, 1].
        y: true class index of each photo, int, [photos]; where photos may have several labels,
            whether each has each class, bool, [photos, classes].
        groups: what each photo belongs to; None where each stands alone.
        unknown: which photos get no answer because they are unlike the others, bool, [photos]; None
            for none.
    """

    probabilities: np.ndarray
    y: np.ndarray
    groups: Sequence[int] | None = None
    unknown: np.ndarray | None = None

    def alone(self, decision: Decision) -> dict[float, Answering | None]:
        """Returns, by `ERRORS`, from which confidence on photos need no person.

        Photos that get no answer prove nothing, and count as left to a person.
        """
        probabilities, y, groups, unknown = self
        if unknown is not None and unknown.any():
            rows = np.flatnonzero(~unknown)
            probabilities, y = probabilities[rows], y[rows]
            groups = None if groups is None else [groups[row] for row in rows.tolist()]
        decided, left = decision.decide(probabilities), len(self.y) - len(y)
        return {
            error: Answering.choose(probabilities, decided, y, error, groups, left)
            for error in ERRORS
        }


@dataclasses.dataclass(frozen=True)
class Chosen:
    """A decision and what it is worth.

    Attributes:
        decision: how labels are decided.
        validation: the decision on the photos that it was chosen on, where there are any.
        test: the decision on the test photos, which choose nothing.
        points: of each class, on the photos that they were chosen on; empty for many classes.
        alone: how many photos the model answers alone, by the share of wrong answers; None where
            that can't be promised.
    """

    decision: Decision | MultiLabelDecision
    validation: DecisionMeasured = dataclasses.field(default_factory=DecisionMeasured)
    test: DecisionMeasured = dataclasses.field(default_factory=DecisionMeasured)
    points: tuple[OperatingPoint, ...] = ()
    alone: Mapping[float, Answering | None] = dataclasses.field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        """Returns what metadata.json says of it, by key."""
        decision = None
        if self.decision or isinstance(self.decision, MultiLabelDecision):
            measured = {"validation": self.validation.as_dict(), "test": self.test.as_dict()}
            decision = {**self.decision.as_dict(), "measured": measured}
        points: dict[str, list[dict[str, Any]]] = {}
        for point in self.points:
            points.setdefault(point.label, []).append(point.as_dict())
        alone = [
            {"max_error": error, **({"share": 0.0} if found is None else dataclasses.asdict(found))}
            for error, found in self.alone.items()
        ]
        return {"decision": decision, "operating_points": points, "answers_alone": alone}


def choose(labels: Sequence[str], validation: Judged, test: Judged, **asked: Any) -> Chosen:
    """Chooses a decision, and measures it.

    Args:
        labels: class names in output order.
        validation: the photos that it is chosen on.
        test: the photos that prove it.
        **asked: as `choose_decision` takes it; nothing for the largest probability.

    Raises:
        UserError: when what is asked can't be reached; says what can.
    """
    probabilities, y, groups, _ = validation
    choice = choose_label_thresholds if y.ndim == 2 else choose_decision
    decision = choice(labels, probabilities, y, groups=groups, **asked)
    points: tuple[OperatingPoint, ...] = ()
    if len(labels) <= _MOST_CLASSES:
        thresholds = recall_thresholds(labels, probabilities, y, groups)
        limits = decision.limits if isinstance(decision, MultiLabelDecision) else None
        points = operating_points(labels, thresholds, probabilities, y, groups, limits)
    if isinstance(decision, MultiLabelDecision):
        of_validation, of_test = (
            measure_label_sets(decision, *one[:3]) for one in (validation, test)
        )
        return Chosen(decision, of_validation, of_test, points)
    return Chosen(
        decision,
        measure_decision(decision, *validation[:3]),
        measure_decision(decision, *test[:3]),
        points,
        validation.alone(decision),
    )


def told_thresholds(metadata: Mapping[str, Any]) -> dict[str, dict[float, float]]:
    """Returns the thresholds of a model's operating points, as `operating_points` takes them."""
    return {
        label: {
            float(point["recall_asked"]): float(point["threshold"])
            for point in points
            if point["recall_asked"] is not None and point["threshold"] is not None
        }
        for label, points in (metadata.get("operating_points") or {}).items()
    }
