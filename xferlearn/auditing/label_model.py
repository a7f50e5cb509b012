"""A model of labels: which are likely wrong, given what heads say of the photos.

The true class is as likely as the head says, more or less sharply, and each label is with the same
small probability that of any other class. Where labels speak for it, a class is taken for one other
class with a probability of its own; to let every pair have one would explain many labels that are
right as confusions, because pairs are many and photos of each few.
"""

import dataclasses
import math
from collections.abc import Sequence

import numpy as np

# As many photos of a class speak for all its confusions being equally likely, and as many photos in
# all for no label being wrong.
_PRIOR = 10.0
# Logarithms of the sharpness, and roots of the rate of wrong labels; those are kept that are at
# least so likely as a share of the likeliest.
_SHARPNESS, _ROOTS, _LEAST_WEIGHT = np.linspace(-1.2, 0.8, 15), np.linspace(1e-3, 0.85, 25), 0.02
# Heads are calibrated, on the photos that remained: the logarithm is 0, with this deviation.
_DEVIATION = 0.3
# Confusions that have a share of their own: how often they are looked for, and with which shares.
_ROUNDS, _SHARES = 10, (0.01, 0.03, 0.1, 0.3)
_AT_FIRST, _STEPS, _CLOSE, _TINY = 0.05, 100, 1e-4, 1e-30
# Of how many photos, and probabilities, models are compared.
_MOST_PHOTOS, _MOST_VALUES = 20_000, 1_000_000


@dataclasses.dataclass(frozen=True, eq=False)
class LabelModels:
    """What models of several sharpnesses and rates say of photos.

    Attributes:
        weights: how likely each model is, [models].
        wrong: probability that a label is wrong, float32, [models, photos].
        proposed: the likeliest class other than the label, by the likeliest model, [photos].
    """

    weights: np.ndarray
    wrong: np.ndarray
    proposed: np.ndarray


def explain_labels(y: np.ndarray, probabilities: np.ndarray) -> LabelModels:
    """Returns the models that explain labels best.

    Args:
        y: class index of each photo, int, [photos].
        probabilities: by heads that have not learned from a photo, float, [photos, classes], at
            least two classes.
    """
    classes = probabilities.shape[1]
    number = min(len(y), _MOST_PHOTOS, max(1, _MOST_VALUES // classes))
    some = np.unique(np.linspace(0, len(y) - 1, number).astype(int))
    sample = _Sample(y[some], probabilities[some])
    # Two more parameters (G. Schwarz, Annals of Statistics 6, 1978), for one of so many pairs.
    price = math.log(number) + math.log(classes * (classes - 1) / 2)
    fitted = sample.fit(())
    for _ in range(_ROUNDS):
        more = sample.confused(fitted, price)
        if not more:
            break
        tried = sample.fit((*fitted.pairs, *more))
        if tried.evidence - fitted.evidence < price * len(more) / 2:
            break
        fitted = tried
    likely = fitted.logs > fitted.logs.max() + math.log(_LEAST_WEIGHT)
    weights = np.exp(fitted.logs[likely] - fitted.logs.max())
    kept = np.argwhere(likely).tolist()
    wrong = np.empty((len(kept), len(y)), np.float32)
    proposed = np.empty(len(y), np.int32)
    best = int(weights.argmax())
    for part in _parts(len(y), classes):
        labels = y[part]
        rows = np.arange(len(labels))
        for place, (at, of) in enumerate(kept):
            if not place or at != kept[place - 1][0]:
                q = _sharpened(probabilities[part], fitted.sharpness[at])
            table = _Table(classes, fitted.pairs, fitted.shares[at], fitted.rates[of])
            own = q[rows, labels]
            joint = own * table.right(labels)
            wrong[place, part] = 1 - joint / table.likelihood(q, own, labels)
            if place == best:
                others = table.joint(q, labels)
                others[rows, labels] = -1
                proposed[part] = others.argmax(axis=1)
    return LabelModels(weights / weights.sum(), np.clip(wrong, 0, 1), proposed)


class _Table:
    """With which probability each class gets each label.

    All confusions share one rate, but for pairs (true class, label) that have a share of their own.
    """

    def __init__(
        self, classes: int, pairs: Sequence[tuple[int, int]], shares: np.ndarray, rate: float
    ) -> None:
        self.rate, self.each = rate, rate / (classes - 1)
        # Classes that have such pairs, and their rows.
        self.special = np.unique([truth for truth, _ in pairs]).astype(int)
        self.rows = np.zeros((len(self.special), classes))
        for (truth, label), share in zip(pairs, shares, strict=True):
            self.rows[np.searchsorted(self.special, truth), label] = share
        free = 1 - self.rows.sum(axis=1, keepdims=True)
        alike = (self.rows == 0).astype(float)
        alike[np.arange(len(self.special)), self.special] = 0
        self._right = np.full(classes, 1 - rate)
        self._right[self.special] = (free * (1 - self.each * alike.sum(axis=1, keepdims=True)))[
            :, 0
        ]
        self.rows += free * self.each * alike
        self.rows[np.arange(len(self.special)), self.special] = self._right[self.special]

    def right(self, y: np.ndarray) -> np.ndarray:
        """Returns the probability that photos which truly have these labels get them."""
        return self._right[y]

    def likelihood(self, q: np.ndarray, own: np.ndarray, y: np.ndarray) -> np.ndarray:
        """Returns the probability of each photo's label, [photos].

        Args:
            q: of each true class, [photos, classes].
            own: that of the label, [photos].
            y: labels, [photos].
        """
        found = own * (1 - self.rate) + (1 - own) * self.each
        if len(self.special):
            shared = np.where(self.special == y[:, None], 1 - self.rate, self.each)
            found += (q[:, self.special] * (self.rows[:, y].T - shared)).sum(axis=1)
        return np.maximum(found, _TINY)

    def joint(self, q: np.ndarray, y: np.ndarray) -> np.ndarray:
        """Returns how likely each class is a photo's true one, up to a factor, but for its label.

        Args:
            q: of each true class, [photos, classes].
            y: labels, [photos].
        """
        found = q * self.each
        found[:, self.special] = q[:, self.special] * self.rows[:, y].T
        return found


@dataclasses.dataclass(frozen=True, eq=False)
class _Fit:
    """How likely sharpnesses and rates are.

    Attributes:
        pairs: (true class, label) that have a share of their own.
        sharpness: values that were looked at.
        rates: values that were looked at.
        shares: of each pair, [sharpnesses, pairs].
        logs: log likelihood, and prior, [sharpnesses, rates].
        evidence: logarithm of the likelihood's mean.
    """

    pairs: tuple[tuple[int, int], ...]
    sharpness: np.ndarray
    rates: np.ndarray
    shares: np.ndarray
    logs: np.ndarray

    @property
    def evidence(self) -> float:
        return float(self.logs.max() + np.log(np.exp(self.logs - self.logs.max()).mean()))


class _Sample:
    """Photos by which models are compared."""

    def __init__(self, y: np.ndarray, probabilities: np.ndarray) -> None:
        self._y, self._p = y, probabilities
        self._classes = probabilities.shape[1]

    def fit(self, pairs: tuple[tuple[int, int], ...]) -> _Fit:
        """Returns what sharpnesses and rates explain labels.

        First where they are likely at all, then closely there. Rates are as likely beforehand in
        equal steps of the root, as H. Jeffreys has it.
        """
        found = self._grid(pairs, _SHARPNESS, _ROOTS)
        likely = found.logs > found.logs.max() + math.log(_LEAST_WEIGHT)
        return self._grid(
            pairs,
            _closely(_SHARPNESS, likely.any(axis=1)),
            _closely(_ROOTS, likely.any(axis=0)),
        )

    def _grid(
        self, pairs: tuple[tuple[int, int], ...], powers: np.ndarray, roots: np.ndarray
    ) -> _Fit:
        sharpness, rates = np.exp(powers), np.square(roots)
        logs = np.empty((len(sharpness), len(rates)))
        shares = np.zeros((len(sharpness), len(pairs)))
        for at, one in enumerate(sharpness):
            q = _sharpened(self._p, one)
            own = q[np.arange(len(q)), self._y]
            if pairs:
                shares[at] = self._shares(pairs, q, own)
            # The likelihood is linear in the rate.
            none, every = (
                _Table(self._classes, pairs, shares[at], rate).likelihood(q, own, self._y)
                for rate in (0.0, 1.0)
            )
            for of, rate in enumerate(rates):
                logs[at, of] = np.log(none + rate * (every - none)).sum()
        logs += _PRIOR * np.log1p(-rates) - 0.5 * np.square(powers / _DEVIATION)[:, None]
        return _Fit(pairs, sharpness, rates, shares, logs)

    def _shares(
        self, pairs: tuple[tuple[int, int], ...], q: np.ndarray, own: np.ndarray
    ) -> np.ndarray:
        """Returns the likeliest shares of pairs, by expectation maximisation.

        A. P. Dawid, A. M. Skene, Applied Statistics 28, 1979.
        """
        truths, labels = np.array(pairs).T
        rate, shares = _AT_FIRST, np.full(len(pairs), _AT_FIRST / len(pairs))
        of_label = self._y[:, None] == labels
        for _ in range(_STEPS):
            table = _Table(self._classes, pairs, shares, rate)
            likelihood = table.likelihood(q, own, self._y)
            special = q[:, table.special] * table.rows[:, self._y].T / likelihood[:, None]
            places = np.searchsorted(table.special, truths)
            counts = (special[:, places] * of_label).sum(axis=0)
            of_class = special.sum(axis=0)[places]
            before, shares = shares, (counts + _PRIOR * table.each) / (of_class + _PRIOR)
            right = float((own * table.right(self._y) / likelihood).sum())
            alike = len(q) - float(counts.sum())
            rate = float(np.clip(1 - right / max(alike, 1.0), 1e-6, _ROOTS[-1] ** 2))
            if np.abs(shares - before).max() < _CLOSE:
                break
        return shares

    def confused(self, fitted: _Fit, price: float) -> list[tuple[int, int]]:
        """Returns pairs of classes that labels speak for, each in both directions.

        Args:
            fitted: models without them.
            price: the log likelihood that a pair must gain.

        Returns:
            (true class, label); a class is in one of the pairs at most, that which gains most.
        """
        at, of = np.unravel_index(fitted.logs.argmax(), fitted.logs.shape)
        q = _sharpened(self._p, fitted.sharpness[at])
        table = _Table(self._classes, fitted.pairs, fitted.shares[at], fitted.rates[of])
        own = q[np.arange(len(q)), self._y]
        q /= table.likelihood(q, own, self._y)[:, None]
        own = q[np.arange(len(q)), self._y]
        order = np.argsort(self._y, kind="stable")
        present, starts = np.unique(self._y[order], return_index=True)
        gains = np.zeros((self._classes, self._classes))
        for share in _SHARES:
            # The share is taken from the label that is right.
            lost = np.bincount(self._y, np.log(np.maximum(1 - share * own, _TINY)), self._classes)
            won = np.add.reduceat(np.log1p(share * q[order]), starts, axis=0)
            gains[present] = np.maximum(gains[present], won + lost)
        for truth, label in fitted.pairs:
            gains[label, truth] = 0
        gains = np.triu(gains + gains.T, 1)
        taken: list[tuple[int, int]] = []
        for place in np.argsort(-gains, axis=None, kind="stable").tolist():
            one, other = divmod(place, self._classes)
            if gains[one, other] <= price:
                break
            if not any({one, other} & {*pair} for pair in taken):
                taken += [(one, other), (other, one)]
        return taken


def _closely(values: np.ndarray, likely: np.ndarray) -> np.ndarray:
    """Returns values in small steps around those that are likely."""
    places = np.flatnonzero(likely)
    low, high = max(places[0] - 1, 0), min(places[-1] + 1, len(values) - 1)
    return np.linspace(values[low], values[high], len(values))


def _sharpened(probabilities: np.ndarray, sharpness: float) -> np.ndarray:
    """Returns probabilities to a power, float64, that sum to 1 per photo."""
    powers = np.maximum(probabilities, 1e-7).astype(float) ** sharpness
    return powers / powers.sum(axis=1, keepdims=True)


def _parts(photos: int, classes: int) -> list[slice]:
    """Returns parts of photos, each of which has few values."""
    size = max(1, 4_000_000 // classes)
    return [slice(start, start + size) for start in range(0, photos, size)]
