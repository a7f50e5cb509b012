"""Label sets: for each photo the labels among which the true one is, as often as is asked.

Split conformal prediction with adaptive sets: labels join in the order of their probability until
their sum is enough, so a clear photo has one label and an unclear one several (Y. Romano, M. Sesia,
E. Candes, Classification with Valid and Adaptive Coverage, NeurIPS 2020).
"""

import dataclasses
import math
from collections.abc import Sequence

import numpy as np

from xferlearn.decisions.blocks import row_blocks
from xferlearn.decisions.bounds import enough_for, is_bounded, missable
from xferlearn.decisions.proving import CONFIDENCE
from xferlearn.errors import UserError
from xferlearn.metrics import worth_of

# With fewer, a class has no threshold of its own: it would say little.
_FEWEST_OF_CLASS = 50
# Below all scores: the first label is always in the set.
_FIRST = -1.0


@dataclasses.dataclass(frozen=True)
class LabelSets:
    """Which labels a photo may have.

    Attributes:
        coverage: share of the photos whose set has their true label, above 0 and below 1. It holds
            for all photos with a confidence of 0.95, and on average for those of each class that
            has enough photos.
        thresholds: by class, the largest score of a label that is in the set.

    Example:
        >>> sets = LabelSets.fit(probabilities, y, 0.95, digests, groups)
        >>> sets.sets(np.array([[0.98, 0.01, 0.01], [0.5, 0.45, 0.05]]), [b"one", b"other"])
        array([[ True, False, False],
               [ True,  True, False]])
    """

    coverage: float
    thresholds: tuple[float, ...]

    @classmethod
    def fit(
        cls,
        probabilities: np.ndarray,
        y: np.ndarray,
        coverage: float,
        digests: Sequence[bytes],
        groups: Sequence[int] | None = None,
    ) -> "LabelSets":
        """Chooses thresholds on photos that the model has not learned from.

        The pooled one is the smallest for which Clopper and Pearson's bound promises the coverage.
        A class whose own conformal quantile is larger has that.

        Args:
            probabilities: float, [photos, classes], range [0, 1].
            y: true class index of each photo, int, [photos].
            coverage: above 0 and below 1.
            digests: SHA-256 of each photo, which its random number is taken from.
            groups: what each photo belongs to; None where each stands alone. Photos in groups count
                as `xferlearn.metrics.worth_of` says.

        Raises:
            UserError: there are too few photos to promise it.
        """
        members = np.arange(len(y)) if groups is None else np.asarray(groups)
        of_truth = np.empty(len(y))
        for rows in row_blocks(probabilities.shape):
            scores = _scores(probabilities[rows], digests[rows])
            of_truth[rows] = scores[np.arange(len(scores)), y[rows]]
        worth = worth_of(members) if len(y) else 0.0
        missed = _provable(len(y), worth, 1 - coverage)
        if missed is None:
            alone = "" if worth == len(y) else f", which are worth {worth:.1f} that stand alone"
            fewest = math.ceil(math.log(1 - CONFIDENCE) / math.log(coverage) - 1e-9)
            raise UserError(
                f"`coverage={coverage:g}` needs at least {fewest:,} photos that the model was"
                f" cross-validated on. Received: {len(y):,}{alone}. Ask for less, or train on more"
                " photos."
            )
        pooled = _after(of_truth, missed)
        thresholds = [pooled] * probabilities.shape[1]
        for number in range(len(thresholds)):
            of_class = np.flatnonzero(y == number)
            if len(of_class) < max(_FEWEST_OF_CLASS, enough_for(1 - coverage)):
                continue
            missed = missable(len(of_class), worth_of(members[of_class]), 1 - coverage)
            if missed is not None:
                thresholds[number] = max(pooled, _after(of_truth[of_class], missed))
        return cls(coverage, tuple(thresholds))

    def sets(self, probabilities: np.ndarray, digests: Sequence[bytes]) -> np.ndarray:
        """Returns which labels are in each photo's set, bool, [photos, classes].

        The label with the largest probability always is.

        Args:
            probabilities: float, [photos, classes], range [0, 1].
            digests: SHA-256 of each photo: the same photo always gets the same set.
        """
        limits = np.maximum(self.thresholds, _FIRST)
        found = np.empty(np.shape(probabilities), bool)
        for rows in row_blocks(found.shape):
            found[rows] = _scores(probabilities[rows], digests[rows]) <= limits
        return found


def _scores(probabilities: np.ndarray, digests: Sequence[bytes]) -> np.ndarray:
    """Returns by label how much probability comes before it, float64, [photos, classes].

    A random share of its own is added; without it, sets would be larger than they must.
    """
    values = np.asarray(probabilities, np.float32).astype(np.float64)
    order = np.argsort(-values, axis=1, kind="stable")
    ranked = np.take_along_axis(values, order, axis=1)
    chance = np.array([int.from_bytes(digest[:8], "big") / 2**64 for digest in digests])
    added = ranked.cumsum(axis=1) - ranked + chance.reshape(-1, 1) * ranked
    added[:, :1] = _FIRST
    scores = np.empty_like(values)
    np.put_along_axis(scores, order, added, axis=1)
    return scores


def _provable(photos: int, worth: float, share: float) -> int | None:
    """Returns how many photos may be missed, so that a larger share is unlikely; None for none."""
    low, high = -1, photos
    while high - low > 1:
        middle = (low + high) // 2
        if is_bounded(middle / photos * worth, worth, share, CONFIDENCE):
            low = middle
        else:
            high = middle
    return low if low >= 0 else None


def _after(scores: np.ndarray, missed: int) -> float:
    """Returns the threshold that the largest scores are above, as many as may be missed."""
    return float(np.sort(scores)[::-1][missed])
