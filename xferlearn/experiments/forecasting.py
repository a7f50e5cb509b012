"""How a learning curve goes on: a power law through its points, asked about more photos."""

import dataclasses
import math
from collections.abc import Sequence

import numpy as np

# Fewer test photos than this can't tell a point from a mistake.
FEWEST_TESTS = 20
_MORE_PHOTOS = 100
_RESAMPLES = 400
_EXPONENTS = np.linspace(0.1, 2.0, 39)
# Accuracy on one photo a class says little of how the curve goes on, and four numbers need
# as many points.
_FEWEST_PHOTOS, _FEWEST_POINTS = 3, 4


@dataclasses.dataclass(frozen=True)
class Forecast:
    """What more photos would bring, if the curve goes on as it did.

    Attributes:
        more: how many more a class.
        gain: change in accuracy, -1 to 1.
        low: lower end of its 95% interval, over draws and test photos.
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
        return f"{self.more} more a class: about {gain:+.1f} points ({low:+.1f} to {high:+.1f})"


def forecast_gain(
    photos: Sequence[int], right: Sequence[Sequence[Sequence[bool]]]
) -> tuple[Forecast | None, str]:
    """Fits accuracy = a - b * photos^-c to a learning curve, and asks it about more photos.

    Args:
        photos: photos a class of each point, ascending.
        right: of each point, each draw and each test photo, whether it was labelled right.

    Returns:
        The forecast, or None and the reason in a few words.
    """
    usable = [
        (count, np.array(draws, float))
        for count, draws in zip(photos, right, strict=True)
        if count >= _FEWEST_PHOTOS
    ]
    if len(usable) < _FEWEST_POINTS:
        return None, "too few photos a class to see how the curve goes on"
    tests = usable[0][1].shape[1]
    if tests < FEWEST_TESTS:
        return None, f"{tests} test photos are too few to see how the curve goes on"
    sizes = np.array([count for count, _ in usable], float)
    tables = [table for _, table in usable]
    rng = np.random.default_rng(0)
    later = sizes[-1] + _MORE_PHOTOS

    def gain(law: tuple[float, float, float]) -> float:
        _, b, c = law
        return float(b * (sizes[-1] ** -c - later**-c))

    gains = []
    for _ in range(_RESAMPLES):
        judged = rng.integers(tests, size=tests)
        means = [
            table[rng.integers(len(table), size=len(table))][:, judged].mean() for table in tables
        ]
        gains.append(gain(fit_power_law(sizes, np.array(means))))
    low, high = np.percentile(gains, [2.5, 97.5])
    law = fit_power_law(sizes, np.array([table.mean() for table in tables]))
    a, b, c = law
    fitted = tuple(float(value) for value in a - b * sizes**-c)
    return Forecast(_MORE_PHOTOS, gain(law), float(low), float(high), fitted), ""


def fit_power_law(sizes: np.ndarray, means: np.ndarray) -> tuple[float, float, float]:
    """Returns a, b and c of the curve a - b * size^-c nearest to accuracies, b at least 0.

    Args:
        sizes: photos a class, float64, [points].
        means: accuracies, float64, [points], 0 to 1.
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
