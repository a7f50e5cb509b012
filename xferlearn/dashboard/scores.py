"""What thresholds on each class's probability give: counts, small enough for a report.

A class's photos and the others are counted by score, between `GRID`'s thresholds. From that the
page has precision, recall and cost at any of them, and the precision-recall curve.
"""

from typing import Any

import numpy as np

from xferlearn.decisions import OTHER_COST, Decision, MultiLabelDecision, row_blocks

GRID = (0.001, 0.002, 0.005, *(n / 100 for n in range(1, 100)), 0.995, 0.998, 0.999)
"""Thresholds that are told, beside those of the decision: finer where few photos are."""

MOST_CLASSES = 100
"""Classes that are told: with more, those with the most mistakes."""

_DIGITS = 4


def count_scores(
    decision: Decision | MultiLabelDecision, scores: np.ndarray, truth: np.ndarray
) -> dict[str, Any] | None:
    """Returns what another threshold of one class would give, the others' left as they are.

    Args:
        decision: how labels are decided today; its `labels` are the scores'.
        scores: probabilities, float, [photos, classes], range [0, 1].
        truth: true class index of each photo, int, [photos]; where photos may have several labels,
            whether each has each class, bool, [photos, classes].

    Returns:
        For JSON: `thresholds`, ascending; `n`, number of photos; `costs`, whether mistakes differ;
        and `classes`, by class what `_count` returns, with `label`, its index, and `today`: the
        number of photos that get the label today, that of the right ones among them, the threshold
        that decides it, None where that depends on the other classes too, and the mean cost per
        photo. None without photos.
    """
    if not len(truth):
        return None
    if isinstance(decision, MultiLabelDecision):
        return _count_labels(decision, scores, truth)
    return _count_decision(decision, scores, truth)


def _count_labels(
    decision: MultiLabelDecision, scores: np.ndarray, truth: np.ndarray
) -> dict[str, Any]:
    """Each class is a question of its own, and what costs is its own mistakes."""
    decided = decision.decide(scores)
    wrong, correct = (decided != truth).sum(axis=0), (decided & truth).sum(axis=0)
    shown = _most_wrong(wrong)
    thresholds = _thresholds(decision.limits[shown])
    return {
        "thresholds": thresholds.tolist(),
        "n": len(truth),
        "costs": False,
        "classes": [
            {
                "label": label,
                **_count(scores[:, label].astype(np.float64), truth[:, label], thresholds),
                "today": [
                    *(int(decided[:, label].sum()), int(correct[label])),
                    float(np.float64(decision.limits[label]).round(6)),
                    round(float(wrong[label]) / len(truth), _DIGITS),
                ],
            }
            for label in shown
        ],
    }


def _most_wrong(wrong: np.ndarray) -> list[int]:
    """Returns the classes that are told, ascending."""
    return np.sort(np.argsort(-wrong, kind="stable")[:MOST_CLASSES]).tolist()


def _thresholds(own: np.ndarray) -> np.ndarray:
    """Returns all thresholds, ascending."""
    return np.unique(np.round([*GRID, *own[np.isfinite(own)]], 6))


def _count_decision(decision: Decision, scores: np.ndarray, y: np.ndarray) -> dict[str, Any]:
    """A photo that misses the threshold gets its next label.

    Where the decision is by costs, that is the one of the largest probability.
    """
    number, decided = len(decision.labels), decision.decide(scores)
    limits = np.array([decision.thresholds.get(label, np.inf) for label in decision.labels])
    matrix = decision.cost_matrix if decision.costs else None
    first, second, ratios = _candidates(scores, limits)
    right = decided == y
    labelled, photos, correct = (
        np.bincount(some, minlength=number) for some in (decided, y, y[right])
    )
    shown = _most_wrong(labelled + photos - 2 * correct)
    thresholds = _thresholds(limits[shown])
    costs_today = OTHER_COST * ~right if matrix is None else matrix[y, decided]
    cost_today = round(float(costs_today.mean()), _DIGITS)
    classes = []
    for label in shown:
        otherwise = np.where(first == label, second, first)
        costs = None
        if matrix is not None:
            costs = matrix[y, label], matrix[y, otherwise]
        reached = _reached(scores[:, label], label, limits, ratios)
        limit = float(limits[label])
        classes.append(
            {
                "label": label,
                **_count(reached, y == label, thresholds, otherwise != y, costs),
                "today": [
                    *(int(labelled[label]), int(correct[label])),
                    None if np.isinf(limit) else limit,
                    cost_today,
                ],
            }
        )
    return {
        "thresholds": thresholds.tolist(),
        "n": len(y),
        "costs": matrix is not None,
        "classes": classes,
    }


def _count(
    scores: np.ndarray,
    positive: np.ndarray,
    thresholds: np.ndarray,
    wrong_below: np.ndarray | None = None,
    costs: tuple[np.ndarray, np.ndarray] | None = None,
) -> dict[str, list[float]]:
    """Returns the photos of one class and the others by score.

    Args:
        scores: from which threshold on a photo does not get the label any more, float, [photos].
        positive: which photos are of the class, bool, [photos].
        thresholds: ascending.
        wrong_below: which photos are wrong without the label, bool, [photos]; None where these are
            those of the class.
        costs: what each photo costs with the label and without it, where mistakes differ.

    Returns:
        Counts between thresholds as pairs of a bin and its count, one after the other, without
        those of 0; bin `i` holds the scores from threshold `i - 1` up to the next. `positive` and
        `negative` are photos, `below` those that are wrong without the label; `cost` and
        `cost_below` what they cost with it and without it, where that is not their number.
    """
    # In one precision, as `Decision` compares: a photo at a threshold reaches it.
    bins = np.searchsorted(thresholds, scores, side="right")
    size = len(thresholds) + 1

    def by_bin(weights: np.ndarray) -> list[float]:
        sums = np.bincount(bins, weights, minlength=size)
        pairs = [(int(one), round(float(sums[one]), _DIGITS)) for one in np.flatnonzero(sums)]
        return [int(x) if float(x).is_integer() else x for pair in pairs for x in pair]

    counted = {"positive": by_bin(positive), "negative": by_bin(~positive)}
    if wrong_below is not None:
        counted["below"] = by_bin(wrong_below)
    if costs is not None:
        counted |= {"cost": by_bin(costs[0]), "cost_below": by_bin(costs[1])}
    return counted


def _candidates(
    scores: np.ndarray, limits: np.ndarray
) -> tuple[np.ndarray, np.ndarray, tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Returns each photo's label and its next one, then the two largest ratios to thresholds.

    Of several classes that reach their thresholds the largest ratio wins; then come those without
    a threshold by probability, then those that miss theirs.
    """
    first, second = (np.empty(len(scores), np.intp) for _ in range(2))
    ratios = np.empty(len(scores)), np.empty(len(scores), np.intp), np.empty(len(scores))
    limited = np.isfinite(limits)
    for rows in row_blocks(scores.shape):
        block = scores[rows].astype(np.float32).astype(np.float64)
        ratio = np.where(limited, block / limits, 0.0)
        key = np.where(limited, np.where(ratio >= 1, 2 + ratio, ratio - 10), block)
        first[rows], second[rows] = _best_two(key)
        best, next_best = _best_two(ratio)
        ratios[1][rows] = best
        for of, place in ((ratios[0], best), (ratios[2], next_best)):
            of[rows] = np.take_along_axis(ratio, place[:, None], axis=1)[:, 0]
    return first, second, ratios


def _best_two(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    best = values.argmax(axis=1)
    rest = values.copy()
    np.put_along_axis(rest, best[:, None], -np.inf, axis=1)
    return best, rest.argmax(axis=1)


def _reached(
    scores: np.ndarray,
    label: int,
    limits: np.ndarray,
    ratios: tuple[np.ndarray, np.ndarray, np.ndarray],
) -> np.ndarray:
    """Returns up to which threshold each photo gets the label, float64, [photos].

    Among classes that reach their thresholds the largest ratio wins, so a threshold must also be
    so low that no other's ratio is larger.
    """
    largest, of, next_largest = ratios
    other = np.where(of == label, next_largest, largest)
    free = np.isinf(np.delete(limits, label)).any()
    bound = np.maximum(other, 1.0) if free else np.maximum(other, 1e-12)
    return scores.astype(np.float32).astype(np.float64) / bound
