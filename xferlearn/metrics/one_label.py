"""How good a classifier is that gives each photo one label."""

import dataclasses
import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from xferlearn.metrics.intervals import FEW_PHOTOS, wilson_interval, worth_of
from xferlearn.metrics.measured import Measured


def accuracy_text(
    correct: float, total: int, interval: tuple[float, float], grouped: str = ""
) -> str:
    """Returns e.g. "91.8% (N=908, 95% interval 89.8% to 93.4%)".

    With few photos the interval says more, e.g. "5 of 6 right, 95%: 44% to 97%".

    Args:
        correct: number of photos labelled correctly; of several runs their mean.
        total: number of photos, at least 1.
        interval: 95% interval of the accuracy, 0 to 1.
        grouped: as in `Evaluation`.
    """
    low, high = interval
    if total < FEW_PHOTOS:
        return f"{correct:.3g} of {total} right{grouped}, 95%: {low:.0%} to {high:.0%}"
    counted = f"N={total}{grouped}"
    return f"{correct / total:.1%} ({counted}, 95% interval {low:.1%} to {high:.1%})"


@dataclasses.dataclass(frozen=True)
class ClassMetrics:
    """One class of an evaluation.

    Attributes:
        label: class name.
        photos: number of photos of this class.
        predicted: number of photos labelled as this class.
        correct: number of photos of this class labelled as this class.
    """

    label: str
    photos: int
    predicted: int
    correct: int

    @property
    def precision(self) -> float | None:
        """`correct` per `predicted`, 0 to 1; None where no photo was labelled as this class."""
        return self.correct / self.predicted if self.predicted else None

    @property
    def recall(self) -> float | None:
        """`correct` per `photos`, 0 to 1; None where there are no photos of this class."""
        return self.correct / self.photos if self.photos else None

    @property
    def f1(self) -> float | None:
        """Harmonic mean of precision and recall, 0 to 1; None where both counts are 0."""
        total = self.photos + self.predicted
        return 2 * self.correct / total if total else None


@dataclasses.dataclass(frozen=True)
class Evaluation(Measured):
    """Predictions compared with the truth.

    Attributes:
        labels: class names, in output order.
        confusion: photos by true (row) and predicted (column) class, int64, [classes, classes].
        groups: number of groups of photos that belong together, such as near twins; None where
            each photo stands alone.
        worth: how many photos that stand alone tell as much as these.
        folds: number of folds where each photo was predicted by the head that has not learned from
            its fold; None where one head predicted all.
    """

    labels: tuple[str, ...]
    confusion: np.ndarray
    groups: int | None = None
    worth: float | None = None
    folds: int | None = None

    measure = "accuracy"

    def __repr__(self) -> str:
        return f"Evaluation({len(self.labels)} classes, {self.summary()})"

    @property
    def total(self) -> int:
        """Number of photos."""
        return int(self.confusion.sum())

    @property
    def correct(self) -> int:
        """Number of photos labelled correctly."""
        return int(np.trace(self.confusion))

    @property
    def accuracy(self) -> float | None:
        """Share labelled correctly, 0 to 1; None without photos."""
        return self.correct / self.total if self.total else None

    @property
    def value(self) -> float | None:
        """The accuracy, by the name that all evaluations have for what `measure` says."""
        return self.accuracy

    @property
    def interval(self) -> tuple[float, float]:
        """95% interval of the accuracy, 0 to 1; groups count as `worth_of` says."""
        if self.worth is None or self.accuracy is None:
            return wilson_interval(self.correct, self.total)
        return wilson_interval(self.accuracy * self.worth, self.worth)

    @property
    def largest_class(self) -> tuple[str, float] | None:
        """The class with the most photos and its share, 0 to 1: right by naming it always.

        None without photos.
        """
        if not self.total:
            return None
        photos = self.confusion.sum(axis=1)
        return self.labels[int(photos.argmax())], float(photos.max() / self.total)

    @property
    def classes(self) -> tuple[ClassMetrics, ...]:
        """Counts, precision and recall by class, in output order."""
        return tuple(
            ClassMetrics(
                label,
                photos=int(self.confusion[i].sum()),
                predicted=int(self.confusion[:, i].sum()),
                correct=int(self.confusion[i, i]),
            )
            for i, label in enumerate(self.labels)
        )

    @property
    def mistakes(self) -> np.ndarray:
        """Photos that are of a class or were labelled so, but not both, int64, [classes]."""
        right = 2 * np.diagonal(self.confusion)
        return self.confusion.sum(axis=0) + self.confusion.sum(axis=1) - right

    def most_confused(self, most: int) -> list[int]:
        """Returns the indices of the classes with the most mistakes, ascending."""
        order = np.argsort(-self.mistakes, kind="stable")
        return sorted(order[:most].tolist())

    def pairs(self) -> list[tuple[int, int, int]]:
        """Returns true class, predicted class and photos of all mistakes, the most photos first."""
        wrong = self.confusion.copy()
        np.fill_diagonal(wrong, 0)
        found = [(int(i), int(j), int(wrong[i, j])) for i, j in np.argwhere(wrong)]
        return sorted(found, key=lambda pair: -pair[2])

    def summary(self) -> str:
        """Returns accuracy, photos and interval, as `accuracy_text` says them."""
        if not self.total:
            return "not measured (N=0)"
        return accuracy_text(self.correct, self.total, self.interval, self.grouped)

    def as_dict(self) -> dict[str, Any]:
        """Returns everything for JSON; shares in 0 to 1, None where undefined."""
        largest = self.largest_class
        return {
            "accuracy": self.accuracy,
            "n": self.total,
            **({} if self.groups is None else {"groups": self.groups}),
            **({} if self.folds is None else {"folds": self.folds}),
            "correct": self.correct,
            "interval_95": list(self.interval),
            "largest_class": largest and {"label": largest[0], "share": largest[1]},
            "classes": {
                row.label: {
                    "n": row.photos,
                    "precision": row.precision,
                    "recall": row.recall,
                    "f1": row.f1,
                }
                for row in self.classes
            },
            "confusion": self.confusion.tolist(),
        }


@dataclasses.dataclass(frozen=True)
class Misclassified:
    """A photo that the model labels wrongly.

    Attributes:
        name: the photo.
        truth: its class.
        predicted: the model's first label.
        score: probability of that label, 0 to 1.
        digest: SHA-256 of the photo's bytes, by which it is found again.
    """

    name: str
    truth: str
    predicted: str
    score: float
    digest: bytes = b""

    def as_dict(self) -> dict[str, Any]:
        """Returns everything for JSON, which has no NaN."""
        score = self.score if math.isfinite(self.score) else None
        return {
            "name": self.name,
            "truth": self.truth,
            "predicted": self.predicted,
            "score": score,
        }


def evaluate_predictions(
    labels: Sequence[str],
    truth: Sequence[int] | np.ndarray,
    predicted: Sequence[int] | np.ndarray,
    groups: Sequence[int] | None = None,
    folds: int | None = None,
) -> Evaluation:
    """Compares predictions with the truth.

    Args:
        labels: class names, in output order.
        truth: true class index of each photo.
        predicted: predicted class index of each photo, in the same order.
        groups: what each photo belongs to, in the same order; None where each stands alone.
        folds: number of folds where the predictions are out-of-fold; None where one head made all.
    """
    confusion = np.zeros((len(labels), len(labels)), np.int64)
    np.add.at(confusion, (np.asarray(truth, int), np.asarray(predicted, int)), 1)
    number = len(set(groups or ()))
    if groups is None or number == len(groups):
        return Evaluation(tuple(labels), confusion, folds=folds)
    return Evaluation(tuple(labels), confusion, number, worth_of(groups), folds)
