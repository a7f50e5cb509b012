"""Which labels are likely wrong, and how many of the suspected ones really are.

Confident learning (C. Northcutt, L. Jiang, I. Chuang, Confident Learning: Estimating Uncertainty in
Dataset Labels, JAIR 70, 2021) says from what heads should not learn. It counts photos on which
heads are wrong, and where classes overlap many of these have the right label. So how many labels
are wrong is estimated by a model of the labels: the true class is as likely as the head says, more
or less sharply, and each class is taken for each other one with some probability. Labels that are
wrong for no reason that the head sees are what no sharpness explains.
"""

import dataclasses
import math
from collections.abc import Callable, Sequence

import numpy as np

from xferlearn.metrics import worth_of

# Fits without the photos that looked worst; a third changes little.
_REFITS = 2
# Labels that are wrong with at least this probability are suspected; where they are few, a few that
# are less likely wrong, too.
_SUSPECTED, _FEWEST, _FEW_SUSPECTED = 0.2, 10, 0.02
# As many photos per class speak for all confusions being equally likely.
_PRIOR = 30.0
_SHARPNESS = np.exp(np.linspace(-1.2, 0.8, 21))
_AT_FIRST, _STEPS, _CLOSE = 0.05, 100, 1e-4
# Classes that a photo may truly have, and values that are looked at to find the sharpness.
_LIKELY, _SAMPLE = 10, 1_000_000
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
    models = _explain(y[rows], probabilities[rows])
    score[rows] = models.weights @ models.wrong
    proposed[rows] = models.proposed
    order = rows[np.argsort(-score[rows], kind="stable")]
    many, most = (int((score >= least).sum()) for least in (_SUSPECTED, _FEW_SUSPECTED))
    order = order[: max(many, min(most, _FEWEST))]

    def estimate(some: np.ndarray) -> Estimate:
        """Returns how many of some judged photos are wrong."""
        places = np.searchsorted(rows, some)
        return _estimate(models, places, None if groups is None else groups[some])

    found = estimate(order), estimate(rows)
    return LabelErrors(score, proposed, order, *found, probabilities, estimate)


def unlike_text(labels: Sequence[str], likely: np.ndarray, label: int, better: int) -> str:
    """Returns why a label is suspected.

    Args:
        labels: class names.
        likely: probability of each class, float, [classes], range [0, 1].
        label: index of the suspected label.
        better: index of the class that fits best.
    """
    return (
        f"looks like {labels[better]} ({likely[better]:.0%}), not like {labels[label]}"
        f" ({likely[label]:.0%})"
    )


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


@dataclasses.dataclass(frozen=True, eq=False)
class _Models:
    """What models of several sharpnesses say of photos.

    Attributes:
        weights: how likely each model is, [models].
        wrong: probability that a label is wrong, float32, [models, photos].
        proposed: the likeliest class other than the label, by the likeliest model, [photos].
    """

    weights: np.ndarray
    wrong: np.ndarray
    proposed: np.ndarray


def _judged(y: np.ndarray, probabilities: np.ndarray) -> np.ndarray:
    return np.flatnonzero((y >= 0) & np.isfinite(probabilities).all(axis=1))


def _explain(y: np.ndarray, probabilities: np.ndarray) -> _Models:
    """Returns the models that explain labels best."""
    classes = probabilities.shape[1]
    some = np.unique(np.linspace(0, len(y) - 1, max(1, _SAMPLE // classes)).astype(int))
    of_some = _Likely(y[some], probabilities[some])
    found = np.array([of_some.confusions(sharpness)[1] for sharpness in _SHARPNESS])
    weights = np.exp(found - found.max())
    kept = np.flatnonzero(weights > 0.01)
    likely = _Likely(y, probabilities)
    posteriors = [likely.confusions(sharpness)[0] for sharpness in _SHARPNESS[kept]]
    best = posteriors[int(weights[kept].argmax())][:, 1:].argmax(axis=1) + 1
    return _Models(
        weights[kept] / weights[kept].sum(),
        np.array([1 - posterior[:, 0] for posterior in posteriors], np.float32),
        likely.classes[np.arange(len(y)), best],
    )


class _Likely:
    """Photos, and the few classes that each may truly have; its label is the first of them."""

    def __init__(self, y: np.ndarray, probabilities: np.ndarray) -> None:
        self.number = probabilities.shape[1]
        others = min(self.number - 1, _LIKELY)
        self._p = probabilities
        self.classes = np.empty((len(y), 1 + others), np.int32)
        self.classes[:, 0] = y
        for part in _parts(len(y), self.number):
            p = probabilities[part].copy()
            p[np.arange(len(p)), y[part]] = -1
            self.classes[part, 1:] = np.argpartition(-p, others - 1, axis=1)[:, :others]
        # Confusions, (true class, label), that a photo may be; those of no photo need no table.
        pairs = self.classes.astype(np.int64) * self.number + y[:, None]
        self._pairs, places = np.unique(pairs, return_inverse=True)
        self._places = places.reshape(pairs.shape)

    def confusions(self, sharpness: float) -> tuple[np.ndarray, float]:
        """Returns the most likely confusions' posterior of the true class, and log likelihood.

        Expectation maximisation (A. P. Dawid, A. M. Skene, Applied Statistics 28, 1979) of the
        probabilities with which each class gets each label, where true classes are as likely as
        probabilities to the power of the sharpness. Confusions that few photos tell of are near the
        mean over all.

        Returns:
            float, [photos, likely classes], the label's first; and the logarithm.
        """
        q = self._sharpened(sharpness)
        truth = self._pairs // self.number
        table = self._equal(_AT_FIRST)
        for _ in range(_STEPS):
            joint = q * table[self._places]
            likelihood = joint.sum(axis=1, keepdims=True)
            posterior = joint / likelihood
            wrong = float(np.clip(1 - posterior[:, 0].mean(), 1e-5, 0.9))
            equal = _PRIOR * self._equal(wrong)
            counts = np.bincount(self._places.ravel(), posterior.ravel())
            of_class = np.bincount(truth, counts, minlength=self.number) + _PRIOR
            before, table = table, (counts + equal) / of_class[truth]
            if np.abs(table - before).max() < _CLOSE:
                break
        # Of all confusions, those of no photo included.
        prior = (equal * np.log1p(counts / equal)).sum() + _PRIOR * np.log(_PRIOR / of_class).sum()
        return posterior, float(np.log(likelihood).sum() + prior)

    def _equal(self, wrong: float) -> np.ndarray:
        """Returns the probability of each confusion where all are equally likely."""
        truth, label = np.divmod(self._pairs, self.number)
        return np.where(truth == label, 1 - wrong, wrong / (self.number - 1))

    def _sharpened(self, sharpness: float) -> np.ndarray:
        found = np.empty(self.classes.shape)
        for part in _parts(len(found), self.number):
            powers = np.maximum(self._p[part], 1e-7) ** np.float32(sharpness)
            own = np.take_along_axis(powers, self.classes[part], axis=1)
            found[part] = own / powers.sum(axis=1, keepdims=True)
        return found


def _parts(photos: int, classes: int) -> list[slice]:
    """Returns parts of photos, each of which has few values."""
    size = max(1, 4_000_000 // classes)
    return [slice(start, start + size) for start in range(0, photos, size)]


def _estimate(models: _Models, places: np.ndarray, groups: np.ndarray | None) -> Estimate:
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
    photos, share = _MODEL_ERROR
    half = _Z95 * math.sqrt(chance * together + between + (photos + share * value) ** 2)
    return Estimate(
        value, max(0, math.floor(value - half)), min(len(places), math.ceil(value + half))
    )
