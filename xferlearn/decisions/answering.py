"""Answer or ask: from which confidence on a model may answer alone, so that few answers are wrong.

The rest goes to a person (selective classification: Y. Geifman, R. El-Yaniv, Selective
Classification for Deep Neural Networks, NeurIPS 2017).
"""

import dataclasses
from collections.abc import Sequence

import numpy as np

from xferlearn.decisions.proving import fewest, prove


@dataclasses.dataclass(frozen=True)
class Answering:
    """The confidence from which on a model answers alone.

    Attributes:
        max_error: largest share of the answers that may be wrong, above 0 and below 1.
        threshold: the confidence, 0 to 1.
        share: of the photos that the model was judged on, how many are answered, 0 to 1.
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
        unanswered: int = 0,
    ) -> "Answering | None":
        """Chooses the lowest threshold that keeps the promise, as `prove` does.

        Args:
            probabilities: of photos that the model has not learned from, float, [photos, classes],
                range [0, 1].
            decided: label of each photo, as `Decision.decide` returns it, int, [photos].
            y: true class index of each photo, int, [photos].
            max_error: above 0 and below 1.
            groups: what each photo belongs to; None where each stands alone. Photos in groups count
                as `xferlearn.metrics.worth_of` says.
            unanswered: how many other photos get no answer, whatever the threshold; `share` counts
                them.

        Returns:
            None where no threshold keeps the promise; see `fewest`.
        """
        found = prove(confidence_of(probabilities, decided), decided != y, max_error, groups)
        if found is None:
            return None
        share = found.photos / (len(y) + unanswered)
        return cls(max_error, found.threshold, share, found.error, found.bound)

    @staticmethod
    def fewest(max_error: float) -> int:
        """Returns how many photos, all of them right, prove that errors are this few."""
        return fewest(max_error)

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
