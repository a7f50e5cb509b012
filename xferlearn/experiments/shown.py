"""What the results of experiments show alike in a notebook: accuracies with bars, and plots."""

import itertools
from collections.abc import Callable, Sequence
from pathlib import Path

from xferlearn.experiments.outcomes import Share
from xferlearn.system.html import Markup, faint, h, interval_bar, picture


def without_empty(rows: Sequence[Sequence[str]]) -> list[list[str]]:
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
        low, mean, high = (share.text(end) for end in (share.low, share.mean, share.high))
        return [h("b", mean), f" {low} to {high}",
                interval_bar(*ends)]  # fmt: skip

    return cell


def plot(path: Path, alt: str) -> Markup:
    """Returns the plot of an experiment; where its file is gone, a line that says so."""
    try:
        return h(
            "div", picture(path.read_bytes(), "png", alt, class_="xf-plot"), class_="xf-scroll"
        )
    except OSError:
        return faint(f"The plot is not at {path} any more.")
