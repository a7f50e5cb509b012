"""How far down a ranking few photos are wrong, proved on photos that nothing was learned from."""

import dataclasses
import math
from collections.abc import Sequence

import numpy as np

from xferlearn.decisions.bounds import clopper_pearson_upper, is_bounded, worth_along
from xferlearn.metrics import worth_of

CONFIDENCE = 0.95
"""How sure a promise is, over draws of the photos that it was chosen on."""

# Thresholds that are tried, from the strictest on.
_STEPS = 200
# Where they begin: at the fewest photos that can prove anything, and halfway to the last. Of these
# an error among the first photos can end only one.
_STARTS = 2
# With which probability the tests of one start may be passed by chance.
_FAILING = (1 - CONFIDENCE) / _STARTS


@dataclasses.dataclass(frozen=True)
class Proved:
    """The photos with the largest scores, of which few are wrong.

    Attributes:
        threshold: their smallest score.
        photos: how many they are.
        error: how many of them are wrong, 0 to 1.
        bound: what the share of wrong ones among new photos is below, with a confidence of
            `CONFIDENCE`.
    """

    threshold: float
    photos: int
    error: float
    bound: float


def prove(
    scores: np.ndarray,
    wrong: np.ndarray,
    most: float,
    groups: Sequence[int] | np.ndarray | None = None,
    last: int | None = None,
) -> Proved | None:
    """Finds the lowest threshold from which at most a share of the photos is proved to be wrong.

    Thresholds are tested from the strictest on, and the first that fails ends it, so that no
    correction for their number is needed (A. Angelopoulos et al., Learn then Test, Annals of
    Applied Statistics 19, 2025, fixed sequence testing); that for the two places where the tests
    begin is made. Each test is the bound of Clopper and Pearson. `tools/bench_promises.py` measures
    what it gives.

    Args:
        scores: of photos that nothing was learned from, float, [photos].
        wrong: which of them are, bool, [photos].
        most: largest share of those at the threshold or above that may be, above 0 and below 1.
        groups: what each photo belongs to; None where each stands alone. Photos in groups count as
            `xferlearn.metrics.worth_of` says.
        last: how many photos may be reached, found without knowing what is wrong; None for all.

    Returns:
        None where no threshold is proved; see `fewest`.
    """
    if not len(scores):
        return None
    order = np.argsort(-scores, kind="stable")
    ranked, errors = scores[order], np.cumsum(wrong[order])
    worth = worth_along(np.arange(len(scores)) if groups is None else np.asarray(groups)[order])
    needed = math.log(_FAILING) / math.log1p(-most)
    if worth.max() < needed:
        return None
    # Photos of equal scores are above a threshold together.
    ends = np.append(np.flatnonzero(ranked[1:] != ranked[:-1]) + 1, len(scores))
    first = int(np.argmax(worth >= needed)) + 1
    last = len(scores) if last is None else min(max(last, first), len(scores))
    step = max(1, last // _STEPS)
    best = 0

    def proof(photos: int) -> tuple[float, float]:
        alone = float(worth[photos - 1])
        return errors[photos - 1] / photos * alone, alone

    for start in range(first, last + 1, max(1, -(-(last + 1 - first) // _STARTS))):
        for place in range(start, last + step, step):
            photos = int(ends[np.searchsorted(ends, min(place, last))])
            if not is_bounded(*proof(photos), most, 1 - _FAILING):
                break
            best = max(best, photos)
    if not best:
        return None
    bound = clopper_pearson_upper(*proof(best), 1 - _FAILING)
    return Proved(float(ranked[best - 1]), best, float(errors[best - 1]) / best, bound)


def is_proved(wrong: np.ndarray, most: float, groups: np.ndarray) -> bool:
    """Returns whether photos pass the test of `prove`.

    Args:
        wrong: which of them are wrong, bool, [photos].
        most: largest share of new ones that may be, above 0 and below 1.
        groups: what each photo belongs to, int, [photos].
    """
    if not len(wrong):
        return False
    worth = worth_of(groups)
    return is_bounded(float(wrong.mean()) * worth, worth, most, 1 - _FAILING)


def fewest(most: float) -> int:
    """Returns how many photos, none of them wrong, prove that at most a share is."""
    return math.ceil(math.log(_FAILING) / math.log1p(-most) - 1e-9)
