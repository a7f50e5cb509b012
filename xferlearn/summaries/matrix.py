"""Draws a confusion matrix that can be read at 5 classes and at 100."""

from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw

from xferlearn.metrics import Evaluation
from xferlearn.summaries.drawing import CARD_WIDTH, draw_text, text_size

# More do not fit into a picture whose numbers can be read; those that are confused most are drawn.
MOST_CLASSES = 100

_INK, _PAPER, _LINE = (33, 33, 33), (255, 255, 255), (214, 214, 214)
_RIGHT, _WRONG = (21, 101, 192), (216, 67, 21)
_WIDEST_LABEL = 200
_SMALLEST_CELL = 28


def draw_confusion(evaluation: Evaluation, title: str, *, percent: bool) -> Image.Image:
    """Returns a picture of a confusion matrix.

    Rows are true classes, columns predicted ones; the diagonal is blue, mistakes are orange, the
    stronger the larger their share of the row.

    Args:
        evaluation: the matrix.
        title: what was evaluated, such as "test".
        percent: write each cell's share of its row in percent; otherwise photos.
    """
    shown = evaluation.most_confused(MOST_CLASSES)
    counts = evaluation.confusion[np.ix_(shown, shown)]
    totals = evaluation.confusion[shown].sum(axis=1)
    shares = counts / np.maximum(totals, 1)[:, None]
    labels = [evaluation.labels[i] for i in shown]
    rows = [f"{label} ({total})" for label, total in zip(labels, totals, strict=True)]
    size = 13 if len(shown) <= 20 else 12
    # Few classes fill TensorBoard's card pixel by pixel; many need the full size.
    room = CARD_WIDTH - _SMALLEST_CELL * len(shown) - 18
    most = min(_WIDEST_LABEL, room) if room > 120 else _WIDEST_LABEL
    left = min(most, max(text_size(row, size) for row in rows)) + 16
    cell = int(np.clip((CARD_WIDTH - left - 2) // len(shown), _SMALLEST_CELL, 56))
    widest = min(most, max(text_size(label, size) for label in labels))
    upright = widest <= cell - 6
    top = 46 + (size if upright else widest) + 14
    side = cell * len(shown)
    lines = _headings(evaluation, title, len(shown), percent)
    width = max(left + side + 2, CARD_WIDTH)
    image = Image.new("RGB", (width, top + side + 2), _PAPER)
    draw = ImageDraw.Draw(image)
    for number, line in enumerate(lines):
        draw_text(draw, (4, 10 + 18 * number), line, 13, width=width - 8)
    for index, (row, label) in enumerate(zip(rows, labels, strict=True)):
        middle = cell * (index + 0.5)
        place = (left - 8, top + middle)
        draw_text(draw, place, row, size, anchor="rm", width=left - 16)
        if upright:
            draw_text(draw, (left + middle, top - 8), label, size, anchor="ms")
        else:
            _draw_rising(image, (round(left + middle), top - 6), label, size, widest)
    for row, column in np.ndindex(*counts.shape):
        count, share = int(counts[row, column]), float(shares[row, column])
        x, y = left + cell * column, top + cell * row
        colour = _shade(_RIGHT if row == column else _WRONG, share)
        draw.rectangle((x, y, x + cell, y + cell), colour, _LINE)
        if count:
            text = f"{100 * share:.0f}" if percent else _short(count)
            text += "%" if percent and cell >= 40 else ""
            fill = _PAPER if share > 0.55 else _INK
            centre = (x + cell / 2, y + cell / 2)
            draw_text(draw, centre, text, size, anchor="mm", fill=fill)
    return image


def _headings(evaluation: Evaluation, title: str, shown: int, percent: bool) -> list[str]:
    value = "percent of the row" if percent else "photos"
    first = f"{title}: {evaluation.correct} of {evaluation.total} right; {value}"
    if shown < len(evaluation.labels):
        first += f"; the {shown} of {len(evaluation.labels)} classes that are confused most"
    return [first, "rows: true class, columns: predicted class"]


def _shade(colour: Sequence[int], share: float) -> tuple[int, int, int]:
    # One mistake of many is to be seen too, so the scale does not begin at white.
    strength = 0.0 if share == 0 else 0.12 + 0.88 * share
    mixed = [round(255 + (channel - 255) * strength) for channel in colour]
    return mixed[0], mixed[1], mixed[2]


def _short(count: int) -> str:
    return str(count) if count < 10_000 else f"{count / 1000:.0f}k"


def _draw_rising(
    image: Image.Image, place: tuple[int, int], text: str, size: int, widest: int
) -> None:
    """Draws a line that is read from bottom to top, its start at `place`."""
    width = min(widest, text_size(text, size)) + 2
    line = Image.new("RGB", (width, size + 8), _PAPER)
    draw_text(ImageDraw.Draw(line), (0, (size + 8) / 2), text, size, width=width)
    turned = line.transpose(Image.Transpose.ROTATE_90)
    image.paste(turned, (place[0] - turned.width // 2, place[1] - turned.height))
