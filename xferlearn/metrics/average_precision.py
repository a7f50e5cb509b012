"""Average precision, and how certain it is: what several labels per photo are measured by."""

import dataclasses
import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from xferlearn.metrics.intervals import Z95, variance_of_sum, varying_interval, worth_of


@dataclasses.dataclass(frozen=True)
class MeanAveragePrecision:
    """The average precision of each class, and their mean.

    The average precision of a class is the mean, over the photos that have it, of the share of such
    photos among all that score at least as high: 1 where all of them score above all others, and
    the share of photos that have it, by chance.

    Attributes:
        of_classes: of each class, float64, [classes], range [0, 1]; NaN where no photo has it, or
            all have, so that there is nothing to tell apart.
        influence: how much each photo moves each of them, float64, [photos, classes]: the
            derivative by the photo's weight; 0 for classes without photos.
        positives: photos that have each class, int64, [classes].
        groups: what each photo belongs to, int, [photos]; None where each stands alone.
    """

    of_classes: np.ndarray
    influence: np.ndarray
    positives: np.ndarray
    groups: np.ndarray | None = None

    @property
    def known(self) -> np.ndarray:
        """Which classes some photo has and some has not, bool, [classes]."""
        return ~np.isnan(self.of_classes)

    @property
    def mean(self) -> float | None:
        """The mean over the classes that are known, 0 to 1; None where none is."""
        known = self.known
        return float(self.of_classes[known].mean()) if known.any() else None

    @property
    def interval(self) -> tuple[float, float]:
        """95% interval of the mean, 0 to 1."""
        return self._interval(self.known)

    def interval_of(self, place: int) -> tuple[float, float]:
        """Returns the 95% interval of one class, 0 to 1."""
        return self._interval(self.known & (np.arange(len(self.positives)) == place))

    @property
    def of_photos(self) -> np.ndarray:
        """What each photo tells of the mean, which is their mean, float64, [photos].

        They vary as much as the mean does by which photos there are. None where no photo has a
        class.
        """
        known = self.positives > 0
        if not known.any():
            return np.zeros(0)
        return (self.mean or 0.0) + len(self.influence) * self.influence[:, known].mean(axis=1)

    def _interval(self, classes: np.ndarray) -> tuple[float, float]:
        """Returns the interval of a mean, which no more photos tell than have the classes."""
        if not classes.any():
            return 0.0, 1.0
        value = float(self.of_classes[classes].mean())
        variance = variance_of_sum(self.influence[:, classes].mean(axis=1), self.groups)
        most = float(self.positives[classes].sum())
        if self.groups is not None:
            having = self.influence[:, classes].any(axis=1)
            most *= worth_of(self.groups[having]) / having.sum() if having.any() else 1.0
        return varying_interval(value, variance, most)


def mean_average_precision(
    y: np.ndarray, scores: np.ndarray, groups: Sequence[int] | np.ndarray | None = None
) -> MeanAveragePrecision:
    """Returns how well scores order photos, class by class.

    Args:
        y: whether each photo has each class, bool, [photos, classes].
        scores: float, [photos, classes]; higher where a class is likelier.
        groups: what each photo belongs to; None where each stands alone.

    Example:
        >>> y = np.array([[True], [False], [True]])
        >>> mean_average_precision(y, np.array([[0.9], [0.8], [0.7]])).mean
        0.8333333333333333
    """
    photos, classes = y.shape
    values = np.full(classes, np.nan)
    influence = np.zeros((photos, classes))
    for place in range(classes):
        if 0 < y[:, place].sum() < photos:
            values[place], influence[:, place] = _of_class(y[:, place], scores[:, place])
    groups = None if groups is None else np.asarray(groups)
    return MeanAveragePrecision(values, influence, y.sum(axis=0), groups)


def _of_class(y: np.ndarray, scores: np.ndarray) -> tuple[float, np.ndarray]:
    """Returns the average precision of a class, and its derivatives by the photos' weights."""
    order = np.argsort(-scores, kind="stable")
    positive = y[order].astype(np.float64)
    ordered = scores[order]
    # Photos of equal scores are told apart by nothing: all of them count for each.
    last = np.searchsorted(-ordered, -ordered, side="right") - 1
    first = np.searchsorted(-ordered, -ordered, side="left")
    number = (last + 1).astype(np.float64)
    precision = positive.cumsum()[last] / number
    total = positive.sum()
    value = float((positive * precision).sum() / total)
    # A photo's weight counts for the precision at each positive photo that is not above it.
    after = np.cumsum((positive / number)[::-1])[::-1][first]
    lost = np.cumsum((positive * precision / number)[::-1])[::-1][first]
    derivative = (positive * (precision - value) + positive * after - lost) / total
    found = np.empty(len(y))
    found[order] = derivative
    return value, found


@dataclasses.dataclass(frozen=True)
class PrecisionChange:
    """How the mean average precision changed that was measured twice on the same photos.

    Attributes:
        mean: the second minus the first, -1 to 1.
        interval: its 95% interval, -1 to 1.
        photos: number of photos.
    """

    mean: float
    interval: tuple[float, float]
    photos: int

    def text(self) -> str:
        """Returns it in points of 0.01, e.g. "+1.2 points (95%: -0.3 to +2.8)"."""
        low, high = self.interval
        return f"{100 * self.mean:+.1f} points (95%: {100 * low:+.1f} to {100 * high:+.1f})"

    def as_dict(self) -> dict[str, Any]:
        """Returns everything for JSON; in -1 to 1."""
        return {"change": self.mean, "interval_95": list(self.interval), "n": self.photos}


def precision_change(before: MeanAveragePrecision, after: MeanAveragePrecision) -> PrecisionChange:
    """Returns how the mean average precision of the same photos and classes changed.

    Photos that move both alike do not blur the change. Where none moves it, as many photos as have
    the classes might still have been out of place once (the rule of three).
    """
    known = before.known
    if not known.any():
        return PrecisionChange(0.0, (-1.0, 1.0), len(before.influence))
    mean = float((after.of_classes - before.of_classes)[known].mean())
    moved = (after.influence - before.influence)[:, known].mean(axis=1)
    half = Z95 * math.sqrt(variance_of_sum(moved, before.groups))
    half = max(half, 3 / max(float(before.positives.sum()), 3.0))
    low, high = max(mean - half, -1.0), min(mean + half, 1.0)
    return PrecisionChange(mean, (low, high), len(moved))
