"""Answer or ask: from which confidence on a model may answer alone, so that few answers are wrong.

The rest goes to a person (selective classification: Y. Geifman, R. El-Yaniv, Selective
Classification for Deep Neural Networks, NeurIPS 2017).
"""

import dataclasses
import math
from collections.abc import Sequence

import numpy as np

from xferlearn.decisions.bounds import clopper_pearson_upper, is_bounded, worth_along

CONFIDENCE = 0.95
"""How sure a promise is, over draws of the photos that it was chosen on."""

# Thresholds that are tried, from the strictest on.
_STEPS = 200
# Where they begin: at the fewest photos that can prove anything, and halfway to all. Of these an
# error among the first photos can end only one.
_STARTS = 2


@dataclasses.dataclass(frozen=True)
class Answering:
    """The confidence from which on a model answers alone.

    Attributes:
        max_error: largest share of the answers that may be wrong, above 0 and below 1.
        threshold: the confidence, 0 to 1.
        share: of the photos that it was chosen on, how many are answered, 0 to 1.
        error: how many of those answers are wrong, 0 to 1.
        bound: what the share of wrong answers is below, with a confidence of `CONFIDENCE`; at most
            `max_error`.

    Example:
        >>> answering = Answering.choose(probabilities, decided, y, 0.02, groups)
        >>> answering.answers(np.array([0.99, 0.4], np.float32))
        array([ True, False])
    """

    max_error: float
    threshold: float
    share: float
    error: float
    bound: float

    @classmethod
    def choose(
        cls,
        probabilities: np.ndarray,
        decided: np.ndarray,
        y: np.ndarray,
        max_error: float,
        groups: Sequence[int] | None = None,
    ) -> "Answering | None":
        """Chooses the lowest threshold that keeps the promise.

        Thresholds are tested from the strictest on, and the first that fails ends it, so that no
        correction for their number is needed (A. Angelopoulos et al., Learn then Test, Annals of
        Applied Statistics 19, 2025, fixed sequence testing); that for the two places where the
        tests begin is made. Each test is the bound of Clopper and Pearson.
        `tools/bench_promises.py` measures what it gives.

        Args:
            probabilities: of photos that the model has not learned from, float, [photos, classes],
                range [0, 1].
            decided: label of each photo, as `Decision.decide` returns it, int, [photos].
            y: true class index of each photo, int, [photos].
            max_error: above 0 and below 1.
            groups: what each photo belongs to; None where each stands alone. Photos in groups count
                as `xferlearn.metrics.worth_of` says.

        Returns:
            None where no threshold keeps the promise; see `fewest`.
        """
        if not len(y):
            return None
        confidence = confidence_of(probabilities, decided)
        order = np.argsort(-confidence, kind="stable")
        ranked = confidence[order]
        wrong = np.cumsum((decided != y)[order])
        worth = worth_along(np.arange(len(y)) if groups is None else np.asarray(groups)[order])
        needed = math.log(_failing()) / math.log1p(-max_error)
        if worth.max() < needed:
            return None
        # Photos of equal confidence are answered together.
        ends = np.append(np.flatnonzero(ranked[1:] != ranked[:-1]) + 1, len(y))
        first = int(np.argmax(worth >= needed)) + 1
        step = max(1, len(y) // _STEPS)
        best = 0

        def proof(answered: int) -> tuple[float, float]:
            alone = float(worth[answered - 1])
            return wrong[answered - 1] / answered * alone, alone

        for start in range(first, len(y) + 1, max(1, -(-(len(y) + 1 - first) // _STARTS))):
            for place in range(start, len(y) + step, step):
                answered = int(ends[np.searchsorted(ends, min(place, len(y)))])
                if not is_bounded(*proof(answered), max_error, 1 - _failing()):
                    break
                best = max(best, answered)
        if not best:
            return None
        return cls(
            max_error,
            threshold=float(ranked[best - 1]),
            share=best / len(y),
            error=float(wrong[best - 1]) / best,
            bound=clopper_pearson_upper(*proof(best), 1 - _failing()),
        )

    @staticmethod
    def fewest(max_error: float) -> int:
        """Returns how many photos, all of them right, prove that errors are this few."""
        return math.ceil(math.log(_failing()) / math.log1p(-max_error) - 1e-9)

    def answers(self, confidence: np.ndarray) -> np.ndarray:
        """Returns which photos are answered, bool, [photos].

        Args:
            confidence: of each photo, as `confidence_of` returns it.
        """
        return np.asarray(confidence, np.float32) >= np.float32(self.threshold)


def confidence_of(probabilities: np.ndarray, decided: np.ndarray) -> np.ndarray:
    """Returns the probability of the label that each photo gets, float32, [photos].

    Args:
        probabilities: float, [photos, classes], range [0, 1].
        decided: as `Decision.decide` returns it, int, [photos].
    """
    return np.asarray(probabilities, np.float32)[np.arange(len(decided)), decided]


def _failing() -> float:
    """Returns with which probability the tests of one start may be passed by chance."""
    return (1 - CONFIDENCE) / _STARTS
