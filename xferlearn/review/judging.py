"""Heads that learn from the labels as they are, and how much better they are than at the start."""

import dataclasses
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from xferlearn.decisions import choose_label_thresholds
from xferlearn.errors import UserError
from xferlearn.metrics import (
    Evaluation,
    MultiLabelEvaluation,
    accuracy_text,
    mean_average_precision,
    paired_interval,
    precision_change,
    wilson_interval,
    worth_of,
)
from xferlearn.photos.several import labelled_rows
from xferlearn.training.cross_fitting import HeadStack
from xferlearn.training.material import LinearHeads


@dataclasses.dataclass(frozen=True, eq=False)
class Fit:
    """What heads say that have learned from certain labels, each of photos that it has not seen.

    Attributes:
        y: the labels that they learned from, as `Material.y`.
        probabilities: float32, [photos, classes], range [0, 1]; NaN for photos that all heads have
            learned from.
        best: class index of the largest probability, int, [photos]; -1 where there is none. Where
            photos may have several labels, whether each is likely to have each class, int8,
            [photos, classes]: 1, 0, or -1 where nothing is known.
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


def fit(
    heads: LinearHeads,
    y: np.ndarray,
    classes: int,
    learned: np.ndarray | None = None,
    check: Callable[[], None] | None = None,
) -> Fit:
    """Returns what heads say that learn from labels.

    Args:
        heads: the heads.
        y: as `Material.y`.
        classes: number of classes; some may have no photos.
        learned: which photos heads may learn from, bool, [photos]; None for all.
        check: called now and then; what it raises ends the fit. None for nothing.

    Raises:
        UserError: fewer than two classes have photos.
    """
    if y.ndim == 2:
        return _fit_sets(heads, y, learned, check)
    started = time.perf_counter()
    present = np.unique(y[y >= 0 if learned is None else (y >= 0) & learned])
    if len(present) < 2:
        raise UserError("Expected photos of at least two classes to learn from. Give more labels.")
    place = np.full(classes, -1, np.int32)
    place[present] = np.arange(len(present))
    found = heads.fit(np.where(y >= 0, place[y], -1), len(present), learned, check)
    probabilities = np.zeros((len(y), classes), np.float32)
    probabilities[:, present] = found
    known = np.isfinite(found).all(axis=1)
    probabilities[~known] = np.nan
    best = np.full(len(y), -1)
    best[known] = present[found[known].argmax(axis=1)]
    seconds = time.perf_counter() - started
    return Fit(y.copy(), probabilities, best, present, heads.stack, seconds)


def _fit_sets(
    heads: LinearHeads,
    y: np.ndarray,
    learned: np.ndarray | None,
    check: Callable[[], None] | None,
) -> Fit:
    started = time.perf_counter()
    rows = labelled_rows(y)
    present = np.flatnonzero((y[rows] > 0.5).any(axis=0))
    if not len(present):
        raise UserError("Expected at least one photo with a label to learn from. Give more labels.")
    found = heads.fit(y[:, present], len(present), learned, check)
    probabilities = np.zeros(y.shape, np.float32)
    probabilities[:, present] = found
    known = np.isfinite(found).all(axis=1)
    probabilities[~known] = np.nan
    best = np.full(y.shape, -1, np.int8)
    best[known] = 0
    told = known & rows
    if told.any():
        names = tuple(map(str, present))
        chosen = choose_label_thresholds(names, found[told], y[told][:, present] > 0.5)
        best[np.ix_(known, present)] = chosen.decide(found[known])
    seconds = time.perf_counter() - started
    return Fit(y.copy(), probabilities, best, present, heads.stack, seconds)


def unfitted(y: np.ndarray, classes: int) -> Fit:
    """Returns what is known where no heads could learn: nothing of any photo."""
    nothing = np.full((len(y), classes), np.nan, np.float32)
    best = np.full(y.shape, -1)
    return Fit(y.copy(), nothing, best, np.arange(0), None, 0.0)


def accuracy_of(
    start: Fit, last: Fit, y: np.ndarray, folds: np.ndarray, groups: np.ndarray
) -> dict[str, Any] | None:
    """Returns how good the heads at the start and the last are, by the labels as they are.

    It is their accuracy; where photos may have several labels, their mean average precision.

    Both are judged by the same labels of the same photos, so an answer that only changes the
    measure is no progress.

    Args:
        start: the heads at the start.
        last: those that learned last.
        y: the labels now, as `Material.y`.
        folds: the head that has not seen each photo, int, [photos]; -1 for none.
        groups: what each photo belongs to, int, [photos].

    Returns:
        As the page shows it; None where no photo can be judged, or there are no heads.
    """
    rows = np.flatnonzero(labelled_rows(start.y) & labelled_rows(y) & (folds >= 0))
    if not len(rows) or not len(start.present):
        return None
    if y.ndim == 2:
        return _precision_of(start, last, y, rows, groups)
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
        "measure": Evaluation.measure,
        "n": len(rows),
        "refitted": start is not last,
        "before": was,
        "now": now,
        "difference": now - was,
        "low": low,
        "high": high,
        "text": text,
    }


def _precision_of(
    start: Fit, last: Fit, y: np.ndarray, rows: np.ndarray, groups: np.ndarray
) -> dict[str, Any] | None:
    said = (_widened(one.probabilities, y.shape[1])[rows] for one in (start, last))
    before, after = (mean_average_precision(y[rows] == 1, one, groups[rows]) for one in said)
    if before.mean is None or after.mean is None:
        return None
    change = precision_change(before, after)
    low, high = change.interval
    if start is last:
        ends = " to ".join(f"{end:.3f}" for end in after.interval)
        text = f"{after.mean:.3f} (N={len(rows)}, 95% interval {ends})"
    else:
        text = f"{after.mean:.3f}, {change.text()} against the heads at the start, N={len(rows)}"
    return {
        "measure": MultiLabelEvaluation.measure,
        "n": len(rows),
        "refitted": start is not last,
        "before": before.mean,
        "now": after.mean,
        "difference": change.mean,
        "low": low,
        "high": high,
        "text": text,
    }


def _widened(probabilities: np.ndarray, classes: int) -> np.ndarray:
    """Returns probabilities with those of classes that were added later, of which heads know none.

    Photos of which nothing is known come last.
    """
    more = np.zeros((len(probabilities), classes - probabilities.shape[1]), np.float32)
    return np.nan_to_num(np.concatenate([probabilities, more], axis=1))


def class_counts(last: Fit, y: np.ndarray, labels: Sequence[str]) -> list[dict[str, Any]]:
    """Returns, for each class, how many photos have its label now, and how many the heads know."""
    if y.ndim == 2:
        right = (y == 1) & (_widened(last.best, y.shape[1]) == 1)
        counts = zip(labels, (y == 1).sum(axis=0).tolist(), right.sum(axis=0).tolist(), strict=True)
        return [{"label": label, "photos": number, "right": of} for label, number, of in counts]
    photos = np.bincount(y[y >= 0], minlength=len(labels))
    right = np.bincount(y[(y >= 0) & (last.best == y)], minlength=len(labels))
    return [
        {"label": label, "photos": int(photos[number]), "right": int(right[number])}
        for number, label in enumerate(labels)
    ]
