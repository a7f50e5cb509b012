"""Which labels are likely wrong, or missing, where photos may have several.

Each class is a question of its own, yes or no, and is asked as `label_errors` asks of one label: by
confident learning, and by a model of the labels. A head is not to learn from what looks wrong; but
the rest of the photo's labels are as good as any, so in place of that answer it learns what other
heads have said (S. Reed et al., Training Deep Neural Networks on Noisy Labels with Bootstrapping,
ICLR 2015 workshop).
"""

import dataclasses
from collections.abc import Callable, Sequence

import numpy as np

from xferlearn.auditing.copies import LIKELY
from xferlearn.auditing.label_errors import (
    FEW_SUSPECTED,
    Estimate,
    confident_errors,
    estimated,
    suspected_of,
)
from xferlearn.auditing.label_model import explain_labels
from xferlearn.backbones.synsets.names import readable_label
from xferlearn.decisions import fit_temperature, with_temperature
from xferlearn.metrics import worth_of
from xferlearn.photos.several import label_text, labelled_rows, labels_in


@dataclasses.dataclass(frozen=True, eq=False)
class SetErrors:
    """Photos of which labels are likely wrong, or missing.

    Attributes:
        labels: class names.
        has: whether each photo has each class, bool, [photos, classes].
        scores: estimated probability that this is wrong, float32, [photos, classes], range [0, 1];
            0 where no head judges.
        score: that of the class of each photo that is likeliest wrong, float32, [photos].
        suspected: which are suspected, bool, [photos, classes].
        order: rows of the photos with any of them, the worst first, int, [some].
        probabilities: of each class, by heads that have not learned from the photo, nor from what
            looked worst, float32, [photos, classes], range [0, 1]; NaN where none.
        between: variance between models of what is suspected, by photo and class; see `estimate`.
        groups: the number of what each photo belongs to; None where each stands alone.
    """

    labels: tuple[str, ...]
    has: np.ndarray
    scores: np.ndarray
    suspected: np.ndarray
    order: np.ndarray
    probabilities: np.ndarray
    between: Callable[[np.ndarray], float]
    groups: np.ndarray | None = None

    @property
    def score(self) -> np.ndarray:
        """As above."""
        return np.asarray(self.scores.max(axis=1, initial=0))

    def estimate(self, rows: np.ndarray) -> Estimate:
        """Returns of how many of some photos, int, [some], a suspected label is really wrong."""
        if not len(rows):
            return Estimate(0.0, 0, 0)
        right = np.where(self.suspected[rows], 1 - self.scores[rows].astype(float), 1)
        wrong = 1 - right.prod(axis=1)
        together = 1.0 if self.groups is None else len(rows) / worth_of(self.groups[rows])
        variance = float((wrong * (1 - wrong)).sum()) * together + self.between(rows)
        return estimated(float(wrong.sum()), variance, len(rows))

    def told(self, row: int) -> tuple[str, str]:
        """Returns the labels that fit a suspected photo better, and what is to be changed for that.

        Proposed is what is more likely right than wrong; if nothing is, the likeliest change.

        Args:
            row: one of `order`.

        Returns:
            Labels as `photos.several` writes them, and the changes, the likeliest first, each with
            the probability that the photo has the class.
        """
        scores = np.where(self.suspected[row], self.scores[row], -1)
        changes = [int(one) for one in np.argsort(-scores, kind="stable") if scores[one] >= 0]
        likely = [one for one in changes if scores[one] >= LIKELY] or changes[:1]
        fits = self.has[row].copy()
        fits[likely] = ~fits[likely]
        parts = [
            f"{'remove' if self.has[row, one] else 'add'} {self.labels[one]}"
            f" ({self.probabilities[row, one]:.0%})"
            for one in changes
        ]
        return label_text(np.array(self.labels)[fits].tolist()), ", ".join(parts)


def find_set_errors(
    y: np.ndarray,
    labels: Sequence[str],
    fit: Callable[[np.ndarray], np.ndarray],
    groups: np.ndarray | None = None,
) -> SetErrors:
    """Finds labels that are likely wrong, or missing, class by class.

    Args:
        y: whether each photo has each class, int, [photos, classes]: 1, 0, or -1 in all of a row of
            a photo that has not been labelled.
        labels: class names.
        fit: fits heads to what it is told, float32, [photos, classes]: 1, 0, -1 as above, and
            between 0 and 1 where it is not known; and returns what those say that have not learned
            from a photo, float, [photos, classes], range [0, 1]; NaN for photos that none of them
            judges. It is called twice.
        groups: the number of what each photo belongs to, int, [photos]; None where each stands
            alone.
    """
    first = fit(y.astype(np.float32))
    targets = y.astype(np.float32)
    for place, column in enumerate(y.T):
        rows = confident_errors(column, _of_question(first[:, place]))
        targets[rows, place] = first[rows, place]
    probabilities = fit(targets).copy()
    judged = np.flatnonzero(labelled_rows(y) & np.isfinite(probabilities).all(axis=1))
    # Without the answers that looked worst heads would seem surer than they are.
    temperature = fit_temperature(probabilities[judged], y[judged] == 1)
    probabilities[judged] = with_temperature(probabilities[judged], temperature, multi_label=True)
    scores = np.zeros(y.shape, np.float32)
    models = []
    for place in range(y.shape[1] if len(judged) else 0):
        column = y[judged, place].astype(np.int32)
        said = explain_labels(column, _of_question(probabilities[judged, place]))
        score = said.weights @ said.wrong
        scores[judged, place] = score
        # The others can't be suspected, and are many.
        some = np.flatnonzero(score >= FEW_SUSPECTED)
        models.append((said.weights, said.wrong[:, some], judged[some]))
    number = suspected_of(scores)
    suspected = np.zeros(y.shape, bool)
    worst = np.argsort(-scores, axis=None, kind="stable")[:number]
    suspected.ravel()[worst] = True

    def between(rows: np.ndarray) -> float:
        variance = 0.0
        chosen = np.zeros(len(y), bool)
        chosen[rows] = True
        for place, (weights, wrong, of_rows) in enumerate(models):
            sums = wrong[:, chosen[of_rows] & suspected[of_rows, place]].sum(axis=1)
            variance += float(weights @ np.square(sums - weights @ sums))
        return variance

    highest = np.where(suspected, scores, 0).max(axis=1, initial=0)
    order = np.flatnonzero(suspected.any(axis=1))
    order = order[np.argsort(-highest[order], kind="stable")]
    return SetErrors(
        tuple(labels), y == 1, scores, suspected, order, probabilities, between, groups
    )


def _of_question(has: np.ndarray) -> np.ndarray:
    """Returns the probabilities of no and yes, [photos, 2]."""
    return np.stack([1 - has, has], axis=1)


def change_text(label: str, proposed: str | None) -> str:
    """Returns what is to be changed for a photo to have the labels that are proposed.

    Args:
        label: its labels, as `photos.several` writes them.
        proposed: those that fit better; None where none are proposed.

    Example:
        >>> change_text("cat|dog", "bird|dog")
        'add bird, remove cat'
    """
    if proposed is None:
        return ""
    now, then = (dict.fromkeys(labels_in(one)) for one in (label, proposed))
    parts = {
        "add": [one for one in then if one not in now],
        "remove": [one for one in now if one not in then],
    }
    return ", ".join(
        f"{what} {' and '.join(map(readable_label, some))}" for what, some in parts.items() if some
    )
