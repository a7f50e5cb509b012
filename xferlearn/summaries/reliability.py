"""Draws how far a model's probabilities and what is right agree."""

import math

from PIL import Image, ImageDraw

from xferlearn.decisions import Reliability
from xferlearn.summaries.drawing import CARD_WIDTH, draw_text
from xferlearn.system.text import count

_PAPER, _LINE, _FAINT = (255, 255, 255), (224, 224, 224), (97, 97, 97)
_POINT, _INTERVAL = (21, 101, 192), (144, 191, 234)
_LEFT, _TOP, _RIGHT, _BOTTOM = 44, 66, 14, 40
_INSET = 7  # px between the frame and what is drawn at its ends
_FINE = 4  # shapes are drawn larger by this, then reduced, which smooths them


def draw_reliability(found: Reliability, title: str) -> Image.Image:
    """Returns a picture of a reliability diagram: one point per bin, with its 95% interval.

    On the diagonal as many photos are right as their probability says; below it the model is too
    sure.

    Args:
        found: the bins, at least one.
        title: what was measured, such as "test".
    """
    side = CARD_WIDTH - _LEFT - _RIGHT
    ends = [end for one in found.bins for end in (one.confidence, *one.interval)]
    # Where all photos are sure, the lower part would be empty.
    start = min(math.floor(10 * min(ends)) / 10, 0.9)

    def place(share: float) -> float:
        return _INSET + (side - 2 * _INSET) * (share - start) / (1 - start)

    def scaled(*values: float) -> list[float]:
        return [_FINE * value for value in values]

    plot = Image.new("RGB", (side * _FINE, side * _FINE), _PAPER)
    draw = ImageDraw.Draw(plot)
    step = 0.1 if start > 0.45 else 0.2
    marks = [share / 100 for share in range(0, 101, round(100 * step)) if share / 100 >= start]
    for mark in marks:
        draw.line(scaled(place(mark), 0, place(mark), side), _LINE, _FINE)
        draw.line(scaled(0, side - place(mark), side, side - place(mark)), _LINE, _FINE)
    draw.line(scaled(0, side, side, 0), _FAINT, _FINE)
    for one in found.bins:
        low, high = (side - place(end) for end in one.interval)
        draw.line(scaled(place(one.confidence), low, place(one.confidence), high), _INTERVAL, 12)
    for one in found.bins:
        x, y = place(one.confidence), side - place(one.accuracy)
        draw.ellipse(scaled(x - 4, y - 4, x + 4, y + 4), _POINT)
    image = Image.new("RGB", (CARD_WIDTH, _TOP + side + _BOTTOM), _PAPER)
    image.paste(plot.resize((side, side), Image.Resampling.LANCZOS), (_LEFT, _TOP))
    draw = ImageDraw.Draw(image)
    draw.rectangle((_LEFT, _TOP, _LEFT + side, _TOP + side), outline=_FAINT)
    for mark in marks:
        text, along = f"{mark:.0%}", place(mark)
        draw_text(draw, (_LEFT + along, _TOP + side + 5), text, 12, anchor="mt")
        draw_text(draw, (_LEFT - 5, _TOP + side - along), text, 12, anchor="rm")
    lines = [
        f"{title}: ECE {found.ece:.1%}, N={found.total:,}",
        f"by chance alone {found.by_chance:.1%}; {count(len(found.bins), 'bin')}, 95% intervals",
    ]
    for number, line in enumerate(lines):
        draw_text(draw, (4, 10 + 18 * number), line, 13, width=CARD_WIDTH - 8)
    draw_text(draw, (4, _TOP - 13), "share that is right", 12, fill=_FAINT)
    across = (_LEFT + side / 2, _TOP + side + _BOTTOM - 10)
    draw_text(draw, across, "probability of the first label", 12, anchor="mm", fill=_FAINT)
    return image
