"""What a model says of photos that have one label each."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

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

if TYPE_CHECKING:
    import pyarrow as pa


class OneLabelAnswers(Answers):
    """What a model says of photos with one label each, which come one by one."""

    def __init__(self, predictor: Predictor, decision: Decision, *, keep: bool) -> None:
        """Begins without photos.

        Args:
            predictor: the model.
            decision: how its labels are decided.
            keep: whether names and probabilities are kept, for `kept`.
        """
        self._wrong: list[tuple[bytes, str, int, int, float]] = []
        self._decision = decision
        thresholds = told_thresholds(predictor.metadata)
        self._counts = PointCounts(predictor.labels, thresholds) if thresholds else None
        super().__init__(predictor, keep=keep)

    def _own_columns(self) -> "dict[str, pa.DataType]":
        import pyarrow as pa

        columns = {"predicted": pa.int32(), "largest": pa.int32()}
        return columns | ({"points": pa.binary(self._counts.width)} if self._counts else {})

    def _own_cells(self, photo: Labelled, truth: int) -> list[Any]:
        scores = np.asarray(photo.scores)
        best = int(self._decision.decide(scores[np.newaxis])[0])
        if best != truth:
            self._wrong.append((photo.digest, photo.name, truth, best, float(scores[best])))
        points = [self._counts.labelled(scores)] if self._counts is not None else []
        return [best, int(scores.argmax()), *points]

    def only(self, kept: np.ndarray) -> None:
        """Forgets photos, see `Answers.only`."""
        # A copy that is left out is so wherever it lies.
        gone = {row.tobytes() for row in self.digests[~kept]}
        super().only(kept)
        self._wrong = [one for one in self._wrong if one[0] not in gone]

    def measured(self, labels: Sequence[str]) -> Measured:
        """Returns what the answers are worth, see `Answers.measured`."""
        wrong = tuple(
            Misclassified(name, labels[truth], labels[predicted], score, digest)
            for digest, name, truth, predicted, score in self._wrong
        )
        evaluation = evaluate_predictions(labels, self._truth, self._column("predicted", "i4"))
        return Measured(evaluation, wrong, self._decided(), self._at_points())

    def _decided(self) -> DecisionMeasured | None:
        if not self._decision or not len(self.digests):
            return None
        y, predicted, largest = (
            self._column(name, "i4") for name in ("truth", "predicted", "largest")
        )
        known = np.where(y < len(self._labels), y, -1)
        return measure_labels(self._decision, predicted, largest, known)

    def _at_points(self) -> tuple[OperatingPoint, ...]:
        if self._counts is None:
            return ()
        points = self._column("points", "u1").reshape(-1, self._counts.width)
        for bits, truth in zip(points, self._truth, strict=True):
            self._counts.add(bits.tobytes(), int(truth))
        return self._counts.points()
