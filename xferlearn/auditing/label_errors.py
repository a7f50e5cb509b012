"""Which labels are likely wrong, and how many of the suspected ones really are.

Confident learning (C. Northcutt, L. Jiang, I. Chuang, Confident Learning: Estimating Uncertainty in
Dataset Labels, JAIR 70, 2021) says from what heads should not learn. It counts photos on which
heads are wrong, and where classes overlap many of these have the right label. So how many labels
are wrong is estimated by a model of the labels (`label_model`), for what overlap does not explain.
"""

import dataclasses
import math
from collections.abc import Callable, Sequence

import numpy as np

from xferlearn.auditing.label_model import LabelModels, explain_labels
from xferlearn.metrics import worth_of

# Fits without the photos that looked worst; a third changes little.
_REFITS = 2
# Labels that are wrong with at least this probability are suspected; where they are few, a few that
# are less likely wrong, too.
_SUSPECTED, _FEWEST, FEW_SUSPECTED = 0.2, 10, 0.02
# What no model knows, as a standard deviation: photos, and a share of the estimate.
_MODEL_ERROR = 2.0, 0.1
_Z95 = 1.959963984540054


@dataclasses.dataclass(frozen=True)
class Estimate:
    """A number of photos that is estimated.

    Attributes:
        value: the estimate.
        low: lower end of its 95% interval, in whole photos.
        high: upper end.
    """

    value: float
    low: int
    high: int


@dataclasses.dataclass(frozen=True, eq=False)
class LabelErrors:
    """Photos whose labels are likely wrong.

    Attributes:
        score: estimated probability that the label is wrong, float32, [photos], range [0, 1]; 0 for
            photos without a label, and for those that no head judges.
        proposed: the likeliest class other than the label, int32, [photos]; the label itself where
            no head judges, or there is one class.
        order: rows of the suspected photos, the worst first, int, [suspected].
        expected: how many of the suspected labels are really wrong.
        wrong: how many of all labels are wrong, suspected or not.
        probabilities: of each class, by heads that have learned neither from the photo nor from
            those that looked worst, float32, [photos, classes], range [0, 1]; NaN where none.
        estimate: returns how many of some rows, int, [some], are wrong.
    """

    score: np.ndarray
    proposed: np.ndarray
    order: np.ndarray
    expected: Estimate
    wrong: Estimate
    probabilities: np.ndarray
    estimate: Callable[[np.ndarray], Estimate]

    def told(self, row: int, label: int, labels: Sequence[str]) -> tuple[str, str]:
        """Returns the label that fits a photo best, and why its own is suspected.

        Args:
            row: the photo's.
            label: index of the suspected label.
            labels: class names.
        """
        likely, better = self.probabilities[row], int(self.proposed[row])
        return labels[better], (
            f"looks like {labels[better]} ({likely[better]:.0%}), not like {labels[label]}"
            f" ({likely[label]:.0%})"
        )


def find_label_errors(
    y: np.ndarray,
    fit: Callable[[np.ndarray], np.ndarray],
    groups: np.ndarray | None = None,
) -> LabelErrors:
    """Finds labels that are likely wrong.

    Args:
        y: class index of each photo, int, [photos]; -1 for none.
        fit: fits heads to the photos that it is told, bool, [photos], and returns what those say
            that have not learned from a photo: probabilities, float, [photos, classes], range
            [0, 1]; NaN for photos that none of them judges. It is called three times.
        groups: the number of what each photo belongs to, int, [photos]; None where each stands
            alone. Photos of one group are wrong together, which widens intervals.

    Returns:
        The suspected photos, and how many of them are expected to be wrong.

    Example:
        >>> heads = LinearHeads(material.bottlenecks, material.folds, prepared.widths)
        >>> y, classes = material.y, len(material.labels)
        >>> found = find_label_errors(y, lambda learned: heads.fit(y, classes, learned))
        >>> found.order[:3]
        array([611, 802, 145])
    """
    y = np.asarray(y, np.int32)
    probabilities = fit(np.ones(len(y), bool))
    for _ in range(_REFITS):
        learned = np.ones(len(y), bool)
        learned[confident_errors(y, probabilities)] = False
        probabilities = fit(learned)
    score, proposed = np.zeros(len(y), np.float32), y.copy()
    rows = _judged(y, probabilities)
    if not len(rows) or probabilities.shape[1] < 2:
        none = Estimate(0.0, 0, 0)
        return LabelErrors(
            score, proposed, np.arange(0), none, none, probabilities, lambda some: none
        )
    models = explain_labels(y[rows], probabilities[rows])
    score[rows] = models.weights @ models.wrong
    proposed[rows] = models.proposed
    order = rows[np.argsort(-score[rows], kind="stable")][: suspected_of(score)]

    def estimate(some: np.ndarray) -> Estimate:
        """Returns how many of some judged photos are wrong."""
        places = np.searchsorted(rows, some)
        return _estimate(models, places, None if groups is None else groups[some])

    found = estimate(order), estimate(rows)
    return LabelErrors(score, proposed, order, *found, probabilities, estimate)


def suspected_of(score: np.ndarray) -> int:
    """Returns how many of the likeliest wrong labels are suspected.

    Args:
        score: probability that each is wrong, float, any shape.
    """
    many, most = (int((score >= least).sum()) for least in (_SUSPECTED, FEW_SUSPECTED))
    return max(many, min(most, _FEWEST))


def confident_errors(y: np.ndarray, probabilities: np.ndarray) -> np.ndarray:
    """Returns as many photos as the confident joint has off its diagonal, the worst first.

    A head is confident of a class where it is at least as sure as it is of the photos that have
    this label, on average; a photo is counted for the likeliest of these classes (Northcutt et al.,
    equations 1 and 2). The photos are those whose own label is the least likely ("prune by noise
    rate"), but never more than half of a class.

    Args:
        y: class index of each photo, int, [photos]; -1 for none.
        probabilities: by heads that have not learned from a photo, float, [photos, classes]; NaN
            where none.

    Returns:
        Rows, int, [suspected].
    """
    rows = _judged(y, probabilities)
    labels, p = y[rows], probabilities[rows]
    own = p[np.arange(len(rows)), labels]
    counts = np.bincount(labels, minlength=p.shape[1])
    sums = np.bincount(labels, own, minlength=p.shape[1])
    # Rounding alone must not make a photo less sure than the mean.
    thresholds = np.where(counts > 0, sums / np.maximum(counts, 1) - 1e-6, np.inf)
    # A class that heads can't tell at all, such as one of a single photo, suspects no other.
    thresholds = np.maximum(thresholds, 1 / p.shape[1])
    confident = np.where(p >= thresholds, p, -1)
    best = confident.argmax(axis=1)
    off = int(((confident.max(axis=1, initial=-1) >= 0) & (best != labels)).sum())
    order = np.argsort(own, kind="stable")
    # The place of each photo among those of its class.
    by_class = order[np.argsort(labels[order], kind="stable")]
    places = np.empty(len(rows), int)
    places[by_class] = np.arange(len(rows)) - np.repeat(np.cumsum(counts) - counts, counts)
    worst = order[:off]
    return rows[worst[places[worst] < counts[labels[worst]] // 2]]


def _judged(y: np.ndarray, probabilities: np.ndarray) -> np.ndarray:
    return np.flatnonzero((y >= 0) & np.isfinite(probabilities).all(axis=1))


def _estimate(models: LabelModels, places: np.ndarray, groups: np.ndarray | None) -> Estimate:
    """Returns how many of some photos are wrong."""
    if not len(places):
        return Estimate(0.0, 0, 0)
    wrong = models.wrong[:, places].astype(float)
    sums = wrong.sum(axis=1)
    value = float(models.weights @ sums)
    # By chance in each model, between models, and what none of them knows.
    together = 1.0
    if groups is not None and len(places):
        together = len(places) / worth_of(groups)
    chance = float(models.weights @ (wrong * (1 - wrong)).sum(axis=1))
    between = float(models.weights @ np.square(sums - value))
    return estimated(value, chance * together + between, len(places))


def estimated(value: float, variance: float, most: int) -> Estimate:
    """Returns an estimate with its interval.

    Args:
        value: how many photos.
        variance: by chance, and between models.
        most: of how many photos.
    """
    photos, share = _MODEL_ERROR
    half = _Z95 * math.sqrt(variance + (photos + share * value) ** 2)
    return Estimate(value, max(0, math.floor(value - half)), min(most, math.ceil(value + half)))
