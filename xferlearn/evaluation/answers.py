"""What a model says of photos with known classes, one after the other, in a few bytes each."""

import array
import itertools
import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from xferlearn.config import REJECT
from xferlearn.decisions import (
    Decision,
    DecisionMeasured,
    OperatingPoint,
    PointCounts,
    measure_labels,
    told_thresholds,
)
from xferlearn.labelling import Labelled
from xferlearn.metrics import Evaluation, Misclassified, evaluate_predictions
from xferlearn.photos.predicted import Predicted
from xferlearn.predictors import Predictor


class Answers:
    """What a model says of photos that come one by one.

    Attributes:
        digests: of the photos, in their order.
    """

    def __init__(self, predictor: Predictor, decision: Decision, *, keep: bool) -> None:
        """Begins without photos.

        Args:
            predictor: the model.
            decision: how its labels are decided.
            keep: whether names and probabilities are kept, for `kept`.
        """
        self.digests: list[bytes] = []
        # Columns, for there may be millions of photos.
        self._truth, self._predicted, self._largest = (array.array("i") for _ in range(3))
        self._familiarity = array.array("f")
        self._points: list[bytes] = []
        self._names: list[str] = []
        self._scores: list[np.ndarray] = []
        self._wrong: list[tuple[bytes, str, int, int, float]] = []
        self._labels = predictor.labels
        self._decision = decision
        self._keep = keep
        self._says_familiarity = predictor.says_familiarity
        self._reject = (predictor.metadata.get("familiarity") or {}).get("reject", REJECT)
        thresholds = told_thresholds(predictor.metadata)
        self._counts = PointCounts(self._labels, thresholds) if thresholds else None

    def add(self, photo: Labelled, truth: int) -> None:
        """Adds a photo.

        Args:
            photo: what the model says of it.
            truth: its class, an index into the model's labels and others behind them.

        Raises:
            ValueError: when it could not be used.
        """
        scores = photo.scores
        if scores is None:
            raise ValueError(f"{photo.name} has no scores")
        best = int(self._decision.decide(scores[np.newaxis])[0])
        self.digests.append(photo.digest)
        self._truth.append(truth)
        self._predicted.append(best)
        self._largest.append(int(scores.argmax()))
        self._familiarity.append(math.nan if photo.familiarity is None else photo.familiarity)
        if best != truth:
            self._wrong.append((photo.digest, photo.name, truth, best, float(scores[best])))
        if self._counts is not None:
            self._points.append(self._counts.labelled(scores))
        if self._keep:
            self._names.append(photo.name)
            self._scores.append(scores)

    def leave_out(self, digests: Collection[bytes]) -> None:
        """Forgets some of the photos."""
        kept = [digest not in digests for digest in self.digests]
        for column in (
            *(self.digests, self._truth, self._predicted, self._largest, self._familiarity),
            *(self._points, self._names, self._scores),
        ):
            if column:  # those that nothing needs are empty
                column[:] = _like(column, itertools.compress(column, kept))
        self._wrong = [one for one in self._wrong if one[0] not in digests]

    @property
    def unknown(self) -> int | None:
        """How many photos are unlike those of the model; None for models that don't say."""
        if not self._says_familiarity:
            return None
        return sum(value < self._reject for value in self._familiarity)

    def evaluation(self, labels: Sequence[str]) -> Evaluation:
        """Returns accuracy and numbers by class.

        Args:
            labels: the model's classes, and behind them others that photos have.
        """
        return evaluate_predictions(labels, self._truth, self._predicted)

    def misclassified(self, labels: Sequence[str]) -> tuple[Misclassified, ...]:
        """Returns the photos with a wrong label; `labels` as in `evaluation`."""
        return tuple(
            Misclassified(name, labels[truth], labels[predicted], score, digest)
            for digest, name, truth, predicted, score in self._wrong
        )

    def decided(self) -> DecisionMeasured | None:
        """Returns what the decision gives; None where there is none, or there are no photos."""
        if not self._decision or not self.digests:
            return None
        y, predicted, largest = map(np.array, (self._truth, self._predicted, self._largest))
        known = np.where(y < len(self._labels), y, -1)
        return measure_labels(self._decision, predicted, largest, known)

    def points(self) -> tuple[OperatingPoint, ...]:
        """Returns recall and precision at the thresholds that `train` told, by class."""
        if self._counts is None:
            return ()
        for bits, truth in zip(self._points, self._truth, strict=True):
            self._counts.add(bits, truth)
        return self._counts.points()

    def kept(self, labels: Sequence[str], splits: Mapping[bytes, str]) -> Predicted:
        """Returns the photos with their probabilities, where these are kept.

        Args:
            labels: as in `evaluation`.
            splits: the model's own photos and their splits, by digest.
        """
        probabilities = np.zeros((len(self._scores), len(self._labels)), np.float32)
        if self._scores:
            probabilities[:] = self._scores
        return Predicted(
            self._labels,
            tuple(self.digests),
            tuple(self._names),
            tuple(splits.get(digest, "") for digest in self.digests),
            tuple(labels[number] for number in self._truth),
            probabilities,
            np.array(self._familiarity, np.float32),
        )


def _like(column: Any, values: Iterable[Any]) -> Any:
    """Returns values in the kind of column that one is."""
    return array.array(column.typecode, values) if isinstance(column, array.array) else [*values]
