"""Which labels are likely wrong, and how many of the suspected ones really are.

Confident learning (C. Northcutt, L. Jiang, I. Chuang, Confident Learning: Estimating Uncertainty in
Dataset Labels, JAIR 70, 2021), from the paper's definitions.
"""

import dataclasses
from collections.abc import Callable

import numpy as np

from xferlearn.metrics import wilson_interval, worth_of

# Fits without the photos that looked worst; a third changes little.
_REFITS = 2


@dataclasses.dataclass(frozen=True)
class Estimate:
    """A number of photos that is estimated.

    Attributes:
        value: the estimate.
        low: lower end of its 95% interval.
        high: upper end.
    """

    value: float
    low: float
    high: float


@dataclasses.dataclass(frozen=True, eq=False)
class LabelErrors:
    """Photos whose labels are likely wrong.

    Attributes:
        score: estimated probability that the label is wrong, float32, [photos], range [0, 1]; 0 for
            photos without a label, and for those that no head judges.
        proposed: class index that fits best, int32, [photos]: another one than the label for those
            in `order`; the label for photos that no head judges.
        order: rows of the suspected photos, the worst first, int, [suspected].
        expected: how many of the suspected labels are really wrong.
        wrong: how many of all labels are wrong, suspected or not.
        probabilities: of each class, by heads that have learned neither from the photo nor from
            those that looked worst, float32, [photos, classes], range [0, 1]; NaN where none.
    """

    score: np.ndarray
    proposed: np.ndarray
    order: np.ndarray
    expected: Estimate
    wrong: Estimate
    probabilities: np.ndarray


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

    Example:
        >>> heads = LinearHeads(material.bottlenecks, material.folds, prepared.widths)
        >>> y, classes = material.y, len(material.labels)
        >>> found = find_label_errors(y, lambda learned: heads.fit(y, classes, learned))
        >>> found.order[:3]
        array([611, 802, 145])
    """
    y = np.asarray(y, np.int32)
    learned = np.ones(len(y), bool)
    probabilities = fit(learned)
    for _ in range(_REFITS):
        learned = np.ones(len(y), bool)
        learned[_suspects(y, probabilities)] = False
        probabilities = fit(learned)
    judged = (y >= 0) & np.isfinite(probabilities).all(axis=1)
    rows = np.flatnonzero(judged)
    own = probabilities[rows, y[rows]]
    proposed = np.maximum(y, 0)
    proposed[rows] = probabilities[rows].argmax(axis=1)
    score = np.zeros(len(y), np.float32)
    score[rows] = 1 - own
    order = _suspects(y, probabilities)
    order = order[proposed[order] != y[order]]
    expected = float(score[order].sum())
    worth = 1.0 if groups is None or not len(order) else worth_of(groups[order]) / len(order)
    low, high = wilson_interval(expected * worth, len(order) * worth)
    estimate = Estimate(expected, low * len(order), high * len(order))
    return LabelErrors(score, proposed, order, estimate, estimate, probabilities)


def _suspects(y: np.ndarray, probabilities: np.ndarray) -> np.ndarray:
    """Returns as many photos as the confident joint has off its diagonal, the worst first."""
    rows = np.flatnonzero((y >= 0) & np.isfinite(probabilities).all(axis=1))
    labels, p = y[rows], probabilities[rows]
    own = p[np.arange(len(rows)), labels]
    # Of each class, how sure heads are of photos that have its label, on average.
    counts = np.bincount(labels, minlength=p.shape[1])
    sums = np.bincount(labels, own, minlength=p.shape[1])
    thresholds = np.where(counts > 0, sums / np.maximum(counts, 1), np.inf)
    # A class that heads can't tell at all, such as one of a single photo, suspects no other.
    thresholds = np.maximum(thresholds, 1 / p.shape[1])
    confident = np.where(p >= thresholds, p, -1)
    best = confident.argmax(axis=1)
    off = int(((confident.max(axis=1) >= 0) & (best != labels)).sum())
    return rows[np.argsort(own, kind="stable")[:off]]
