"""The photos that an exported file labels otherwise than model.keras."""

import dataclasses
from collections.abc import Sequence
from typing import ClassVar

import numpy as np

from xferlearn.decisions import Decision, MultiLabelDecision
from xferlearn.exports.photos import ProofPhotos
from xferlearn.photos.several import label_text, labels_in


@dataclasses.dataclass(frozen=True)
class Changed:
    """A photo that gets another first label from the exported file.

    Attributes:
        name: the photo, as in photos.csv.
        truth: its class.
        before: first label of model.keras, with its probability.
        after: first label of the exported file, likewise.
    """

    noun: ClassVar[str] = "first label"

    name: str
    truth: str
    before: tuple[str, float]
    after: tuple[str, float]

    def text(self) -> str:
        """Returns what changed, one line."""
        (before, was), (after, now) = self.before, self.after
        return f"{self.name}: {before} ({was:.3f}) became {after} ({now:.3f}); it is {self.truth}"


@dataclasses.dataclass(frozen=True)
class ChangedSet:
    """A photo that may have several labels, and gets others from the exported file.

    Attributes:
        name: the photo, as in photos.csv.
        truth: its labels, as one text, see `photos.several`.
        before: labels of model.keras, likewise.
        after: labels of the exported file, likewise.
        labels: those that came or went: the probability of model.keras, that of the exported file,
            and the threshold between both.
    """

    noun: ClassVar[str] = "set of labels"

    name: str
    truth: str
    before: str
    after: str
    labels: dict[str, tuple[float, float, float]]

    @property
    def distance(self) -> float:
        """How far model.keras was from the thresholds of these labels, at most, 0 to 1."""
        return max((abs(was - limit) for was, _, limit in self.labels.values()), default=0.0)

    def text(self) -> str:
        """Returns what changed, one line."""
        has, truth = set(labels_in(self.after)), set(labels_in(self.truth))
        each = "; ".join(
            f"{'got' if label in has else 'lost'} {label}"
            f"{'' if (label in has) == (label in truth) else ', wrongly'}"
            f" ({was:.4f} became {now:.4f}, threshold {limit:.4f})"
            for label, (was, now, limit) in self.labels.items()
        )
        return f"{self.name}: {each or 'not all of its scores are numbers'}"


def labelled_alike(some: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Returns which photos have the same label, or the same labels, bool, [photos].

    Args:
        some: indices, int, [photos]; or whether each photo has each label, bool, [photos, classes].
        others: likewise.
    """
    same = np.asarray(some == others)
    return same if same.ndim == 1 else np.asarray(same.all(axis=1))


def changed_photos(
    decision: Decision | MultiLabelDecision,
    labels: Sequence[str],
    scores: tuple[np.ndarray, np.ndarray],
    photos: ProofPhotos,
    changed: np.ndarray,
) -> tuple[Changed, ...] | tuple[ChangedSet, ...]:
    """Returns what changed of photos.

    Args:
        decision: of the model.
        labels: class names in output order.
        scores: of model.keras, and of the exported file, float32, [photos, classes].
        photos: that these are of.
        changed: which of them are labelled otherwise, bool, [photos].
    """
    rows = np.flatnonzero(changed)
    if not isinstance(decision, MultiLabelDecision):
        return tuple(
            Changed(
                photos.names[i],
                labels[photos.truth[i]],
                *((labels[one[i].argmax()], float(one[i].max())) for one in scores),
            )
            for i in rows
        )
    before, after = map(decision.decide, scores)
    limits = np.broadcast_to(decision.limits, scores[0].shape)
    compared = np.stack([*scores, limits], axis=-1).tolist()

    def named(has: np.ndarray) -> list[tuple[int, str]]:
        return [(one, labels[one]) for one in np.flatnonzero(has).tolist()]

    def text(has: np.ndarray) -> str:
        return label_text(label for _, label in named(has))

    return tuple(
        ChangedSet(
            photos.names[i],
            text(photos.truth[i]),
            text(before[i]),
            text(after[i]),
            {label: tuple(compared[i][one]) for one, label in named(before[i] != after[i])},
        )
        for i in rows
    )


def changed_text(changed: Sequence[Changed | ChangedSet]) -> str:
    """Returns how many photos changed in what and, of label sets, how close a call it was."""
    noun = next((one.noun for one in changed), Changed.noun)
    said = f"{len(changed):,} changed the {noun}"
    far = [one.distance for one in changed if isinstance(one, ChangedSet)]
    return f"{said}, by labels within {max(far):.2g} of their threshold" if far else said
