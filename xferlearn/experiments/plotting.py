"""Plots of experiments: one mean with its interval per candidate or number of photos."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path

from PIL import Image, ImageDraw

from xferlearn.errors import XferlearnError
from xferlearn.experiments.outcomes import Share
from xferlearn.summaries.drawing import draw_text, png, text_size
from xferlearn.system.files import remove_stale, write_atomically
from xferlearn.system.text import one_line

_INK, _PAPER, _LINE, _BLUE = (33, 33, 33), (255, 255, 255), (214, 214, 214), (21, 101, 192)
_ORANGE = (230, 110, 0)
_LEFT, _TOP, _STEP, _HEIGHT = 64, 40, 96, 300


@dataclasses.dataclass(frozen=True)
class Fit:
    """A curve fitted to the last points of a plot, and its value beyond them.

    Attributes:
        values: the curve at those points, 0 to 1.
        label: label of the place beyond them.
        next: the curve there, 0 to 1.
        low: lower end of its 95% interval.
        high: upper end.
    """

    values: tuple[float, ...]
    label: str
    next: float
    low: float
    high: float


def draw_shares(
    title: str, rows: Sequence[tuple[str, Share]], *, joined: bool, fit: Fit | None = None
) -> Image.Image:
    """Returns a plot of accuracies from left to right.

    Args:
        title: heading of the plot.
        rows: label and accuracy of each point; one that was not measured has its label alone.
        joined: whether a line connects them.
        fit: curve to draw in orange.
    """
    labels = [*(label for label, _ in rows), *([fit.label] if fit else [])]
    widest = max((text_size(label, 12) for label in labels), default=0)
    step = max(_STEP, widest + 16)
    width = _LEFT + step * max(len(labels), 1) + 16
    image = Image.new("RGB", (max(width, text_size(title, 14) + 16), _TOP + _HEIGHT + 40), _PAPER)
    draw = ImageDraw.Draw(image)
    draw_text(draw, (8, 16), title, 14)
    floors = [share.low for _, share in rows if share.photos] + ([fit.low] if fit else [])
    floor = min(floors, default=0.0)
    lowest = max(0.0, int(floor * 20) / 20)

    def place(value: float) -> float:
        return _TOP + _HEIGHT * (1 - (value - lowest) / max(1 - lowest, 1e-9))

    ticks = 5
    for number in range(ticks + 1):
        value = lowest + (1 - lowest) * number / ticks
        draw.line((_LEFT, place(value), image.width - 8, place(value)), _LINE)
        draw_text(draw, (_LEFT - 8, place(value)), f"{value:.0%}", 12, anchor="rm")

    def place_of(number: int) -> float:
        return _LEFT + step * (number + 0.5)

    def mark(number: int, mean: float, low: float, high: float, colour: tuple) -> None:
        x, y = place_of(number), place(mean)
        draw.line((x, place(low), x, place(high)), colour, 2)
        draw.ellipse((x - 5, y - 5, x + 5, y + 5), colour)
        draw_text(draw, (x + 8, y + 6), f"{mean:.1%}", 12, anchor="lt")

    for number, label in enumerate(labels):
        draw_text(draw, (place_of(number), _TOP + _HEIGHT + 18), label, 12, anchor="mm")
    shown = [(number, share) for number, (_, share) in enumerate(rows) if share.photos]
    if joined and len(shown) > 1:
        draw.line([(place_of(number), place(share.mean)) for number, share in shown], _BLUE, 1)
    if fit:
        first = len(rows) - len(fit.values)
        values = enumerate((*fit.values, fit.next), start=first)
        draw.line([(place_of(number), place(value)) for number, value in values], _ORANGE, 2)
        mark(len(rows), fit.next, fit.low, fit.high, _ORANGE)
    for number, share in shown:
        mark(number, share.mean, share.low, share.high, _BLUE)
    return image


def save(path: Path, content: bytes) -> None:
    """Writes a plot or a table, and makes its folder where there is none.

    Raises:
        XferlearnError: when it can't be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, content)
        remove_stale(path.parent, path.name)
    except OSError as error:
        raise XferlearnError(f"Can't write {path}: {one_line(error)}.") from None


def save_plot(path: Path, image: Image.Image) -> None:
    """Writes a plot as PNG; raises as `save`."""
    save(path, png(image))
