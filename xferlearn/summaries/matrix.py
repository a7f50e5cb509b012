"""Draws tables of numbers by class, such as a confusion matrix, that can be read."""

from collections.abc import Sequence

import numpy as np
from PIL import Image

from xferlearn.metrics import Evaluation, MultiLabelEvaluation
from xferlearn.summaries.charts import (
    CARD_WIDTH,
    LIGHT,
    TEXT_SIZE,
    Chart,
    Theme,
    ink_on,
    mixed,
    unit,
)
from xferlearn.summaries.fonts import cut, text_width

# Of more the numbers could not be read; those that are confused most are drawn.
MOST_CLASSES = 30

_WIDEST_LABEL = 200  # px
_SMALLEST_CELL, _LARGEST_CELL = 28, 56  # px
_LINE_HEIGHT = 18  # px
_GAP = 8  # px


def draw_confusion(
    evaluation: Evaluation, title: str, *, percent: bool, theme: Theme = LIGHT
) -> Image.Image:
    """Returns a picture of a confusion matrix.

    Rows are true classes, columns predicted ones; the diagonal is blue, mistakes are orange, the
    stronger the larger their share of the row.

    Args:
        evaluation: the matrix.
        title: what was evaluated, such as "test".
        percent: write each cell's share of its row in percent; otherwise photos.
        theme: its colours.
    """
    shown = evaluation.most_confused(MOST_CLASSES)
    counts = evaluation.confusion[np.ix_(shown, shown)]
    totals = evaluation.confusion[shown].sum(axis=1)
    shares = counts / np.maximum(totals, 1)[:, None]
    labels = [evaluation.labels[i] for i in shown]
    value = "percent of the row" if percent else "photos"
    lines = [f"{title}: {evaluation.correct:,} of {evaluation.total:,} right; {value}"]
    if len(shown) < len(evaluation.labels):
        lines.append(f"the worst {len(shown)} of {len(evaluation.labels)} classes")
    return draw_matrix(
        counts=100 * shares if percent else counts,
        strengths=shares,
        labels=labels,
        notes=[f" ({total:,})" for total in totals],
        lines=[*lines, "rows: true class, columns: predicted class"],
        theme=theme,
    )


def draw_together(
    evaluation: MultiLabelEvaluation, title: str, *, percent: bool, theme: Theme = LIGHT
) -> Image.Image:
    """Returns a picture of which labels photos of each class get.

    Rows are true classes, columns labels that the photos get; a photo counts in several cells. The
    diagonal is blue: photos that get the label that they have.

    Args:
        evaluation: the counts.
        title: what was evaluated, such as "test".
        percent: write each cell's share of the row's photos in percent; otherwise photos.
        theme: its colours.
    """
    shown = evaluation.most_confused(MOST_CLASSES)
    counts = evaluation.together[np.ix_(shown, shown)]
    totals = evaluation.ranking.positives[shown]
    shares = counts / np.maximum(totals, 1)[:, None]
    value = "percent of the row's photos" if percent else "photos"
    lines = [f"{title}: {evaluation.summary()}", value]
    if len(shown) < len(evaluation.labels):
        lines.append(f"the worst {len(shown)} of {len(evaluation.labels)} classes")
    return draw_matrix(
        counts=100 * shares if percent else counts,
        strengths=shares,
        labels=[evaluation.labels[i] for i in shown],
        notes=[f" ({total:,})" for total in totals],
        lines=[*lines, "rows: photos that have the class, columns: label that they get"],
        theme=theme,
    )


def draw_matrix(
    *,
    counts: np.ndarray,
    strengths: np.ndarray,
    labels: Sequence[str],
    notes: Sequence[str],
    lines: Sequence[str],
    theme: Theme = LIGHT,
) -> Image.Image:
    """Returns a picture of a table of numbers with a row and a column per class.

    Args:
        counts: the numbers; 0 is left empty, [classes, classes].
        strengths: how strong the colour of each cell is, 0 to 1, [classes, classes]. The diagonal
            is blue, all else is orange.
        labels: names of rows and columns.
        notes: what stands behind the name of each row.
        lines: heading.
        theme: its colours.
    """
    size = len(labels)
    note = max(text_width(one, TEXT_SIZE) for one in notes)
    # Few classes fill TensorBoard's card; many need the full size.
    room = CARD_WIDTH - 2 - _SMALLEST_CELL * size - note - 2 * _GAP
    most = min(_WIDEST_LABEL, room) if room > 100 else _WIDEST_LABEL
    widest = min(most, max(text_width(label, TEXT_SIZE) for label in labels))
    left = widest + note + 2 * _GAP
    cell = int(np.clip((CARD_WIDTH - left - 2) // size, _SMALLEST_CELL, _LARGEST_CELL))
    lying = widest <= cell - 6
    top = _LINE_HEIGHT * len(lines) + _GAP + (TEXT_SIZE if lying else widest) + 2 * _GAP
    side = cell * size
    chart = Chart(max(left + side + 2, CARD_WIDTH), top + side + 2, theme)
    for number, line in enumerate(lines):
        place = 12 + _LINE_HEIGHT * number
        chart.text(4, place, line, width=chart.width - 8)
    for index, (label, note_of_row) in enumerate(zip(labels, notes, strict=True)):
        middle, shown = cell * (index + 0.5), cut(label, TEXT_SIZE, widest)
        chart.text(left - _GAP, top + middle, shown + note_of_row, across="right")
        chart.text(
            *(left + middle, top - _GAP, shown),
            across="center",
            along="bottom",
            rotation=0 if lying else 90,
        )
    colours = _colours(np.asarray(strengths, float), theme)
    axes = chart.axes(left, top, side, side)
    axes.imshow(colours / 255, extent=(0, size, size, 0), interpolation="nearest", aspect="auto")
    axes.hlines(range(size + 1), 0, size, colors=unit(theme.line), linewidth=0.7, clip_on=False)
    axes.vlines(range(size + 1), 0, size, colors=unit(theme.line), linewidth=0.7, clip_on=False)
    for row, column in np.argwhere(counts):
        chart.text(
            left + cell * (column + 0.5),
            top + cell * (row + 0.5),
            _short(counts[row, column]),
            across="center",
            colour=ink_on(colours[row, column]),
        )
    return chart.image()


def _colours(strengths: np.ndarray, theme: Theme) -> np.ndarray:
    # One mistake of many is to be seen too, so the scale does not begin at the paper.
    shares = np.where(strengths > 0, 0.12 + 0.88 * strengths, 0)
    diagonal = np.eye(len(strengths), dtype=bool)[..., None]
    right, wrong = (mixed(one, theme.paper, shares) for one in (theme.first, theme.second))
    return np.where(diagonal, right, wrong)


def _short(number: float) -> str:
    return f"{number:.0f}" if number < 10_000 else f"{number / 1000:.0f}k"
