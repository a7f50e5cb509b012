"""Plots of experiments, and how their files are written."""

import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path

from PIL import Image

from xferlearn.errors import XferlearnError
from xferlearn.experiments.outcomes import Share
from xferlearn.summaries.charts import DARK, LIGHT, Theme
from xferlearn.summaries.curves import Axis, Curve, draw_curves, draw_ranking
from xferlearn.summaries.drawing import png
from xferlearn.system.files import remove_stale, write_atomically
from xferlearn.system.text import one_line

_SIZE = (760, 300)  # px
_NEAREST_LABELS = 1.16  # a factor between numbers of photos whose labels do not touch


@dataclasses.dataclass(frozen=True)
class Fit:
    """A curve fitted to the last points of a plot, and its value beyond them.

    Attributes:
        values: the curve at those points, 0 to 1.
        x: the place beyond them.
        next: the curve there, 0 to 1.
        low: lower end of its 95% interval.
        high: upper end.
    """

    values: tuple[float, ...]
    x: int
    next: float
    low: float
    high: float


def save_ranking(path: Path, title: str, rows: Sequence[tuple[str, Share]]) -> None:
    """Writes a plot of accuracies below each other, light and dark; raises as `save`.

    Args:
        path: file of the light one.
        title: heading of the plot.
        rows: name and accuracy of each.
    """
    measured = [
        (name, (share.mean, share.low, share.high) if share.photos else None)
        for name, share in rows
    ]
    heading = f"{title}, 95% intervals; the square is the best"
    _save_plot(path, lambda theme: draw_ranking(heading, measured, theme=theme))


def save_curve(
    path: Path, title: str, rows: Sequence[tuple[int, Share]], fit: Fit | None = None
) -> None:
    """Writes a plot of accuracies by number of photos, light and dark; raises as `save`.

    Args:
        path: file of the light one.
        title: heading of the plot.
        rows: photos per class, ascending, and accuracy.
        fit: curve to draw beside them.
    """
    points = [(photos, share) for photos, share in rows if share.photos]
    curves = [
        Curve(
            "measured, 95% intervals",
            [photos for photos, _ in points],
            [share.mean for _, share in points],
            [(share.low, share.high) for _, share in points],
        )
    ]
    ticks = [photos for photos, _ in points]
    if fit:
        fitted = [photos for photos, _ in rows][-len(fit.values) :]
        nothing = [(float("nan"), float("nan"))] * len(fitted)
        curves.append(
            Curve(
                f"fitted: {fit.next:.1%} at {fit.x:,} per class, 95% interval of the gain",
                [*fitted, fit.x],
                [*fit.values, fit.next],
                [*nothing, (fit.low, fit.high)],
            )
        )
        ticks.append(fit.x)
    shown = _apart(ticks)
    axis = Axis("photos per class", shown, [f"{tick:,}" for tick in shown], log=True)
    _save_plot(path, lambda theme: draw_curves([title], curves, axis, size=_SIZE, theme=theme))


def dark_variant(path: Path) -> Path:
    """Returns the file of a plot for dark pages, by that for light ones."""
    return path.with_name(f"{path.stem}_dark{path.suffix}")


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


def _save_plot(path: Path, draw: Callable[[Theme], Image.Image]) -> None:
    save(path, png(draw(LIGHT)))
    save(dark_variant(path), png(draw(DARK)))


def _apart(numbers: Sequence[int]) -> list[int]:
    """Returns ascending numbers without those too near the next one on a logarithmic axis."""
    kept: list[int] = []
    for number in reversed(numbers):
        if not kept or kept[-1] > number * _NEAREST_LABELS:
            kept.append(number)
    return kept[::-1]
