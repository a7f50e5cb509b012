"""The same photos, answered by two models: which answers changed, and what that is worth."""

import collections
import dataclasses
from collections.abc import Sequence

import numpy as np

from xferlearn.metrics import (
    AnyEvaluation,
    Change,
    PrecisionChange,
    evaluate_label_sets,
    evaluate_predictions,
    paired_change,
    precision_change,
)
from xferlearn.photos.photo import TEST
from xferlearn.photos.several import classes_in, truth_of

GAINED, LOST, WRONG = CHANGES = ("gained", "lost", "wrong both times")


@dataclasses.dataclass(frozen=True)
class Answered:
    """Photos, their classes, and what a model answered.

    Attributes:
        labels: the model's classes.
        digests: SHA-256 of each photo's bytes, or enough of its first bytes.
        truth: the class of each photo; where it may have several, their text, see `photos.several`.
        answers: the label that each was given, likewise.
        measured: how each was measured; photos that were measured otherwise are not compared.
        groups: what each photo belongs to; empty where each stands alone.
        probabilities: where photos may have several labels, float32, [photos, labels], range [0,
            1]; else None.
    """

    labels: Sequence[str]
    digests: Sequence[bytes]
    truth: Sequence[str]
    answers: Sequence[str]
    measured: Sequence[str]
    groups: Sequence[int] = ()
    probabilities: np.ndarray | None = None

    def __repr__(self) -> str:
        return f"Answered({len(self.digests)} photos, {len(self.labels)} classes)"

    def scores_of(self, places: np.ndarray, classes: Sequence[str]) -> np.ndarray:
        """Returns probabilities of some photos by class; 0 for one that the model does not have."""
        found = np.zeros((len(places), len(classes)), np.float32)
        if self.probabilities is not None:
            columns = [classes.index(label) for label in self.labels]
            found[:, columns] = self.probabilities[places]
        return found


@dataclasses.dataclass(frozen=True)
class Compared:
    """An accuracy, or a mean average precision, measured twice on the same photos.

    Attributes:
        before: of the first model.
        after: of the second.
        change: from the one to the other.
    """

    before: AnyEvaluation
    after: AnyEvaluation
    change: Change | PrecisionChange


@dataclasses.dataclass(frozen=True)
class Paired:
    """Photos that two models answered, matched by content.

    They are judged by the labels that they have after: the newer ones.

    Attributes:
        before: what the first model answered.
        after: what the second did.
        rows: positions of each photo in `before` and in `after`.
        apart: photos of both that were measured in different ways, and are not compared.
        only_before: photos that only the first model was measured on.
        only_after: photos that only the second was.
    """

    before: Answered
    after: Answered
    rows: tuple[tuple[int, int], ...]
    apart: int
    only_before: int
    only_after: int

    def __repr__(self) -> str:
        return f"Paired({len(self.rows)} photos)"

    @property
    def measured(self) -> list[str]:
        """How the photos were measured, each way once; the test comes last."""
        ways = dict.fromkeys(self.after.measured[after] for _, after in self.rows)
        return sorted(ways, key=lambda way: way == TEST)

    @property
    def relabelled(self) -> int:
        """How many of the photos had another label before."""
        return sum(self.before.truth[one] != self.after.truth[two] for one, two in self.rows)

    def compared(self, measured: str | None = None) -> Compared:
        """Returns both accuracies, or mean average precisions, and their change.

        Args:
            measured: one way of measuring; None for all photos.
        """
        rows = [
            pair
            for pair in self.rows
            if measured is None or self.after.measured[pair[1]] == measured
        ]
        groups = [self.after.groups[two] for _, two in rows] if self.after.groups else None
        if self.after.probabilities is not None:
            return self._label_sets(rows, groups)
        truth = [self.after.truth[two] for _, two in rows]
        answers = [self.before.answers[one] for one, _ in rows]
        later = [self.after.answers[two] for _, two in rows]
        labels = tuple(dict.fromkeys([*self.after.labels, *self.before.labels, *truth]))
        number = {label: place for place, label in enumerate(labels)}
        y, first, second = (np.array([number[label] for label in of], int)
                            for of in (truth, answers, later))  # fmt: skip
        return Compared(
            evaluate_predictions(labels, y, first, groups),
            evaluate_predictions(labels, y, second, groups),
            paired_change(first == y, second == y, groups),
        )

    def _label_sets(self, rows: list[tuple[int, int]], groups: list[int] | None) -> Compared:
        truth = [self.after.truth[two] for _, two in rows]
        classes = tuple(
            dict.fromkeys([*self.after.labels, *self.before.labels, *classes_in(truth)])
        )
        y = truth_of(truth, classes)
        before, after = (
            evaluate_label_sets(
                classes,
                y,
                one.scores_of(places, classes),
                truth_of([one.answers[place] for place in places], classes),
                groups,
            )
            for one, places in zip((self.before, self.after), np.array(rows).T, strict=True)
        )
        return Compared(before, after, precision_change(before.ranking, after.ranking))

    def changed(self) -> list[tuple[str, int, int]]:
        """Returns the photos whose answer changed: which of `CHANGES`, and their positions."""
        found = []
        for one, two in self.rows:
            truth, first, second = (
                self.after.truth[two], self.before.answers[one], self.after.answers[two]
            )  # fmt: skip
            if first != second:
                kind = GAINED if second == truth else LOST if first == truth else WRONG
                found.append((kind, one, two))
        return found


def pair_photos(before: Answered, after: Answered) -> Paired:
    """Matches the photos of two models by content.

    A photo that lies under two labels is there twice; each is matched with the one of its label
    first.
    """
    places: dict[bytes, list[int]] = collections.defaultdict(list)
    for one, digest in enumerate(before.digests):
        places[digest].append(one)
    rows, apart, only_after = [], 0, 0
    for two, digest in enumerate(after.digests):
        left = places.get(digest)
        if not left:
            only_after += 1
            continue
        one = next((one for one in left if before.truth[one] == after.truth[two]), left[0])
        left.remove(one)
        if before.measured[one] == after.measured[two]:
            rows.append((one, two))
        else:
            apart += 1
    return Paired(before, after, tuple(rows), apart, sum(map(len, places.values())), only_after)
