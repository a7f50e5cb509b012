"""Calibration: of the photos labelled with a probability of 80%, 80 in 100 are right.

One temperature makes up for a head that is too sure or not sure enough (C. Guo, G. Pleiss, Y. Sun,
K. Q. Weinberger, On Calibration of Modern Neural Networks, ICML 2017).
"""

import dataclasses
import math
from collections.abc import Callable, Sequence

import numpy as np

from xferlearn.metrics import wilson_interval, worth_of
from xferlearn.system.vectors import blocks_of, new_table

MOST_BINS = 15

LOWEST_TEMPERATURE, HIGHEST_TEMPERATURE = 0.05, 20.0
# Deviation of log T as expected before any photo is seen; a few photos that are all right would
# otherwise want a temperature of 0.
_PRIOR_DEVIATION = 0.5
_GRID = 17
_TOLERANCE = 1e-3
# Probabilities by which a temperature is found, which in float64 take half a GiB.
_MOST_ASKED = 2**26
_TINY = float(np.finfo(np.float32).tiny)


def fit_temperature(
    probabilities: np.ndarray, y: np.ndarray, groups: Sequence[int] | None = None
) -> float:
    """Returns the temperature that suits predictions best.

    It minimises the cross-entropy of softmax(log p / T) together with a weak prior, log T normal
    around 0 with deviation 0.5, which decides where there are few photos. Where photos may have
    several labels it is that of sigmoid(logit p / T), on average over the classes. Of more than 64
    million probabilities, those of as many photos as have that many are asked, drawn evenly.

    Args:
        probabilities: of photos that the model has not learned from, float, [photos, classes],
            range [0, 1]; 0 is allowed.
        y: true class index of each photo, int, [photos]; or whether each has each class, bool,
            [photos, classes].
        groups: what each photo belongs to, in the same order; None where each stands alone. Photos
            in groups count as `xferlearn.metrics.worth_of` says.

    Returns:
        The temperature, from 0.05 to 20: above 1 where the model was too sure; 1 without photos.

    Raises:
        ValueError: a probability is not in the range [0, 1].

    Example:
        >>> temperature = fit_temperature(probabilities, y)
        >>> calibrated = with_temperature(probabilities, temperature)
    """
    if not len(y):
        return 1.0
    worth = len(y) if groups is None else worth_of(groups)
    entropy_of = _entropy_of_sets if y.ndim == 2 else _entropy
    every = -(-probabilities.size // _MOST_ASKED)
    entropy_at = entropy_of(probabilities[::every], y[::every])

    def cost(log_temperature: float) -> float:
        entropy = entropy_at(math.exp(-log_temperature))
        return worth * entropy + 0.5 * (log_temperature / _PRIOR_DEVIATION) ** 2

    grid = np.linspace(math.log(LOWEST_TEMPERATURE), math.log(HIGHEST_TEMPERATURE), _GRID)
    best = int(np.argmin([cost(float(point)) for point in grid]))
    low, high = float(grid[max(best - 1, 0)]), float(grid[min(best + 1, _GRID - 1)])
    return math.exp(_lowest(cost, low, high))


def _entropy(probabilities: np.ndarray, y: np.ndarray) -> Callable[[float], float]:
    """Returns the mean cross-entropy by what the logits are multiplied with."""
    logs = _logs(probabilities)
    of_truth = float(logs[np.arange(len(y)), y].mean())
    # The largest logarithm is 0, so the sum is at least 1.
    return lambda scale: float(np.log(np.exp(logs * scale).sum(axis=1)).mean()) - scale * of_truth


def _entropy_of_sets(probabilities: np.ndarray, y: np.ndarray) -> Callable[[float], float]:
    wrong = np.where(y, -1, 1) * _logits(probabilities)
    return lambda scale: float(np.logaddexp(0, wrong * scale).mean())


def with_temperature(
    probabilities: np.ndarray, temperature: float, *, multi_label: bool = False
) -> np.ndarray:
    """Returns softmax(log p / T): probabilities that keep their order and change their strength.

    Args:
        probabilities: float, [photos, classes], range [0, 1].
        temperature: above 0; above 1 makes them less sure.
        multi_label: whether each class has a probability of its own: sigmoid(logit p / T).

    Returns:
        Float32, [photos, classes], range [0, 1].

    Raises:
        ValueError: the temperature is not above 0, or a probability not in the range [0, 1].
    """
    if not 0 < temperature < math.inf:
        raise ValueError(f"Expected a temperature above 0. Received: {temperature}.")
    found = new_table(*probabilities.shape)
    for rows, block in blocks_of(probabilities):
        if multi_label:
            found[rows] = 1 / (1 + np.exp(-_logits(block) / temperature))
            continue
        powers = np.exp(_logs(block) / temperature)
        found[rows] = powers / powers.sum(axis=1, keepdims=True)
    return found


@dataclasses.dataclass(frozen=True)
class ReliabilityBin:
    """Photos whose first labels have about the same probability.

    Attributes:
        confidence: mean probability of their first labels, 0 to 1.
        accuracy: share of them that is right, 0 to 1.
        count: number of photos.
        interval: 95% interval of the accuracy, 0 to 1.
    """

    confidence: float
    accuracy: float
    count: int
    interval: tuple[float, float]


@dataclasses.dataclass(frozen=True)
class Reliability:
    """How far probabilities and what is right agree.

    Attributes:
        bins: from the least sure photos to the surest; about as many photos in each.
        ece: expected calibration error, 0 to 1: how far the probability of the first label is off
            on average over the bins, each weighed by its photos.
        by_chance: what `ece` would be on average, with as many photos, if the probabilities were
            exactly right, 0 to 1.
    """

    bins: tuple[ReliabilityBin, ...]
    ece: float
    by_chance: float

    @property
    def total(self) -> int:
        """Number of photos."""
        return sum(one.count for one in self.bins)

    def summary(self) -> str:
        """Returns e.g. "ECE 1.4% (N=828, 1.3% expected by chance alone)"."""
        if not self.bins:
            return "not measured (N=0)"
        return f"ECE {self.ece:.1%} (N={self.total}, {self.by_chance:.1%} expected by chance alone)"


def reliability(
    probabilities: np.ndarray,
    y: np.ndarray,
    groups: Sequence[int] | None = None,
    *,
    bins: int = MOST_BINS,
) -> Reliability:
    """Compares the probabilities of the first labels with how many of these are right.

    Where photos may have several labels, each class of each photo is one question: how likely it
    is, and whether the photo has it.

    The bins hold as many photos each: bins of equal width, as in Guo et al. 2017, leave nearly all
    photos in the last one. There are as many as the cube root of the photos, where what chance adds
    and what the width of bins hides are about balanced (L. Gyorfi et al., A Distribution-Free
    Theory of Nonparametric Regression, 2002, chapter 4): 7 for 500 photos. Equal probabilities are
    never parted.

    Args:
        probabilities: float, [photos, classes], range [0, 1].
        y: true class index of each photo, int, [photos]; or whether each has each class, bool,
            [photos, classes].
        groups: what each photo belongs to, in the same order; None where each stands alone. The
            intervals allow for it.
        bins: the most there are, however many the photos.

    Raises:
        ValueError: a probability is not in the range [0, 1].
    """
    _check(probabilities)
    if not len(y):
        return Reliability((), 0.0, 0.0)
    confidence = probabilities.max(axis=1).astype(np.float64)
    right = probabilities.argmax(axis=1) == y if y.ndim == 1 else y.ravel()
    if y.ndim == 2:
        confidence = probabilities.ravel().astype(np.float64)
        # Questions of one photo tell less than as many photos.
        groups = np.repeat(np.arange(len(y)) if groups is None else groups, y.shape[1]).tolist()
    number = min(bins, int(math.cbrt(len(y)) + 1e-9))
    starts = np.sort(confidence)[np.arange(1, number) * len(right) // number]
    of_photo = np.searchsorted(starts, confidence, side="right")
    found, gaps, chances = [], 0.0, 0.0
    for which in np.unique(of_photo):
        rows = np.flatnonzero(of_photo == which)
        accuracy, mean = float(right[rows].mean()), float(confidence[rows].mean())
        worth = len(rows) if groups is None else worth_of([groups[row] for row in rows.tolist()])
        interval = wilson_interval(accuracy * worth, worth)
        found.append(ReliabilityBin(mean, accuracy, len(rows), interval))
        gaps += len(rows) * abs(mean - accuracy)
        # Mean size of a normal deviate, with the variance of that many draws.
        spread = float((confidence[rows] * (1 - confidence[rows])).mean()) / worth
        chances += len(rows) * math.sqrt(2 / math.pi * max(spread, 0.0))
    return Reliability(tuple(found), gaps / len(right), chances / len(right))


def _check(probabilities: np.ndarray) -> None:
    valid = (probabilities >= 0) & (probabilities <= 1 + 1e-5)  # which no NaN is
    if not valid.all():
        wrong = probabilities[~valid][0]
        raise ValueError(f"Expected probabilities, 0 to 1. Received: {wrong}.")


def _logs(probabilities: np.ndarray) -> np.ndarray:
    """Returns logarithms of which the largest of each row is 0, float64, [photos, classes]."""
    _check(probabilities)
    logs = np.log(np.maximum(probabilities, _TINY, dtype=np.float64))
    return logs - logs.max(axis=1, keepdims=True)


def _logits(probabilities: np.ndarray) -> np.ndarray:
    """Returns log p / (1 - p), float64, [photos, classes]."""
    _check(probabilities)
    inside = np.clip(probabilities.astype(np.float64), _TINY, 1 - np.finfo(np.float32).epsneg)
    return np.asarray(np.log(inside) - np.log1p(-inside))


def _lowest(cost: Callable[[float], float], low: float, high: float) -> float:
    """Returns where a cost is lowest between two points, by golden section."""
    golden = (math.sqrt(5) - 1) / 2
    left, right = high - golden * (high - low), low + golden * (high - low)
    at_left, at_right = cost(left), cost(right)
    while high - low > _TOLERANCE:
        if at_left <= at_right:
            high, right, at_right = right, left, at_left
            left = high - golden * (high - low)
            at_left = cost(left)
        else:
            low, left, at_left = left, right, at_right
            right = low + golden * (high - low)
            at_right = cost(right)
    return (low + high) / 2
