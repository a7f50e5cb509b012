"""What the results of experiments show alike, in a notebook and in tab Transfer."""

import itertools
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

from xferlearn.dashboard.experiments import Cell, Estimate, measured
from xferlearn.experiments.outcomes import Share
from xferlearn.experiments.plotting import dark_variant
from xferlearn.system.html import Markup, faint, h, interval_bar, picture

CellT = TypeVar("CellT")


def without_empty(rows: Sequence[Sequence[CellT]]) -> list[list[CellT]]:
    """Returns the rows of a table, the head first, without columns that only the head fills."""
    filled = [any(cells) for cells in zip(*rows[1:], strict=True)]
    return [list(itertools.compress(row, filled)) for row in rows]


def share_cells(shares: Sequence[Share]) -> Callable[[Share], list[Markup | str]]:
    """Returns a function from an accuracy to a cell with its interval as a bar.

    Args:
        shares: all that are shown below each other: their bars have one axis.
    """
    measured = [share for share in shares if share.photos]
    low = min((share.low for share in measured), default=0.0)
    width = max((share.high for share in measured), default=1.0) - low or 1.0

    def cell(share: Share) -> list[Markup | str]:
        if not share.photos:
            return [str(share)]
        ends = ((end - low) / width for end in (share.low, share.mean, share.high))
        between = f" {share.text(share.low)} to {share.text(share.high)}"
        return [h("b", share.text(share.mean)), between, interval_bar(*ends)]

    return cell


def plot(path: Path, alt: str) -> Markup:
    """Returns the plot of an experiment, for light and dark pages; without its file, a line."""
    try:
        light, dark = path.read_bytes(), dark_variant(path).read_bytes()
    except OSError:
        return faint(f"The plot is not at {path} any more.")
    shown = picture(light, "png", alt, dark=dark, class_="xf-plot")
    return h("div", shown, class_="xf-scroll")


def headline(share: Share, whose: str = "") -> dict[str, Any] | None:
    """Returns an accuracy as the top of a page of tab Transfer shows it.

    Args:
        share: the accuracy.
        whose: what it is of, to be said behind its name.
    """
    name = f"{share.name[:1].upper()}{share.name[1:]}{whose}"
    return measured(name, share.mean, share.photos, (share.low, share.high))


def share_estimate(share: Share, otherwise: str = "") -> Cell:
    """Returns an accuracy as a cell with its interval; a text where it was not measured."""
    if not share.photos:
        return otherwise or str(share)
    return Estimate(str(share), share.low, share.mean, share.high)


def points_estimate(text: str, difference: tuple[float, float, float]) -> Estimate:
    """Returns a difference of accuracies as a cell, in points.

    Args:
        text: it in words.
        difference: its mean, lower and upper end, -1 to 1.
    """
    mean, low, high = (100 * value for value in difference)
    return Estimate(text, low, mean, high)
