"""Charts that matplotlib draws: on light and on dark paper, with names in any script."""

import dataclasses
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from xferlearn.summaries.fonts import chart_font, cut

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# TensorBoard shows a picture at this width, in px, until it is clicked on.
CARD_WIDTH = 350
TEXT_SIZE = 12  # px


@dataclasses.dataclass(frozen=True)
class Theme:
    """Colours of a chart, each as red, green and blue, 0 to 255.

    Attributes:
        paper: the ground. A chart has its own, so that it can be read on any page.
        ink: text.
        faint: text that is less important, and frames.
        line: grids.
        first: the first curve, and what is right.
        second: the second curve, and mistakes.
    """

    paper: tuple[int, int, int]
    ink: tuple[int, int, int]
    faint: tuple[int, int, int]
    line: tuple[int, int, int]
    first: tuple[int, int, int]
    second: tuple[int, int, int]


LIGHT = Theme(
    paper=(255, 255, 255), ink=(33, 33, 33), faint=(95, 99, 104), line=(222, 224, 227),
    first=(21, 101, 192), second=(200, 80, 0),
)  # fmt: skip
DARK = Theme(
    paper=(31, 31, 31), ink=(241, 241, 241), faint=(180, 180, 180), line=(74, 74, 74),
    first=(110, 168, 254), second=(255, 161, 90),
)  # fmt: skip


class Chart:
    """A picture of a size in px, whose parts are placed from its upper left corner.

    Nothing of matplotlib's global state is used or changed.
    """

    def __init__(self, width: float, height: float, theme: Theme) -> None:
        """Makes an empty chart.

        Args:
            width: px on screen. The picture has twice as many, for fine screens, until it is
                larger than one anyway.
            height: px on screen.
            theme: its colours.
        """
        from matplotlib.figure import Figure

        fineness = min(2.0, max(1.0, 4 * CARD_WIDTH / width))
        self.width, self.height, self.theme = width, height, theme
        self.figure = Figure(
            figsize=(width / 100, height / 100),
            dpi=100 * fineness,
            facecolor=unit(theme.paper),
        )

    def axes(self, left: float, top: float, width: float, height: float) -> "Axes":
        """Returns axes in a rectangle, without ticks and frame."""
        place = (left / self.width, 1 - (top + height) / self.height)
        size = (width / self.width, height / self.height)
        axes = self.figure.add_axes((*place, *size), facecolor="none")
        axes.set(xticks=(), yticks=())
        for spine in axes.spines.values():
            spine.set_visible(False)
        return axes

    def text(
        self,
        x: float,
        y: float,
        text: str,
        *,
        across: str = "left",
        along: str = "center_baseline",
        size: int = TEXT_SIZE,
        colour: tuple[int, int, int] | None = None,
        width: float | None = None,
        rotation: float = 0,
    ) -> None:
        """Draws a line of text.

        Args:
            x: px from the left.
            y: px from the top.
            text: any Unicode; nothing in it is taken as a formula.
            across: which point of the text comes to `x`: "left", "center" or "right".
            along: which point of the text comes to `y`: "top", "center_baseline" or "bottom".
            size: height of the letters in px.
            colour: of the letters; None for ink.
            width: longer lines are cut at this many px, and end in "...".
            rotation: degrees; 90 is read from bottom to top.
        """
        shown, font = chart_font(text if width is None else cut(text, size, width), size)
        self.figure.text(
            *(x / self.width, 1 - y / self.height, shown),
            ha=across,
            va=along,
            color=unit(colour or self.theme.ink),
            fontproperties=font,
            rotation=rotation,
            parse_math=False,
            usetex=False,
        )

    def image(self) -> Image.Image:
        """Draws it all."""
        from matplotlib.backends.backend_agg import FigureCanvasAgg

        canvas = FigureCanvasAgg(self.figure)
        canvas.draw()
        return Image.fromarray(np.asarray(canvas.buffer_rgba())).convert("RGB")


def unit(colour: Any) -> Any:
    """Returns a colour as matplotlib takes it, 0 to 1."""
    return tuple(float(part) / 255 for part in colour)


def mixed(colour: Any, paper: Any, share: Any) -> np.ndarray:
    """Returns a colour on paper, the stronger the larger its share, 0 to 1; float, [..., 3]."""
    share = np.asarray(share, float)[..., None]
    return np.asarray(paper) + (np.asarray(colour) - np.asarray(paper)) * share


def ink_on(colour: Any) -> tuple[int, int, int]:
    """Returns black or white, whichever can be read better on a colour: by 4.5 to 1 at least."""
    return (0, 0, 0) if luminance(colour) > 0.179 else (255, 255, 255)


def luminance(colour: Any) -> float:
    """Returns how bright a colour is, 0 to 1, as WCAG 2 defines it."""
    share = np.asarray(colour, float) / 255
    linear = np.where(share <= 0.04045, share / 12.92, ((share + 0.055) / 1.055) ** 2.4)
    return float(linear @ (0.2126, 0.7152, 0.0722))
