"""Which labels a photo gets where it may have several: all whose probability reaches a threshold.

Each class is a question of its own, so what one class may promise (`choose_decision`) holds here
class by class.
"""

import dataclasses
import functools
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from xferlearn.decisions.deciding import Decision, as_told, choose_decision, unknown_decision

RULE = "labels"
"""What metadata.json calls such a decision."""

# For a class of which nothing tells a better threshold.
_EVEN = 0.5
# Probabilities nearer to 0 or 1 have no log-odds that tell anything.
_HARDLY = 1e-7
_MOST_STEPS = 50


@dataclasses.dataclass(frozen=True)
class MultiLabelDecision:
    """From probabilities to any number of labels per photo.

    Attributes:
        labels: class names in output order.
        thresholds: by class, above 0 to 1: a photo whose probability reaches it gets the label.
        min_recall: what was asked for by class, above 0 and below 1.
        min_precision: likewise.

    Example:
        >>> decision = MultiLabelDecision(("cat", "dog"), {"cat": 0.4, "dog": 0.6})
        >>> decision.decide(np.array([[0.7, 0.9], [0.3, 0.5]]))
        array([[ True,  True],
               [False, False]])
    """

    labels: tuple[str, ...]
    thresholds: Mapping[str, float]
    min_recall: Mapping[str, float] = dataclasses.field(default_factory=dict)
    min_precision: Mapping[str, float] = dataclasses.field(default_factory=dict)

    def __bool__(self) -> bool:
        """Whether something was asked for; without, thresholds are those of the largest F1."""
        return bool(self.named)

    @property
    def named(self) -> set[str]:
        """The classes of which something was asked for."""
        return {*self.min_recall, *self.min_precision}

    @functools.cached_property
    def limits(self) -> np.ndarray:
        """The thresholds in output order, float32, [classes]."""
        return np.array([self.thresholds[label] for label in self.labels], np.float32)

    def decide(self, scores: np.ndarray) -> np.ndarray:
        """Returns which labels each photo gets.

        Args:
            scores: probabilities, float, [photos, classes], range [0, 1].

        Returns:
            Bool, [photos, classes].
        """
        return np.asarray(scores, np.float32) >= self.limits

    def as_dict(self) -> dict[str, Any]:
        """Returns it for JSON, as `metadata["decision"]` holds it."""
        asked = {"min_recall": dict(self.min_recall), "min_precision": dict(self.min_precision)}
        return {
            "rule": RULE,
            "thresholds": dict(self.thresholds),
            "asked": {name: value for name, value in asked.items() if value},
        }

    @classmethod
    def of(cls, labels: Sequence[str], said: Mapping[str, Any]) -> "MultiLabelDecision":
        """Returns the decision that `as_dict` told.

        Raises:
            AttributeError, KeyError, TypeError, ValueError: when it is none.
        """
        thresholds = {label: float(said["thresholds"][label]) for label in labels}
        asked = said["asked"]
        recall, precision = (
            {name: float(value) for name, value in asked.get(what, {}).items()}
            for what in ("min_recall", "min_precision")
        )
        return cls(tuple(labels), thresholds, recall, precision)

    def text(self) -> str:
        """Returns how labels are decided, in words."""
        asked = {"recall": self.min_recall, "precision": self.min_precision}
        parts = [
            f"{label} from {self.thresholds[label]:.3g} on ({name} {value:g})"
            for name, wanted in asked.items()
            for label, value in wanted.items()
        ]
        rest = "each other class" if parts else "each class"
        if len(parts) < len(self.labels):
            parts.append(f"{rest} from its threshold of the largest F1 on")
        return ", ".join(parts)


def decision_of(metadata: Mapping[str, Any]) -> Decision | MultiLabelDecision:
    """Returns the decision of a model's metadata; the largest probability where it has none.

    Raises:
        UserError: when it is of a kind that this version does not know.
    """
    said = metadata.get("decision")
    if not isinstance(said, Mapping) or said.get("rule") != RULE:
        return Decision.of(metadata)
    try:
        return MultiLabelDecision.of(tuple(metadata.get("labels") or ()), said)
    except (AttributeError, KeyError, TypeError, ValueError):
        raise unknown_decision() from None


def choose_label_thresholds(
    labels: Sequence[str],
    probabilities: np.ndarray,
    y: np.ndarray,
    *,
    min_recall: Mapping[str, float] | None = None,
    min_precision: Mapping[str, float] | None = None,
    groups: Sequence[int] | None = None,
) -> MultiLabelDecision:
    """Chooses the threshold of each class: what is asked of it, else the one of the largest F1.

    That is the largest F1 that the probabilities expect, once their log-odds are moved so that they
    expect as many photos of the class as there are. Of a rare class this tells more than the F1 of
    its few photos: with 5, 10 and 20 photos of a class among some 200 pairs of flowers the F1 on
    other photos is 0.434, not 0.393 (75 trainings; +0.041, 95%: +0.021 to +0.061;
    tools/bench_thresholds.py --seed=1). With 160 photos of each class no difference shows.

    Args:
        labels: class names in output order.
        probabilities: of photos that the model has not learned from, float, [photos, classes],
            range [0, 1].
        y: whether each photo has each class, bool, [photos, classes].
        min_recall: by class, as for `choose_decision`.
        min_precision: likewise.
        groups: what each photo belongs to; None where each stands alone.

    Raises:
        UserError: when it can't be reached; says what can.
    """
    recall, precision = dict(min_recall or {}), dict(min_precision or {})
    thresholds = {}
    for number, label in enumerate(labels):
        of_class, has = probabilities[:, number], y[:, number]
        if label in recall or label in precision:
            found = choose_decision(
                ("", label),
                np.stack([1 - of_class, of_class], axis=1),
                has.astype(int),
                min_recall={label: recall[label]} if label in recall else None,
                min_precision={label: precision[label]} if label in precision else None,
                groups=groups,
            )
            thresholds[label] = found.thresholds[label]
        else:
            thresholds[label] = _of_largest_f1(of_class, has)
    return MultiLabelDecision(tuple(labels), thresholds, recall, precision)


def certainty(probabilities: np.ndarray, decided: np.ndarray) -> np.ndarray:
    """Returns how sure each decision is, to give a label or not to, float, [photos, classes].

    Args:
        probabilities: float, [photos, classes], range [0, 1].
        decided: which labels each photo gets, bool, [photos, classes].
    """
    return np.where(decided, probabilities, 1 - probabilities)


def decide_by_others(
    labels: Sequence[str], probabilities: np.ndarray, y: np.ndarray, folds: np.ndarray
) -> np.ndarray:
    """Returns the labels of photos at thresholds that photos of the other folds chose.

    So what is measured of them is not what they were chosen by.

    Args:
        labels: class names in output order.
        probabilities: out-of-fold, float, [photos, classes], range [0, 1].
        y: whether each photo has each class, bool, [photos, classes].
        folds: of each photo, int, [photos].

    Returns:
        Bool, [photos, classes].
    """
    decided = np.zeros(y.shape, bool)
    for fold in np.unique(folds):
        own = folds == fold
        others = choose_label_thresholds(labels, probabilities[~own], y[~own])
        decided[own] = others.decide(probabilities[own])
    return decided


def _of_largest_f1(scores: np.ndarray, has: np.ndarray) -> float:
    """Returns the threshold of the largest expected F1, in the middle between two photos."""
    if not has.any():
        return _EVEN
    order = np.argsort(-scores, kind="stable")
    ranked = scores[order].astype(np.float64)
    expected = np.cumsum(_in_number(ranked, has.sum()))
    f1 = 2 * expected / (np.arange(1, len(scores) + 1) + expected[-1])
    # Photos of equal scores are above a threshold together.
    ends = np.append(ranked[1:] != ranked[:-1], True)
    best = int(np.where(ends, f1, -1).argmax())
    below = ranked[best + 1] if best + 1 < len(ranked) else 0.0
    return max(as_told((ranked[best] + below) / 2), as_told(float(np.finfo(np.float32).tiny)))


def _in_number(probabilities: np.ndarray, number: int) -> np.ndarray:
    """Returns probabilities whose log-odds are moved so that they expect a number of photos."""
    known = np.clip(probabilities, _HARDLY, 1 - _HARDLY)
    odds, shift = np.log(known / (1 - known)), 0.0
    found = known
    for _ in range(_MOST_STEPS):
        step = (number - found.sum()) / max((found * (1 - found)).sum(), _HARDLY)
        if abs(step) < _HARDLY:
            break
        shift += min(max(step, -1.0), 1.0)
        found = 1 / (1 + np.exp(-odds - shift))
    return found
