"""Precision and recall of each class at every threshold."""

from collections.abc import Sequence

import numpy as np
from tensorboard.plugins.pr_curve.summary import raw_data_pb

from xferlearn.photos.manifest import TEST, VALIDATION
from xferlearn.summaries.events import EventWriter, RunWriters, plain
from xferlearn.summaries.record import RunRecord

MOST_CLASSES = 100
THRESHOLDS = 101


def write_pr_curves(writers: RunWriters, record: RunRecord) -> None:
    """Writes `pr_curves/<class>` of validation and of test."""
    for split in (VALIDATION, TEST):
        truth, scores = record.truth(split), record.probabilities[split]
        step = record.kept_training["steps_run"]
        write_curves(writers[split], record.manifest.labels, truth, scores, step)


def write_curves(
    events: EventWriter, labels: Sequence[str], truth: np.ndarray, scores: np.ndarray, step: int = 0
) -> None:
    """Writes `pr_curves/<class>` for the first `MOST_CLASSES`; nothing without photos.

    Args:
        events: where to.
        labels: class names, in output order.
        truth: true class index of each photo, [photos].
        scores: float32, [photos, classes], range [0, 1].
        step: training step whose weights were kept.
    """
    for index, label in enumerate(map(plain, labels[:MOST_CLASSES])):
        if len(truth):
            has = truth[:, index] if truth.ndim == 2 else truth == index
            curve = pr_curve(has, scores[:, index])
            summary = raw_data_pb(label, *curve, num_thresholds=THRESHOLDS, display_name=label)
            summary.value[0].tag = f"pr_curves/{label}"
            events.summary(summary, step)


def pr_curve(positive: np.ndarray, scores: np.ndarray, thresholds: int = THRESHOLDS) -> np.ndarray:
    """Returns the counts and rates of one class at evenly spaced thresholds from 0 to 1.

    Args:
        positive: bool, [photos]: which photos are of the class.
        scores: float, [photos], range [0, 1]: its probabilities.
        thresholds: how many.

    Returns:
        float64, [6, thresholds]: true positives, false positives, true negatives, false
        negatives, precision, recall. Precision is 0 where nothing is above the threshold, as
        TensorBoard's own summaries have it.
    """
    levels = np.linspace(0.0, 1.0, thresholds)
    # A photo is above all levels up to the last one that is no larger than its score.
    last = np.searchsorted(levels, scores, side="right")
    above = np.zeros((2, thresholds + 1))
    for row, chosen in enumerate((positive, ~positive)):
        np.add.at(above[row], last[chosen], 1)
    true_positive, false_positive = above[:, ::-1].cumsum(axis=1)[:, ::-1][:, 1:]
    false_negative = positive.sum() - true_positive
    true_negative = (~positive).sum() - false_positive
    with np.errstate(invalid="ignore"):
        precision = np.nan_to_num(true_positive / (true_positive + false_positive))
        recall = np.nan_to_num(true_positive / (true_positive + false_negative))
    return np.stack(
        [true_positive, false_positive, true_negative, false_negative, precision, recall]
    )
