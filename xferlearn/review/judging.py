"""Heads that learn from the labels as they are, and how much better they are than at the start."""

import dataclasses
import time
from collections.abc import Sequence
from typing import Any

import numpy as np

from xferlearn.errors import UserError
from xferlearn.metrics import accuracy_text, paired_interval, wilson_interval, worth_of
from xferlearn.training.cross_fitting import HeadStack
from xferlearn.training.material import LinearHeads


@dataclasses.dataclass(frozen=True, eq=False)
class Fit:
    """What heads say that have learned from certain labels, each of photos that it has not seen.

    Attributes:
        y: the labels that they learned from, int32, [photos]; -1 for none.
        probabilities: float32, [photos, classes], range [0, 1]; NaN for photos that all heads have
            learned from.
        best: class index of the largest probability, int, [photos]; -1 where there is none.
        present: the classes that have photos, int, which is the order of the heads' outputs.
        stack: the heads; None where there are none.
        seconds: that the fit took.
    """

    y: np.ndarray
    probabilities: np.ndarray
    best: np.ndarray
    present: np.ndarray
    stack: HeadStack | None
    seconds: float


def fit(heads: LinearHeads, y: np.ndarray, classes: int, learned: np.ndarray | None = None) -> Fit:
    """Returns what heads say that learn from labels.

    Args:
        heads: the heads.
        y: class index of each photo, int32, [photos]; -1 for none.
        classes: number of classes; some may have no photos.
        learned: which photos heads may learn from, bool, [photos]; None for all.

    Raises:
        UserError: fewer than two classes have photos.
    """
    started = time.perf_counter()
    present = np.unique(y[y >= 0 if learned is None else (y >= 0) & learned])
    if len(present) < 2:
        raise UserError("Expected photos of at least two classes to learn from. Give more labels.")
    place = np.full(classes, -1, np.int32)
    place[present] = np.arange(len(present))
    found = heads.fit(np.where(y >= 0, place[y], -1), len(present), learned)
    probabilities = np.zeros((len(y), classes), np.float32)
    probabilities[:, present] = found
    known = np.isfinite(found).all(axis=1)
    probabilities[~known] = np.nan
    best = np.full(len(y), -1)
    best[known] = present[found[known].argmax(axis=1)]
    seconds = time.perf_counter() - started
    return Fit(y.copy(), probabilities, best, present, heads.stack, seconds)


def unfitted(y: np.ndarray, classes: int) -> Fit:
    """Returns what is known where no heads could learn: nothing of any photo."""
    nothing = np.full((len(y), classes), np.nan, np.float32)
    return Fit(y.copy(), nothing, np.full(len(y), -1), np.arange(0), None, 0.0)


def accuracy_of(
    start: Fit, last: Fit, y: np.ndarray, folds: np.ndarray, groups: np.ndarray
) -> dict[str, Any] | None:
    """Returns the accuracy of the heads at the start and of the last, by the labels as they are.

    Both are judged by the same labels of the same photos, so an answer that only changes the
    measure is no progress.

    Args:
        start: the heads at the start.
        last: those that learned last.
        y: class index of each photo now, int32, [photos]; -1 for none.
        folds: the head that has not seen each photo, int, [photos]; -1 for none.
        groups: what each photo belongs to, int, [photos].

    Returns:
        As the page shows it; None where no photo can be judged, or there are no heads.
    """
    rows = np.flatnonzero((start.y >= 0) & (y >= 0) & (folds >= 0))
    if not len(rows) or not len(start.present):
        return None
    before, after = (one.best[rows] == y[rows] for one in (start, last))
    share = worth_of(groups[rows]) / len(rows)
    counts = [before & after, before & ~after, ~before & after, ~before & ~after]
    low, high = paired_interval(*(float(one.sum()) * share for one in counts))
    was, now = float(before.mean()), float(after.mean())
    if start is last:
        interval = wilson_interval(now * len(rows) * share, len(rows) * share)
        text = accuracy_text(int(after.sum()), len(rows), interval)
    else:
        change, least, most = (f"{100 * value:+.1f}" for value in (now - was, low, high))
        text = (
            f"{now:.1%}, {change} points (95%: {least} to {most}) against the heads at the start,"
            f" N={len(rows)}"
        )
    return {
        "n": len(rows),
        "refitted": start is not last,
        "before": was,
        "now": now,
        "difference": now - was,
        "low": low,
        "high": high,
        "text": text,
    }


def class_counts(last: Fit, y: np.ndarray, labels: Sequence[str]) -> list[dict[str, Any]]:
    """Returns, for each class, how many photos have its label now, and how many the heads know."""
    photos = np.bincount(y[y >= 0], minlength=len(labels))
    right = np.bincount(y[(y >= 0) & (last.best == y)], minlength=len(labels))
    return [
        {"label": label, "photos": int(photos[number]), "right": int(right[number])}
        for number, label in enumerate(labels)
    ]
