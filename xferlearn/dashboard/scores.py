"""What thresholds on each class's probability give: counts, small enough for a report.

A class's photos and the others are counted by score, between `GRID`'s thresholds. From that the
page has precision, recall and cost at any of them, and the precision-recall curve.
"""

from typing import Any

import numpy as np

from xferlearn.decisions import OTHER_COST, Decision, row_blocks

GRID = (0.001, 0.002, 0.005, *(n / 100 for n in range(1, 100)), 0.995, 0.998, 0.999)
"""Thresholds that are told, beside those of the decision: finer where few photos are."""

MOST_CLASSES = 100
"""Classes that are told: with more, those with the most mistakes."""

_DIGITS = 4


def count_decision(decision: Decision, scores: np.ndarray, y: np.ndarray) -> dict[str, Any] | None:
    """Returns what another threshold of one class would give, the others' left as they are.

    Args:
        decision: how labels are decided today; its `labels` are the scores'. Where that is by
            costs, a photo that misses the threshold gets the label of the largest probability.
        scores: probabilities, float, [photos, classes], range [0, 1].
        y: true class index of each photo, int, [photos].

    Returns:
        For JSON: `thresholds`, ascending; `n`, number of photos; `cost`, the mean cost per photo as
        decided today; and `classes`, by class what `_count` returns, with `today`, the number of
        photos that get the label today, that of the right ones among them, and the threshold that
        decides it, None where that depends on the other classes too. None without photos.
    """
    if not len(y):
        return None
    number, decided = len(decision.labels), decision.decide(scores)
    limits = np.array([decision.thresholds.get(label, np.inf) for label in decision.labels])
    matrix = decision.cost_matrix if decision.costs else None
    first, second, ratios = _candidates(scores, limits)
    right = decided == y
    labelled, photos, correct = (
        np.bincount(some, minlength=number) for some in (decided, y, y[right])
    )
    wrong = labelled + photos - 2 * correct
    shown = np.sort(np.argsort(-wrong, kind="stable")[:MOST_CLASSES]).tolist()
    thresholds = np.unique([*GRID, *(limits[label] for label in shown if limits[label] < np.inf)])
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
                ],
            }
        )
    costs_today = OTHER_COST * ~right if matrix is None else matrix[y, decided]
    return {
        "thresholds": [round(float(one), 6) for one in thresholds],
        "n": len(y),
        "cost": round(float(costs_today.mean()), _DIGITS),
        "costs": matrix is not None,
        "classes": classes,
    }


def _count(
    scores: np.ndarray,
    positive: np.ndarray,
    thresholds: np.ndarray,
    wrong_below: np.ndarray,
    costs: tuple[np.ndarray, np.ndarray] | None = None,
) -> dict[str, list[float]]:
    """Returns the photos of one class and the others by score.

    Args:
        scores: from which threshold on a photo does not get the label any more, float, [photos].
        positive: which photos are of the class, bool, [photos].
        thresholds: ascending.
        wrong_below: which photos are wrong without the label, bool, [photos].
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

    counted = {
        "positive": by_bin(positive),
        "negative": by_bin(~positive),
        "below": by_bin(wrong_below),
    }
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
