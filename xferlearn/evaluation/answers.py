"""What a model says of photos with known classes, one after the other, in a few bytes each."""

import abc
import array
import itertools
import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from xferlearn.config import REJECT
from xferlearn.decisions import DecisionMeasured, OperatingPoint
from xferlearn.labelling import Labelled
from xferlearn.metrics import AnyEvaluation, Misclassified
from xferlearn.photos.predicted import Predicted
from xferlearn.predictors import Predictor


class Measured(NamedTuple):
    """What answers are worth.

    Attributes:
        evaluation: accuracy, or what several labels are measured by, and numbers by class.
        misclassified: the photos with a wrong label.
        decided: what the decision gives; None where there is none, or there are no photos.
        points: recall and precision at the thresholds that `train` told, by class.
    """

    evaluation: AnyEvaluation
    misclassified: tuple[Misclassified, ...]
    decided: DecisionMeasured | None
    points: tuple[OperatingPoint, ...]


class Answers(abc.ABC):
    """What a model says of photos that come one by one.

    Attributes:
        digests: of the photos, in their order.
    """

    is_multi_label = False

    def __init__(self, predictor: Predictor, *, keep: bool) -> None:
        """Begins without photos.

        Args:
            predictor: the model.
            keep: whether names and probabilities are kept, for `kept`.
        """
        self.digests: list[bytes] = []
        # Columns, for there may be millions of photos.
        self._truth = array.array("i")
        self._familiarity = array.array("f")
        self._names: list[str] = []
        self._scores: list[np.ndarray] = []
        self._labels = predictor.labels
        self._keep = keep
        self._says_familiarity = predictor.says_familiarity
        self._reject = (predictor.metadata.get("familiarity") or {}).get("reject", REJECT)

    def add(self, photo: Labelled, truth: int) -> None:
        """Adds a photo.

        Args:
            photo: what the model says of it.
            truth: what it shows, an index into the labels that `measured` is given.

        Raises:
            ValueError: when it could not be used.
        """
        if photo.scores is None:
            raise ValueError(f"{photo.name} has no scores")
        self.digests.append(photo.digest)
        self._truth.append(truth)
        self._familiarity.append(math.nan if photo.familiarity is None else photo.familiarity)
        if self._keep:
            self._names.append(photo.name)
            self._scores.append(photo.scores)

    def leave_out(self, digests: Collection[bytes]) -> None:
        """Forgets some of the photos."""
        kept = [digest not in digests for digest in self.digests]
        for column in (self.digests, *self._columns()):
            if column:  # those that nothing needs are empty
                column[:] = _like(column, itertools.compress(column, kept))

    def _columns(self) -> list[Any]:
        """Returns what is known of each photo, but for the digests."""
        return [self._truth, self._familiarity, self._names, self._scores]

    @property
    def unknown(self) -> int | None:
        """How many photos are unlike those of the model; None for models that don't say."""
        if not self._says_familiarity:
            return None
        return sum(value < self._reject for value in self._familiarity)

    @abc.abstractmethod
    def measured(self, labels: Sequence[str]) -> Measured:
        """Returns what the answers are worth.

        Args:
            labels: the model's classes, and behind them others that photos have; where photos may
                have several, the sets of them that occur, as `photos.several` writes them.
        """

    @property
    def probabilities(self) -> np.ndarray:
        """Those that are kept, float32, [photos, classes], range [0, 1]."""
        return np.array(self._scores, np.float32).reshape(len(self._scores), len(self._labels))

    def kept(self, labels: Sequence[str], splits: Mapping[bytes, str]) -> Predicted:
        """Returns the photos with their probabilities, where these are kept.

        Args:
            labels: as for `measured`.
            splits: the model's own photos and their splits, by digest.
        """
        return Predicted(
            self._labels,
            tuple(self.digests),
            tuple(self._names),
            tuple(splits.get(digest, "") for digest in self.digests),
            tuple(labels[number] for number in self._truth),
            self.probabilities,
            np.array(self._familiarity, np.float32),
            is_multi_label=self.is_multi_label,
        )


def _like(column: Any, values: Iterable[Any]) -> Any:
    """Returns values in the kind of column that one is."""
    return array.array(column.typecode, values) if isinstance(column, array.array) else [*values]
