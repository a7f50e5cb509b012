"""Plots of experiments: a mean with its interval for each candidate or number of photos."""

from collections.abc import Sequence
from pathlib import Path

from PIL import Image, ImageDraw

from xferlearn.errors import XferlearnError
from xferlearn.summaries.drawing import draw_text, png, text_size
from xferlearn.sweeps.outcomes import Share

_INK, _PAPER, _LINE, _BLUE = (33, 33, 33), (255, 255, 255), (214, 214, 214), (21, 101, 192)
_LEFT, _TOP, _STEP, _HEIGHT = 64, 40, 96, 300


def draw_shares(title: str, rows: Sequence[tuple[str, Share]], *, joined: bool) -> Image.Image:
    """Returns a plot of accuracies from left to right.

    Args:
        title: what is shown.
        rows: label and accuracy of each point.
        joined: whether a line runs through them.
    """
    widest = max((text_size(label, 12) for label, _ in rows), default=0)
    step = max(_STEP, widest + 16)
    width = _LEFT + step * max(len(rows), 1) + 16
    image = Image.new("RGB", (max(width, text_size(title, 14) + 16), _TOP + _HEIGHT + 40), _PAPER)
    draw = ImageDraw.Draw(image)
    draw_text(draw, (8, 16), title, 14)
    measured = [share for _, share in rows if share.photos]
    floor = min((share.low for share in measured), default=0.0)
    lowest = max(0.0, int(floor * 20) / 20)

    def place(value: float) -> float:
        return _TOP + _HEIGHT * (1 - (value - lowest) / max(1 - lowest, 1e-9))

    ticks = 5
    for number in range(ticks + 1):
        value = lowest + (1 - lowest) * number / ticks
        draw.line((_LEFT, place(value), image.width - 8, place(value)), _LINE)
        draw_text(draw, (_LEFT - 8, place(value)), f"{value:.0%}", 12, anchor="rm")
    points = []
    for number, (label, share) in enumerate(rows):
        x = _LEFT + step * (number + 0.5)
        draw_text(draw, (x, _TOP + _HEIGHT + 18), label, 12, anchor="mm")
        if not share.photos:
            continue
        points.append((x, place(share.mean)))
        draw.line((x, place(share.low), x, place(share.high)), _BLUE, 2)
        draw.ellipse((x - 5, points[-1][1] - 5, x + 5, points[-1][1] + 5), _BLUE)
        draw_text(draw, (x + 8, points[-1][1] + 6), f"{share.mean:.1%}", 12, anchor="lt")
    if joined and len(points) > 1:
        draw.line(points, _BLUE, 1)
    return image


def save(path: Path, content: bytes) -> None:
    """Writes a plot or a table.

    Raises:
        XferlearnError: when that can't be done.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    except OSError as error:
        raise XferlearnError(f"Can't write {path}: {error.strerror}.") from None


def save_plot(path: Path, image: Image.Image) -> None:
    """Writes a plot as PNG; raises as `save`."""
    save(path, png(image))
