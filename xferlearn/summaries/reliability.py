"""Draws how far a model's probabilities and what is right agree."""

import math

from PIL import Image

from xferlearn.decisions import Reliability
from xferlearn.summaries.charts import CARD_WIDTH, LIGHT, Theme
from xferlearn.summaries.curves import Axis, Curve, draw_curves, share_ticks
from xferlearn.system.text import count

_HEIGHT = 288  # px, as wide as high inside


def draw_reliability(found: Reliability, title: str, theme: Theme = LIGHT) -> Image.Image:
    """Returns a picture of a reliability diagram: one point per bin, with its 95% interval.

    On the diagonal as many photos are right as their probability says; below it the model is too
    sure.

    Args:
        found: the bins, at least one.
        title: what was measured, such as "test".
        theme: its colours.
    """
    points = Curve(
        f"share that is right, 95% intervals, {count(len(found.bins), 'bin')}",
        [one.confidence for one in found.bins],
        [one.accuracy for one in found.bins],
        [one.interval for one in found.bins],
        style="points",
    )
    # Where all photos are sure, the lower part would be empty.
    lowest = min(min(points.x), *(low for low, _ in points.intervals))
    ticks = share_ticks(min(math.floor(10 * lowest) / 10, 0.9), most=6)
    diagonal = Curve("as the probability says", [ticks[0], 1], [ticks[0], 1], style="dashes")
    return draw_curves(
        [
            f"{title}: ECE {found.ece:.1%}, N={found.total:,}",
            f"by chance alone {found.by_chance:.1%}",
        ],
        [points, diagonal],
        Axis("probability of the first label", ticks, [f"{tick:.0%}" for tick in ticks]),
        size=(CARD_WIDTH, _HEIGHT),
        theme=theme,
    )
