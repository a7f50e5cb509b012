"""Extrapolates a learning curve: a power law through its points, evaluated at more photos."""

import dataclasses
import math
from collections.abc import Sequence

import numpy as np

from xferlearn.system.text import count, plural_of

# With fewer photos to judge by, one changes the accuracy by more than 5 points.
FEWEST_JUDGED = 20
_MORE_PHOTOS = 100
_RESAMPLES = 400
_EXPONENTS = np.linspace(0.1, 2.0, 39)
# Accuracy with one or two photos per class says little about the rest of the curve, and a law of
# three parameters needs at least four points.
_FEWEST_PHOTOS, _FEWEST_POINTS = 3, 4


@dataclasses.dataclass(frozen=True)
class Forecast:
    """The expected gain from more photos, if the curve continues as fitted.

    Attributes:
        more: number of further photos per class.
        gain: change in accuracy, or mean average precision, -1 to 1.
        low: lower end of its 95% interval, over draws and judged photos.
        high: upper end.
        fitted: the fitted curve at the numbers of photos that it was fitted to, 0 to 1.
    """

    more: int
    gain: float
    low: float
    high: float
    fitted: tuple[float, ...]

    def __str__(self) -> str:
        points = (100 * value for value in (self.gain, self.low, self.high))
        gain, low, high = points
        return f"{self.more} more per class: about {gain:+.1f} points ({low:+.1f} to {high:+.1f})"


def forecast_gain(
    photos: Sequence[int],
    right: Sequence[Sequence[Sequence[float]]],
    groups: Sequence[int] = (),
) -> tuple[Forecast | None, str]:
    """Fits accuracy = a - b * photos^-c to a learning curve and extrapolates it.

    Args:
        photos: photos per class of each point, ascending.
        right: for each point, draw and judged photo, whether the photo was labelled correctly; or
            what else `Outcome.right` holds.
        groups: what each judged photo belongs to; empty where each stands alone.

    Returns:
        The forecast and "", or None and the reason in a few words.
    """
    usable = [
        (number, np.array(draws, float))
        for number, draws in zip(photos, right, strict=True)
        if number >= _FEWEST_PHOTOS
    ]
    if len(usable) < _FEWEST_POINTS:
        return None, "too few photos per class to extrapolate the curve"
    judged = usable[0][1].shape[1]
    if judged < FEWEST_JUDGED:
        few = f"{count(judged, 'photo')} {plural_of(judged, 'is', 'are')} too few"
        return None, f"{few} to extrapolate the curve"
    sizes = np.array([number for number, _ in usable], float)
    tables = [table for _, table in usable]
    rng = np.random.default_rng(0)
    later = sizes[-1] + _MORE_PHOTOS

    def gain(law: tuple[float, float, float]) -> float:
        _, b, c = law
        return float(b * (sizes[-1] ** -c - later**-c))

    # Photos of one group are drawn together.
    unit = np.unique(groups, return_inverse=True)[1] if len(groups) else np.arange(judged)
    units = int(unit.max()) + 1
    gains = []
    for _ in range(_RESAMPLES):
        times = np.bincount(rng.integers(units, size=units), minlength=units)[unit]
        means = [
            table[rng.integers(len(table), size=len(table))].mean(axis=0) @ times / times.sum()
            for table in tables
        ]
        gains.append(gain(fit_power_law(sizes, np.array(means))))
    low, high = np.percentile(gains, [2.5, 97.5])
    law = fit_power_law(sizes, np.array([table.mean() for table in tables]))
    a, b, c = law
    fitted = tuple(float(value) for value in a - b * sizes**-c)
    return Forecast(_MORE_PHOTOS, gain(law), float(low), float(high), fitted), ""


def fit_power_law(sizes: np.ndarray, means: np.ndarray) -> tuple[float, float, float]:
    """Fits the curve a - b * size^-c by least squares, with b >= 0, a <= 1 and c of a grid.

    Args:
        sizes: photos per class, float64, [points].
        means: accuracies, float64, [points], 0 to 1.

    Returns:
        a, b and c.
    """
    best = (math.inf, (float(means.mean()), 0.0, 1.0))
    for exponent in _EXPONENTS:
        columns = np.stack([np.ones_like(sizes), -(sizes**-exponent)], axis=1)
        solution, *_ = np.linalg.lstsq(columns, means, rcond=None)
        error = float(np.square(columns @ solution - means).sum())
        # More photos don't hurt, and no accuracy is above 1.
        if error < best[0] and solution[1] >= 0 and solution[0] <= 1:
            best = (error, (float(solution[0]), float(solution[1]), float(exponent)))
    return best[1]
