"""How good a classifier is that gives each photo several labels, or none."""

import dataclasses
import functools
import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from xferlearn.metrics.average_precision import MeanAveragePrecision, mean_average_precision
from xferlearn.metrics.intervals import (
    Z95,
    variance_of_sum,
    varying_interval,
    wilson_interval,
    worth_of,
)
from xferlearn.metrics.measured import Measured
from xferlearn.metrics.one_label import ClassMetrics


@dataclasses.dataclass(frozen=True)
class LabelMetrics(ClassMetrics):
    """One class of an evaluation; precision, recall and F1 are those at its threshold.

    Attributes:
        average_precision: 0 to 1; None where no photo has the class, or all have.
        interval: 95% interval of the average precision, 0 to 1.
        threshold: from which probability on a photo is labelled so, above 0 to 1; None where
            several were used, and for a class that the model does not have.
    """

    average_precision: float | None
    interval: tuple[float, float]
    threshold: float | None


@dataclasses.dataclass(frozen=True)
class MultiLabelEvaluation(Measured):
    """Predictions compared with the truth, where photos may have several labels or none.

    Attributes:
        labels: class names, in output order.
        ranking: how well the probabilities order the photos, class by class.
        together: photos that have a class (row) and are labelled with a class (column), int64,
            [classes, classes]; a photo counts in several places.
        predicted: number of photos labelled with each class, int64, [classes].
        exact: number of photos of which all labels are right, and none is missing.
        coverage: how many labels have to be looked at, the most probable first, until a photo's own
            are among them: mean over the photos; 0 for a photo that has none.
        total: number of photos.
        groups: number of groups of photos that belong together, such as near twins; None where
            each photo stands alone.
        worth: how many photos that stand alone tell as much as these.
        folds: number of folds where each photo was predicted by the head that has not learned from
            its fold, at thresholds chosen on the other folds; None where one head predicted all.
        thresholds: of each class, float, [classes], NaN for one that the model does not have; None
            where they differ by fold.
        f1_variance: of the mean F1, by the influences of the photos.
        coverage_interval: 95% interval of the coverage.
    """

    labels: tuple[str, ...]
    ranking: MeanAveragePrecision = dataclasses.field(repr=False)
    together: np.ndarray = dataclasses.field(repr=False)
    predicted: np.ndarray = dataclasses.field(repr=False)
    exact: int
    coverage: float
    total: int = 0
    groups: int | None = None
    worth: float | None = None
    folds: int | None = None
    thresholds: np.ndarray | None = dataclasses.field(default=None, repr=False)
    f1_variance: float = 0.0
    coverage_interval: tuple[float, float] = (0.0, 0.0)

    measure = "mean average precision"

    def __repr__(self) -> str:
        return f"MultiLabelEvaluation({len(self.labels)} classes, {self.summary()})"

    @property
    def value(self) -> float | None:
        """The mean average precision, 0 to 1; None where no photo has a label."""
        return self.ranking.mean

    @property
    def interval(self) -> tuple[float, float]:
        """95% interval of the mean average precision, 0 to 1."""
        return self.ranking.interval

    @property
    def exact_interval(self) -> tuple[float, float]:
        """95% interval of the share of photos whose labels are all right, 0 to 1."""
        worth = self.total if self.worth is None else self.worth
        return wilson_interval(self.exact / self.total * worth if self.total else 0, worth)

    @functools.cached_property
    def classes(self) -> tuple[LabelMetrics, ...]:
        """Counts, average precision, and precision and recall at the threshold, by class."""
        values = self.ranking.of_classes
        return tuple(
            LabelMetrics(
                label,
                photos=int(self.ranking.positives[i]),
                predicted=int(self.predicted[i]),
                correct=int(self.together[i, i]),
                average_precision=None if np.isnan(values[i]) else float(values[i]),
                interval=self.ranking.interval_of(i),
                threshold=self._threshold(i),
            )
            for i, label in enumerate(self.labels)
        )

    def _threshold(self, place: int) -> float | None:
        if self.thresholds is None or np.isnan(self.thresholds[place]):
            return None
        return float(self.thresholds[place])

    @property
    def f1(self) -> float | None:
        """Mean F1 of the classes that some photo has, 0 to 1; None where no photo has a label."""
        known = [row.f1 for row in self.classes if row.photos and row.f1 is not None]
        return float(np.mean(known)) if known else None

    @property
    def f1_interval(self) -> tuple[float, float]:
        """95% interval of the mean F1, 0 to 1."""
        if self.f1 is None:
            return 0.0, 1.0
        share = 1.0 if self.worth is None else self.worth / self.total
        most = share * float(self.ranking.positives.sum())
        return varying_interval(self.f1, self.f1_variance, most)

    @property
    def mistakes(self) -> np.ndarray:
        """Photos that have a class or were labelled so, but not both, int64, [classes]."""
        return self.ranking.positives + self.predicted - 2 * np.diagonal(self.together)

    def most_confused(self, most: int) -> list[int]:
        """Returns the indices of the classes with the most mistakes, ascending."""
        order = np.argsort(-self.mistakes, kind="stable")
        return sorted(order[:most].tolist())

    def summary(self) -> str:
        """Returns the mean average precision, photos and interval, in words."""
        if self.value is None:
            return f"not measured (N={self.total})"
        low, high = self.interval
        return (
            f"mean average precision {self.value:.3f} (N={self.total}{self.grouped},"
            f" 95%: {low:.3f} to {high:.3f})"
        )

    def exact_text(self) -> str:
        """Returns how many photos have all their labels right, and no other, in words."""
        low, high = self.exact_interval
        return f"{self.exact:,} of {self.total:,} (95%: {low:.1%} to {high:.1%})"

    def as_dict(self) -> dict[str, Any]:
        """Returns everything for JSON; shares in 0 to 1, None where undefined."""
        return {
            "mean_average_precision": self.value,
            "n": self.total,
            **({} if self.groups is None else {"groups": self.groups}),
            **({} if self.folds is None else {"folds": self.folds}),
            "interval_95": list(self.interval),
            "f1": self.f1,
            "f1_interval_95": list(self.f1_interval),
            "exact_match": {
                "photos": self.exact,
                "share": self.exact / self.total if self.total else None,
                "interval_95": list(self.exact_interval),
            },
            "coverage": self.coverage,
            "coverage_interval_95": list(self.coverage_interval),
            "classes": {
                row.label: {
                    "n": row.photos,
                    "average_precision": row.average_precision,
                    "interval_95": list(row.interval),
                    "threshold": row.threshold,
                    "precision": row.precision,
                    "recall": row.recall,
                    "f1": row.f1,
                }
                for row in self.classes
            },
            "together": self.together.tolist(),
        }


def evaluate_label_sets(
    labels: Sequence[str],
    y: np.ndarray,
    probabilities: np.ndarray,
    decided: np.ndarray,
    groups: Sequence[int] | None = None,
    folds: int | None = None,
    thresholds: Sequence[float] | np.ndarray | None = None,
) -> MultiLabelEvaluation:
    """Compares predictions with the truth, where photos may have several labels or none.

    Args:
        labels: class names, in output order.
        y: whether each photo has each class, bool, [photos, classes].
        probabilities: float, [photos, classes], range [0, 1].
        decided: whether each photo is labelled with each class, bool, [photos, classes].
        groups: what each photo belongs to; None where each stands alone.
        folds: number of folds where the predictions are out-of-fold; None where one head made all.
        thresholds: of each class; None where they differ by photo.
    """
    number = len(set(groups or ()))
    alone = groups is None or number == len(groups)
    # The rank of the least probable of a photo's own labels; equal ones count against it.
    lowest = np.where(y, probabilities, np.inf).min(axis=1, initial=np.inf, keepdims=True)
    looked_at = (probabilities >= lowest).sum(axis=1)
    coverage = float(looked_at.mean()) if len(y) else 0.0
    members = None if alone else np.asarray(groups)
    moved = (looked_at - coverage) / max(len(y), 1)
    half = Z95 * math.sqrt(variance_of_sum(moved, members))
    return MultiLabelEvaluation(
        tuple(labels),
        mean_average_precision(y, probabilities, None if alone else groups),
        y.astype(np.int64).T @ decided.astype(np.int64),
        decided.sum(axis=0),
        int((y == decided).all(axis=1).sum()),
        coverage,
        len(y),
        None if alone else number,
        None if groups is None or alone else worth_of(groups),
        folds,
        None if thresholds is None else np.asarray(thresholds, np.float64),
        variance_of_sum(_f1_influence(y, decided), members),
        (max(coverage - half, 0.0), min(coverage + half, float(y.shape[1]))),
    )


def _f1_influence(y: np.ndarray, decided: np.ndarray) -> np.ndarray:
    """Returns how much each photo moves the mean F1 of the classes that some have, [photos]."""
    known = y.any(axis=0)
    if not known.any():
        return np.zeros(len(y))
    y, decided = y[:, known].astype(float), decided[:, known].astype(float)
    both = 2 * y * decided
    all_labels = y + decided
    total = all_labels.sum(axis=0)
    return np.asarray(((both - both.sum(axis=0) / total * all_labels) / total).mean(axis=1))
