"""Precision and recall at every threshold: of the worst classes, and the mean of all."""

from collections.abc import Sequence

import numpy as np
from tensorboard.plugins.pr_curve.summary import raw_data_pb

from xferlearn.metrics import AnyEvaluation
from xferlearn.photos.photo import TEST, VALIDATION
from xferlearn.summaries.events import EventWriter, RunWriters, plain
from xferlearn.summaries.record import RunRecord

# As many charts as a person looks at; the table of classes has the others.
MOST_CLASSES = 12
THRESHOLDS = 101
MEAN = "macro_average/all_classes"


def write_pr_curves(writers: RunWriters, record: RunRecord) -> None:
    """Writes the curves of validation and of test."""
    for split in (VALIDATION, TEST):
        truth, scores = record.truth(split), record.probabilities[split]
        step = record.kept_training["steps_run"]
        write_curves(writers[split], record.evaluations[split], truth, scores, step)


def write_curves(
    events: EventWriter,
    evaluation: AnyEvaluation,
    truth: np.ndarray,
    scores: np.ndarray,
    step: int = 0,
) -> None:
    """Writes `pr_curves/<class>` of the `MOST_CLASSES` with the most mistakes, and their mean.

    The mean is of the classes that have photos; nothing is written without photos.

    Args:
        events: where to.
        evaluation: labels and mistakes.
        truth: true class index of each photo, [photos], or its classes, bool, [photos, classes].
        scores: float32, [photos, classes], range [0, 1].
        step: training step whose weights were kept.
    """
    several = truth.ndim == 2
    if not (truth.any() if several else len(truth)):
        return
    curves = [
        pr_curve(truth[:, index] if several else truth == index, scores[:, index])
        for index in range(len(evaluation.labels))
    ]
    _write(events, MEAN, "all classes, mean", mean_curve(curves), step)
    for index in evaluation.most_confused(MOST_CLASSES):
        label = plain(evaluation.labels[index])
        _write(events, f"pr_curves/{label}", label, curves[index], step)


def _write(events: EventWriter, tag: str, title: str, curve: np.ndarray, step: int) -> None:
    summary = raw_data_pb(tag, *curve, num_thresholds=THRESHOLDS, display_name=title)
    summary.value[0].tag = tag
    events.summary(summary, step)


def mean_curve(curves: Sequence[np.ndarray]) -> np.ndarray:
    """Returns the mean of curves, as `pr_curve` has them, over the classes that have photos.

    The mean of precisions is over those that are predicted at all at a threshold: others have none.
    """
    stacked = np.stack([curve for curve in curves if curve[0, 0]])  # what is above 0: all photos
    mean = stacked.mean(axis=0)
    predicted = stacked[:, 0] + stacked[:, 1] > 0
    mean[4] = stacked[:, 4].sum(axis=0) / np.maximum(predicted.sum(axis=0), 1)
    return mean


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
    above = np.stack(
        [np.bincount(last[chosen], minlength=thresholds + 1) for chosen in (positive, ~positive)]
    )
    true_positive, false_positive = above[:, ::-1].cumsum(axis=1)[:, ::-1][:, 1:]
    false_negative = positive.sum() - true_positive
    true_negative = (~positive).sum() - false_positive
    with np.errstate(invalid="ignore"):
        precision = np.nan_to_num(true_positive / (true_positive + false_positive))
        recall = np.nan_to_num(true_positive / (true_positive + false_negative))
    return np.stack(
        [true_positive, false_positive, true_negative, false_negative, precision, recall]
    )
