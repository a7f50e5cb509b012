"""What a model says of photos that may have several labels, or none."""

import os
from collections.abc import Sequence

import numpy as np

from xferlearn.decisions import (
    MultiLabelDecision,
    certainty,
    measure_label_sets,
    operating_points,
    told_thresholds,
)
from xferlearn.evaluation.answers import Answers, Measured
from xferlearn.metrics import Misclassified, evaluate_label_sets
from xferlearn.photos.several import classes_in, label_text, truth_of
from xferlearn.predictors import Predictor


class LabelSetAnswers(Answers):
    """What a model says of photos with any number of labels, which come one by one.

    All probabilities are kept, because average precision is of the order of all photos: on disk,
    where they are many.
    """

    is_multi_label = True

    def __init__(self, predictor: Predictor, decision: MultiLabelDecision) -> None:
        """Begins without photos.

        Args:
            predictor: the model.
            decision: how its labels are decided.
        """
        super().__init__(predictor, keep=True)
        self._decision = decision
        self._thresholds = told_thresholds(predictor.metadata)

    def measured(self, labels: Sequence[str]) -> Measured:
        """Returns what the answers are worth, see `Answers.measured`."""
        texts, scores = [labels[number] for number in self._truth], self.probabilities
        decision, own = self._decision, self._labels
        classes = (*own, *(one for one in classes_in(texts) if one not in own))
        others = ((0, 0), (0, len(classes) - len(own)))
        y, decided = truth_of(texts, classes), np.pad(decision.decide(scores), others)
        # Of classes that the model does not have, the score is 0, and there is no threshold.
        scores_of_all = np.pad(scores, others)
        thresholds = [decision.thresholds.get(label, np.nan) for label in classes]
        asked = bool(decision) and bool(texts)
        return Measured(
            evaluate_label_sets(classes, y, scores_of_all, decided, thresholds=thresholds),
            self._wrong(classes, texts, y, decided, certainty(scores_of_all, decided)),
            measure_label_sets(decision, scores, y[:, : len(own)]) if asked else None,
            operating_points(own, self._thresholds, scores, y, limits=decision.limits)
            if self._thresholds
            else (),
        )

    def _wrong(
        self,
        classes: Sequence[str],
        texts: Sequence[str],
        y: np.ndarray,
        decided: np.ndarray,
        sure: np.ndarray,
    ) -> tuple[Misclassified, ...]:
        names, photos = np.array(classes, object), self._known
        return tuple(
            Misclassified(
                os.fsdecode(photos.column("name")[row].as_py()),
                texts[row],
                label_text(names[decided[row]]),
                # Of the label that was given, or not given, in vain and most surely.
                float(sure[row, decided[row] != y[row]].max()),
                self.digests[row].tobytes(),
            )
            for row in np.flatnonzero((decided != y).any(axis=1)).tolist()
        )
