"""Which label a photo gets: by the largest probability, by thresholds, or by the cost of mistakes.

A decision is chosen on predictions of photos by heads that have not learned from them, and leaves
the probabilities as they are.
"""

import dataclasses
import functools
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from xferlearn.decisions.blocks import row_blocks
from xferlearn.decisions.bounds import enough_for, missable
from xferlearn.decisions.proving import is_proved, prove
from xferlearn.errors import UserError
from xferlearn.metrics import worth_of

# What a mistake costs of which nothing is said.
OTHER_COST = 1.0
# Thresholds that depend on each other are found by turns; after some they move in one direction.
_MOST_TURNS, _FREE_TURNS = 200, 10
_LOWEST = 1e-6
_DIGITS = 6


@dataclasses.dataclass(frozen=True)
class Decision:
    """From probabilities to one label per photo.

    Without thresholds and costs it is the label of the largest probability. With thresholds it is,
    among the labels whose probability reaches their threshold, the one with the largest probability
    per threshold; where there is none, the one of largest probability among those without a
    threshold, or of the largest per threshold where each has one. With costs it is the label of the
    smallest expected cost.

    Attributes:
        labels: class names in output order.
        thresholds: by class, above 0 to 1; classes without one are left out.
        costs: of the mistakes that differ from `OTHER_COST`: by true class and label, 0 or more.
        min_recall: what was asked for by class, above 0 and below 1.
        min_precision: likewise.

    Example:
        >>> decision = Decision(("defective", "functional"), thresholds={"defective": 0.2})
        >>> decision.decide(np.array([[0.3, 0.7], [0.1, 0.9]]))
        array([0, 1], dtype=int32)
    """

    labels: tuple[str, ...]
    thresholds: Mapping[str, float] = dataclasses.field(default_factory=dict)
    costs: Mapping[str, Mapping[str, float]] = dataclasses.field(default_factory=dict)
    min_recall: Mapping[str, float] = dataclasses.field(default_factory=dict)
    min_precision: Mapping[str, float] = dataclasses.field(default_factory=dict)

    def __bool__(self) -> bool:
        """Whether it is more than the largest probability."""
        return bool(self.thresholds or self.costs)

    @property
    def named(self) -> set[str]:
        """The classes that have a threshold, or whose mistakes have a cost of their own."""
        return {*self.thresholds, *self.costs}

    @functools.cached_property
    def cost_matrix(self) -> np.ndarray:
        """What each label costs, by true class (row) and label (column), float64."""
        matrix = OTHER_COST * (1 - np.eye(len(self.labels)))
        for truth, row in self.costs.items():
            for label, cost in row.items():
                matrix[self.labels.index(truth), self.labels.index(label)] = cost
        return matrix

    def decide(self, scores: np.ndarray) -> np.ndarray:
        """Returns the label of each photo.

        Args:
            scores: probabilities, float, [photos, classes], range [0, 1].

        Returns:
            Indices of `labels`, int32, [photos].
        """
        # In one precision, whatever the scores have: a photo at a threshold reaches it.
        scores = np.asarray(scores, np.float32)
        if not self:
            return scores.argmax(axis=1).astype(np.int32)
        found = np.empty(len(scores), np.int32)
        for rows in row_blocks(scores.shape):
            found[rows] = self._decide(scores[rows].astype(np.float64))
        return found

    def _decide(self, scores: np.ndarray) -> np.ndarray:
        if self.costs:
            return np.asarray((scores @ self.cost_matrix).argmin(axis=1))
        ratios = scores / self._limits
        best = ratios.argmax(axis=1)
        if np.isinf(self._limits).any():
            reached = ratios.max(axis=1) >= 1
            free = np.where(np.isinf(self._limits), scores, -1)
            best = np.where(reached, best, free.argmax(axis=1))
        return best

    @functools.cached_property
    def _limits(self) -> np.ndarray:
        return np.array([self.thresholds.get(label, math.inf) for label in self.labels])

    def as_dict(self) -> dict[str, Any]:
        """Returns it for JSON, as `metadata["decision"]` holds it."""
        if self.costs:
            costs = {truth: dict(row) for truth, row in self.costs.items()}
            return {"rule": "cost", "costs": costs, "other_costs": OTHER_COST}
        asked = {
            "min_recall": dict(self.min_recall), "min_precision": dict(self.min_precision)
        }  # fmt: skip
        return {
            "rule": "thresholds",
            "thresholds": dict(self.thresholds),
            "asked": {name: value for name, value in asked.items() if value},
        }

    @classmethod
    def of(cls, metadata: Mapping[str, Any]) -> "Decision":
        """Returns the decision of a model's metadata; the largest probability where it has none.

        Raises:
            UserError: when it is of a kind that this version does not know.
        """
        labels = tuple(metadata.get("labels") or ())
        said = metadata.get("decision")
        if said is None:
            return cls(labels)
        try:
            if said["rule"] == "cost" and said["other_costs"] == OTHER_COST:
                costs = {truth: _numbers(row) for truth, row in said["costs"].items()}
                found = cls(labels, costs=costs)
            elif said["rule"] == "thresholds":
                asked = said["asked"]
                found = cls(
                    labels,
                    thresholds=_numbers(said["thresholds"]),
                    min_recall=_numbers(asked.get("min_recall", {})),
                    min_precision=_numbers(asked.get("min_precision", {})),
                )
            else:
                raise ValueError(said["rule"])
            if not found or not found.named <= set(labels) or not len(found.cost_matrix):
                raise ValueError(found.named)
        except (AttributeError, KeyError, TypeError, ValueError):
            raise unknown_decision() from None
        return found

    def text(self) -> str:
        """Returns how labels are decided, e.g. "defective from 0.213 on"."""
        if self.costs:
            mistakes = [
                f"{truth} as {label} {cost:g}"
                for truth, row in self.costs.items()
                for label, cost in row.items()
            ]
            rest = len(self.labels) * (len(self.labels) - 1) - len(mistakes)
            other = [f"any other mistake {OTHER_COST:g}"] if rest else []
            return f"smallest expected cost: {', '.join([*mistakes, *other])}"
        if not self.thresholds:
            return "largest probability"
        parts = []
        for label, threshold in self.thresholds.items():
            asked = [
                f"{name} {wanted[label]:g}"
                for name, wanted in (("recall", self.min_recall), ("precision", self.min_precision))
                if label in wanted
            ]
            parts.append(f"{label} from {threshold:.3g} on ({', '.join(asked) or 'as given'})")
        return ", ".join(parts)


def unknown_decision() -> UserError:
    """Returns the error of a model whose decision can't be understood."""
    return UserError(
        "The model's decision is of a kind that this version of xferlearn does not know. Install"
        " the xferlearn that wrote the model, or choose another decision with `xferlearn decide`."
    )


def _numbers(values: Mapping[str, Any]) -> dict[str, float]:
    return {name: float(value) for name, value in values.items()}


def choose_decision(
    labels: Sequence[str],
    probabilities: np.ndarray,
    y: np.ndarray,
    *,
    min_recall: Mapping[str, float] | None = None,
    min_precision: Mapping[str, float] | None = None,
    costs: Mapping[str, Mapping[str, float]] | None = None,
    groups: Sequence[int] | None = None,
) -> Decision:
    """Chooses thresholds that keep what is asked, and label no more photos so than they must.

    With `costs` nothing has to be chosen: probabilities are calibrated, and a threshold that is
    chosen on the photos instead costs as much (31.2% and 31.3% less than the largest probability on
    halves of the solar cells, at 5:1).

    With `min_recall` a new photo of the class is found with at least this probability, on average
    over draws of the photos (the conformal quantile, see `bounds.missable`); the threshold is the
    largest such. With `min_precision` new photos with the label are right at least this often, with
    a confidence of 0.95 (see `proving.prove`); the threshold is the smallest such.

    Args:
        labels: class names in output order.
        probabilities: of photos that the model has not learned from, float, [photos, classes],
            range [0, 1].
        y: true class index of each photo, int, [photos].
        min_recall: by class, above 0 and below 1.
        min_precision: likewise, of other classes.
        costs: instead of both, what mistakes cost, as in `Decision`.
        groups: what each photo belongs to; None where each stands alone. Photos in groups count as
            `xferlearn.metrics.worth_of` says.

    Raises:
        UserError: when it can't be reached; says what can.

    Example:
        >>> decision = choose_decision(labels, probabilities, y, min_recall={"defective": 0.95})
        >>> decision.thresholds
        {'defective': 0.10632}
    """
    if costs:
        return Decision(tuple(labels), costs=costs)
    if not min_recall and not min_precision:
        return Decision(tuple(labels))
    members = np.arange(len(y)) if groups is None else np.asarray(groups)
    scores = np.asarray(probabilities, np.float32)
    chosen = _Choice(tuple(labels), scores, np.asarray(y), members)
    asked = [(label, value, chosen.for_recall, min) for label, value in (min_recall or {}).items()]
    asked += [
        (label, value, chosen.for_precision, max) for label, value in (min_precision or {}).items()
    ]
    thresholds: dict[str, float] = {}
    for turn in range(_MOST_TURNS):
        before = dict(thresholds)
        for label, value, choose, safer in asked:
            others = {name: one for name, one in thresholds.items() if name != label}
            found = max(as_told(choose(label, value, others)), _LOWEST)
            thresholds[label] = found if turn < _FREE_TURNS else safer(before[label], found)
        if thresholds == before:
            break
    decision = Decision(
        tuple(labels),
        thresholds=thresholds,
        min_recall=dict(min_recall or {}),
        min_precision=dict(min_precision or {}),
    )
    chosen.check(decision)
    return decision


@dataclasses.dataclass(frozen=True)
class _Choice:
    labels: tuple[str, ...]
    scores: np.ndarray
    y: np.ndarray
    groups: np.ndarray

    def for_recall(self, label: str, wanted: float, others: Mapping[str, float]) -> float:
        """Returns the largest threshold with which enough photos of a class are found."""
        of_class = self.y == self.labels.index(label)
        missed = self._missable(label, wanted)
        return float(np.sort(self._needed(label, others)[of_class])[missed])

    def for_precision(self, label: str, wanted: float, others: Mapping[str, float]) -> float:
        """Returns the smallest threshold with which enough photos with a label are right."""
        # Rounded as the threshold will be, so that it parts no photos that it can't tell apart.
        needed = _rounded_down(self._needed(label, others))
        number = self.labels.index(label)
        # Known without the labels: photos of which so many are right can't be more than that.
        last = math.ceil(float(self.scores[:, number].sum(dtype=np.float64)) / wanted)
        found = prove(needed, self.y != number, 1 - wanted, self.groups, last)
        if found is not None:
            return found.threshold
        best = self._provable(label, needed)
        raise UserError(
            f"`min_precision` {wanted:g} of {label!r} can't be proved with 95% confidence:"
            f" the {len(self.y):,} photos that it is chosen on prove"
            f" {f'{best:g} at most' if best else 'nothing'}. Ask for less, or add photos."
        )

    def _provable(self, label: str, needed: np.ndarray) -> float:
        """Returns the largest precision that is proved, in steps of 0.001; 0 for none."""
        wrong = self.y != self.labels.index(label)
        low, high = 0, 1000
        while high - low > 1:
            middle = (low + high) // 2
            if prove(needed, wrong, 1 - middle / 1000, self.groups) is None:
                high = middle
            else:
                low = middle
        return low / 1000

    def check(self, decision: Decision) -> None:
        """Checks that thresholds which depend on each other give what is asked."""
        decided = decision.decide(self.scores)
        missed = []
        for label, wanted in decision.min_recall.items():
            number = self.labels.index(label)
            found = decided[self.y == number] == number
            if (~found).sum() > self._missable(label, wanted):
                least = len(found) - self._missable(label, wanted)
                missed.append(
                    f"finds {found.sum():,} of {len(found):,} photos of {label!r} ({least:,}"
                    " needed)"
                )
        for label, wanted in decision.min_precision.items():
            with_label = decided == self.labels.index(label)
            wrong = self.y[with_label] != self.labels.index(label)
            if not is_proved(wrong, 1 - wanted, self.groups[with_label]):
                missed.append(
                    f"is right in {(~wrong).sum():,} of {len(wrong):,} photos labelled {label!r}"
                )
        if missed:
            raise UserError(
                "What is asked can't be reached at once: the decision that comes nearest"
                f" {', '.join(missed)}. Ask for less, or of fewer classes."
            )

    def _missable(self, label: str, wanted: float) -> int:
        rows = np.flatnonzero(self.y == self.labels.index(label))
        worth = worth_of(self.groups[rows]) if len(rows) else 0.0
        missed = missable(len(rows), worth, 1 - wanted)
        if missed is None:
            alone = "" if worth == len(rows) else f", which are worth {worth:.1f} that stand alone"
            raise UserError(
                f"`min_recall` {wanted:g} of {label!r} needs at least"
                f" {enough_for(1 - wanted):,} photos of that class outside the test. Received:"
                f" {len(rows):,}{alone}. Add photos, or ask for less."
            )
        return missed

    def _needed(self, label: str, others: Mapping[str, float]) -> np.ndarray:
        """Returns the largest threshold at which each photo would get a label, given the others."""
        needed = self.scores[:, self.labels.index(label)].astype(np.float64)
        exceeded = np.ones(len(needed))
        for name, threshold in others.items():
            scores = self.scores[:, self.labels.index(name)].astype(np.float64)
            exceeded = np.maximum(exceeded, scores / threshold)
        return needed / exceeded


def _rounded_down(values: np.ndarray) -> np.ndarray:
    """Returns numbers with some digits, no larger than they were, so that their photos reach them.

    Those below `_LOWEST`, which no threshold tells apart, become 0.
    """
    known = values >= _LOWEST
    scale = 10.0 ** (_DIGITS - 1 - np.floor(np.log10(np.where(known, values, 1.0))))
    return np.where(known, np.floor(values * scale) / scale, 0.0)


def as_told(value: float) -> float:
    """Returns a threshold with some digits, rounded down."""
    return float(f"{float(_rounded_down(np.array(value))):.{_DIGITS}g}")
