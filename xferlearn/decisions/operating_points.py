"""What a decision gives on photos: recall and precision of a class, and the cost of mistakes."""

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from xferlearn.decisions.bounds import missable
from xferlearn.decisions.deciding import Decision
from xferlearn.decisions.several_labels import MultiLabelDecision
from xferlearn.metrics import wilson_interval, worth_of

RECALLS = (0.99, 0.95, 0.9, 0.8)
"""Recalls whose thresholds are told."""

_Z95 = 1.959963984540054


@dataclasses.dataclass(frozen=True)
class OperatingPoint:
    """Recall and precision of one class.

    Attributes:
        label: the class.
        recall_asked: what the threshold was chosen for, 0 to 1; None for the label as it is
            decided.
        threshold: from which probability on a photo gets the label; None where that depends on
            the other classes too, as with the largest probability.
        photos: number of photos of the class.
        labelled: number of photos that get the label.
        correct: number of photos of the class that get it.
        recall_interval: 95% interval of the recall, 0 to 1.
        precision_interval: likewise of the precision.
    """

    label: str
    recall_asked: float | None
    threshold: float | None
    photos: int
    labelled: int
    correct: int
    recall_interval: tuple[float, float]
    precision_interval: tuple[float, float]

    @property
    def recall(self) -> float | None:
        """`correct` per `photos`, 0 to 1; None without photos."""
        return self.correct / self.photos if self.photos else None

    @property
    def precision(self) -> float | None:
        """`correct` per `labelled`, 0 to 1; None without photos."""
        return self.correct / self.labelled if self.labelled else None

    def as_dict(self) -> dict[str, Any]:
        """Returns everything for JSON."""
        return {
            "recall_asked": self.recall_asked,
            "threshold": self.threshold,
            "n": self.photos,
            "labelled": self.labelled,
            "recall": self.recall,
            "recall_interval_95": list(self.recall_interval),
            "precision": self.precision,
            "precision_interval_95": list(self.precision_interval),
        }


@dataclasses.dataclass(frozen=True)
class CostChange:
    """What mistakes cost with a decision, and with the largest probability.

    Attributes:
        cost: mean per photo.
        largest: mean per photo with the largest probability.
        lowered: by which share of `largest` the cost is lower, at most 1; below 0 where it is
            higher, None where `largest` is 0.
        interval: 95% interval of it.
        photos: number of photos.
    """

    cost: float
    largest: float
    lowered: float | None
    interval: tuple[float, float] | None
    photos: int

    def as_dict(self) -> dict[str, Any]:
        """Returns everything for JSON."""
        return {
            "cost_per_photo": self.cost,
            "of_largest_probability": self.largest,
            "lowered_by": self.lowered,
            "interval_95": self.interval and list(self.interval),
            "n": self.photos,
        }


@dataclasses.dataclass(frozen=True)
class DecisionMeasured:
    """What a decision gives on some photos.

    Attributes:
        classes: recall and precision of the classes that it names.
        accuracy: share of the photos that get the right label, 0 to 1; None without photos.
        largest: that of the largest probability.
        cost: where the decision is by costs.
    """

    classes: tuple[OperatingPoint, ...] = ()
    accuracy: float | None = None
    largest: float | None = None
    cost: CostChange | None = None

    def as_dict(self) -> dict[str, Any]:
        """Returns everything for JSON."""
        return {
            "accuracy": self.accuracy,
            "accuracy_of_largest_probability": self.largest,
            "classes": {point.label: point.as_dict() for point in self.classes},
            **({"cost": self.cost.as_dict()} if self.cost else {}),
        }


def measure_decision(
    decision: Decision,
    probabilities: np.ndarray,
    y: np.ndarray,
    groups: Sequence[int] | None = None,
) -> DecisionMeasured:
    """Measures a decision.

    Args:
        decision: what is measured.
        probabilities: of photos that the model has not learned from, float, [photos, classes],
            range [0, 1].
        y: true class index of each photo, int, [photos]; -1 for another class.
        groups: what each photo belongs to; None where each stands alone. Photos in groups count as
            `xferlearn.metrics.worth_of` says.
    """
    decided, largest = decision.decide(probabilities), probabilities.argmax(axis=1)
    return measure_labels(decision, decided, largest, y, groups)


def measure_labels(
    decision: Decision,
    decided: np.ndarray,
    largest: np.ndarray,
    y: np.ndarray,
    groups: Sequence[int] | None = None,
) -> DecisionMeasured:
    """Measures a decision whose labels are known; as `measure_decision`, without probabilities.

    Args:
        decision: what is measured.
        decided: its label of each photo, int, [photos].
        largest: that of the largest probability, int, [photos].
        y: true class index of each photo, int, [photos]; -1 for another class.
        groups: what each photo belongs to; None where each stands alone.
    """
    members = _members(y, groups)
    points = tuple(
        _point(label, None, None, decided == number, y == number, members)
        for number, label in enumerate(decision.labels)
        if label in decision.named
    )
    cost = None
    known = y >= 0
    if decision.costs and known.any():
        matrix = decision.cost_matrix
        costs, before = (matrix[y[known], one[known]] for one in (decided, largest))
        cost = _cost_change(costs, before, worth_of(members[known]), float(matrix.max()))
    right = [float((one == y).mean()) if len(y) else None for one in (decided, largest)]
    return DecisionMeasured(points, right[0], right[1], cost)


def measure_label_sets(
    decision: MultiLabelDecision,
    probabilities: np.ndarray,
    y: np.ndarray,
    groups: Sequence[int] | None = None,
) -> DecisionMeasured:
    """Measures the classes of which something was asked, where photos may have several labels.

    Args:
        decision: what is measured.
        probabilities: float, [photos, classes], range [0, 1].
        y: whether each photo has each class, bool, [photos, classes].
        groups: what each photo belongs to; None where each stands alone.
    """
    found = operating_points(decision.labels, {}, probabilities, y, groups, decision.limits)
    return DecisionMeasured(tuple(one for one in found if one.label in decision.named))


def recall_thresholds(
    labels: Sequence[str],
    probabilities: np.ndarray,
    y: np.ndarray,
    groups: Sequence[int] | None = None,
) -> dict[str, dict[float, float]]:
    """Returns, by class, the thresholds with which the recalls of `RECALLS` can be expected.

    They are those that `choose_decision` gives one class. Recalls that need more photos are left
    out.

    Args:
        labels: class names in output order.
        probabilities: of photos that the model has not learned from, float, [photos, classes],
            range [0, 1].
        y: true class index of each photo, int, [photos]; or whether each has each class, bool,
            [photos, classes].
        groups: what each photo belongs to; None where each stands alone.
    """
    members, found = _members(y, groups), {}
    for number, label in enumerate(labels):
        rows = np.flatnonzero(_has(y, number))
        scores = np.sort(probabilities[rows, number])
        worth = worth_of(members[rows]) if len(rows) else 0.0
        missed = {recall: missable(len(rows), worth, 1 - recall) for recall in RECALLS}
        found[label] = {
            recall: float(scores[number]) for recall, number in missed.items() if number is not None
        }
    return found


def operating_points(
    labels: Sequence[str],
    thresholds: Mapping[str, Mapping[float, float]],
    probabilities: np.ndarray,
    y: np.ndarray,
    groups: Sequence[int] | None = None,
    limits: np.ndarray | None = None,
) -> tuple[OperatingPoint, ...]:
    """Measures each class as it is decided, and with thresholds.

    Args:
        labels: class names in output order.
        thresholds: as `recall_thresholds` returns them.
        probabilities: float, [photos, classes], range [0, 1].
        y: true class index of each photo, int, [photos]; or whether each has each class, bool,
            [photos, classes].
        groups: what each photo belongs to; None where each stands alone.
        limits: where photos may have several labels, the threshold of each class, float32,
            [classes]; None where the largest probability decides.
    """
    members = _members(y, groups)
    decided = probabilities.argmax(axis=1) if limits is None else probabilities >= limits
    points = []
    for number, label in enumerate(labels):
        of_class = _has(y, number)
        limit = None if limits is None else float(str(limits[number]))
        points.append(_point(label, None, limit, _has(decided, number), of_class, members))
        for recall, threshold in thresholds.get(label, {}).items():
            labelled = probabilities[:, number] >= np.float32(threshold)
            points.append(_point(label, recall, threshold, labelled, of_class, members))
    return tuple(points)


class PointCounts:
    """Operating points of photos that come one by one, each of which stands alone.

    Example:
        >>> counts = PointCounts(labels, thresholds)
        >>> counts.add(counts.labelled(scores), y)
        >>> counts.points()
    """

    def __init__(
        self, labels: Sequence[str], thresholds: Mapping[str, Mapping[float, float]]
    ) -> None:
        rows: list[tuple[int, float | None, float | None]] = []
        for number, label in enumerate(labels):
            rows += [
                (number, None, None),
                *((number, *one) for one in thresholds.get(label, {}).items()),
            ]
        self._labels, self._rows = labels, rows
        self._classes = np.array([number for number, _, _ in rows])
        self._limits = np.array([np.inf if t is None else t for _, _, t in rows], np.float32)
        self._photos, self._labelled, self._correct = np.zeros((3, len(rows)), np.int64)

    @property
    def width(self) -> int:
        """Bytes that `labelled` returns."""
        return (len(self._limits) + 7) // 8

    def labelled(self, scores: np.ndarray) -> bytes:
        """Returns at which of the points a photo has the label, a bit each.

        Args:
            scores: its probabilities, float32, [classes].
        """
        best = np.isinf(self._limits) & (self._classes == scores.argmax())
        return np.packbits(best | (scores[self._classes] >= self._limits)).tobytes()

    def add(self, bits: bytes, y: int) -> None:
        """Counts a photo.

        Args:
            bits: what `labelled` says of it.
            y: its true class index; any other number for another class.
        """
        labelled = np.unpackbits(np.frombuffer(bits, np.uint8), count=len(self._limits)) == 1
        of_class = self._classes == y
        self._photos += of_class
        self._labelled += labelled
        self._correct += labelled & of_class

    def points(self) -> tuple[OperatingPoint, ...]:
        """Returns what `operating_points` does."""
        return tuple(
            OperatingPoint(
                self._labels[number],
                asked,
                threshold,
                photos,
                labelled,
                correct,
                wilson_interval(correct, photos),
                wilson_interval(correct, labelled),
            )
            for (number, asked, threshold), photos, labelled, correct in zip(
                self._rows,
                self._photos.tolist(),
                self._labelled.tolist(),
                self._correct.tolist(),
                strict=True,
            )
        )


def _has(y: np.ndarray, number: int) -> np.ndarray:
    """Returns which photos have a class, bool, [photos]."""
    return y[:, number] if y.ndim == 2 else y == number


def _members(y: np.ndarray, groups: Sequence[int] | None) -> np.ndarray:
    return np.arange(len(y)) if groups is None else np.asarray(groups)


def _point(
    label: str,
    asked: float | None,
    threshold: float | None,
    labelled: np.ndarray,
    of_class: np.ndarray,
    groups: np.ndarray,
) -> OperatingPoint:
    correct = labelled & of_class

    def interval(among: np.ndarray) -> tuple[float, float]:
        total = int(among.sum())
        worth = worth_of(groups[among]) if total else 0.0
        return wilson_interval(correct.sum() / total * worth if total else 0.0, worth)

    return OperatingPoint(
        label,
        asked,
        threshold,
        int(of_class.sum()),
        int(labelled.sum()),
        int(correct.sum()),
        interval(of_class),
        interval(labelled),
    )


def _cost_change(costs: np.ndarray, before: np.ndarray, worth: float, most: float) -> CostChange:
    cost, largest = float(costs.mean()), float(before.mean())
    if not largest:
        return CostChange(cost, largest, None, None, len(costs))
    ratio = cost / largest
    # Of a ratio of two means of the same photos, by the delta method. Two photos that could not be
    # further apart are added, as A. Agresti and B. Coull do (The American Statistician 52, 1998):
    # a few photos that are all right prove little.
    squares = float(np.square(costs - ratio * before).mean())
    variance = (worth * squares + 2 * most**2) / (worth + 2)
    half = _Z95 * math.sqrt(variance / worth) / largest
    return CostChange(
        cost, largest, 1 - ratio, (1 - ratio - half, min(1.0, 1 - ratio + half)), len(costs)
    )
