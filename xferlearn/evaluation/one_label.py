"""What a model says of photos that have one label each."""

import array
from collections.abc import Collection, Sequence
from typing import Any

import numpy as np

from xferlearn.decisions import (
    Decision,
    DecisionMeasured,
    OperatingPoint,
    PointCounts,
    measure_labels,
    told_thresholds,
)
from xferlearn.evaluation.answers import Answers, Measured
from xferlearn.labelling import Labelled
from xferlearn.metrics import Misclassified, evaluate_predictions
from xferlearn.predictors import Predictor


class OneLabelAnswers(Answers):
    """What a model says of photos with one label each, which come one by one."""

    def __init__(self, predictor: Predictor, decision: Decision, *, keep: bool) -> None:
        """Begins without photos.

        Args:
            predictor: the model.
            decision: how its labels are decided.
            keep: whether names and probabilities are kept, for `kept`.
        """
        super().__init__(predictor, keep=keep)
        self._predicted, self._largest = array.array("i"), array.array("i")
        self._points: list[bytes] = []
        self._wrong: list[tuple[bytes, str, int, int, float]] = []
        self._decision = decision
        thresholds = told_thresholds(predictor.metadata)
        self._counts = PointCounts(self._labels, thresholds) if thresholds else None

    def add(self, photo: Labelled, truth: int) -> None:
        """Adds a photo, see `Answers.add`."""
        super().add(photo, truth)
        scores = np.asarray(photo.scores)
        best = int(self._decision.decide(scores[np.newaxis])[0])
        self._predicted.append(best)
        self._largest.append(int(scores.argmax()))
        if best != truth:
            self._wrong.append((photo.digest, photo.name, truth, best, float(scores[best])))
        if self._counts is not None:
            self._points.append(self._counts.labelled(scores))

    def leave_out(self, digests: Collection[bytes]) -> None:
        """Forgets some of the photos."""
        super().leave_out(digests)
        self._wrong = [one for one in self._wrong if one[0] not in digests]

    def _columns(self) -> list[Any]:
        return [*super()._columns(), self._predicted, self._largest, self._points]

    def measured(self, labels: Sequence[str]) -> Measured:
        """Returns what the answers are worth, see `Answers.measured`."""
        wrong = tuple(
            Misclassified(name, labels[truth], labels[predicted], score, digest)
            for digest, name, truth, predicted, score in self._wrong
        )
        evaluation = evaluate_predictions(labels, self._truth, self._predicted)
        return Measured(evaluation, wrong, self._decided(), self._at_points())

    def _decided(self) -> DecisionMeasured | None:
        if not self._decision or not self.digests:
            return None
        y, predicted, largest = map(np.array, (self._truth, self._predicted, self._largest))
        known = np.where(y < len(self._labels), y, -1)
        return measure_labels(self._decision, predicted, largest, known)

    def _at_points(self) -> tuple[OperatingPoint, ...]:
        if self._counts is None:
            return ()
        for bits, truth in zip(self._points, self._truth, strict=True):
            self._counts.add(bits, truth)
        return self._counts.points()
