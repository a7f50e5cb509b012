"""How certain a share is that was measured on some photos, and a change of one."""

import dataclasses
import math
from collections.abc import Sequence
from typing import Any

import numpy as np

# With fewer photos the interval says more than the accuracy.
FEW_PHOTOS = 200

Z95 = 1.959963984540054


def wilson_interval(correct: float, total: float) -> tuple[float, float]:
    """Returns the 95% interval of an accuracy, in 0 to 1.

    Wilson's score interval (E. B. Wilson, JASA 22, 1927), which stays valid for few photos and
    near 0 and 1: 3 correct of 3 gives 0.44 to 1.

    Args:
        correct: number of photos labelled correctly.
        total: number of photos, or of how many that stand alone they are worth; 0 gives the whole
            range.
    """
    if total == 0:
        return 0.0, 1.0
    share, z2 = correct / total, Z95**2
    centre = (share + z2 / (2 * total)) / (1 + z2 / total)
    half = Z95 * math.sqrt(share * (1 - share) / total + z2 / (4 * total**2)) / (1 + z2 / total)
    return max(0.0, centre - half), min(1.0, centre + half)


def varying_interval(value: float, variance: float, most: float) -> tuple[float, float]:
    """Returns the 95% interval of a mean of shares whose variance is known, in 0 to 1.

    It is Wilson's interval for as many photos as would vary as much. Where hardly any photo is out
    of place the variance says too little, so no more than `most` photos are taken to tell it.

    Args:
        value: the mean, 0 to 1.
        variance: of it, by the influences of the photos.
        most: the most photos that it can be worth.
    """
    worth = min(value * (1 - value) / variance, most) if variance > 0 else most
    worth = max(worth, 1.0)
    return wilson_interval(value * worth, worth)


def variance_of_sum(influence: np.ndarray, groups: np.ndarray | None) -> float:
    """Returns the variance of a sum of influences of photos; those of a group move together.

    Args:
        influence: float, [photos].
        groups: what each photo belongs to, int, [photos]; None where each stands alone.
    """
    if groups is not None:
        _, which = np.unique(groups, return_inverse=True)
        influence = np.bincount(which, weights=influence)
    return float(np.square(influence).sum())


def paired_interval(
    both: float, first: float, second: float, neither: float
) -> tuple[float, float]:
    """Returns the 95% interval of a change in accuracy, measured twice on the same photos.

    Newcombe's square-and-add interval from Wilson's (R. G. Newcombe, Statistics in Medicine 17,
    1998, pp. 2635-2650, method 10), which stays valid where few photos differ, or none.

    Args:
        both: number of photos labelled correctly both times, as all four of how many that stand
            alone they are worth.
        first: correctly the first time only.
        second: correctly the second time only.
        neither: neither time. Of photos in groups each number is that of photos that stand alone
            and tell as much, see `worth_of`.

    Returns:
        Lower and upper end of the second accuracy minus the first, -1 to 1.
    """
    total = both + first + second + neither
    if total == 0:
        return -1.0, 1.0
    before, after = (both + first) / total, (both + second) / total
    (low1, high1), (low2, high2) = (
        wilson_interval(both + alone, total) for alone in (first, second)
    )
    margins = (both + first) * (second + neither) * (both + second) * (first + neither)
    product: float = both * neither - first * second
    if product > 0:
        product = max(product - total / 2, 0.0)
    phi = product / math.sqrt(margins) if margins else 0.0

    def length(a: float, b: float) -> float:
        return math.sqrt(max(a * a - 2 * phi * a * b + b * b, 0.0))

    change = after - before
    return (
        change - length(after - low2, high1 - before),
        change + length(high2 - after, before - low1),
    )


@dataclasses.dataclass(frozen=True)
class Change:
    """How an accuracy changed that was measured twice on the same photos.

    Attributes:
        photos: number of photos.
        gained: photos labelled correctly the second time only.
        lost: photos labelled correctly the first time only.
        interval: 95% interval of the change, -1 to 1, see `paired_interval`.
    """

    photos: int
    gained: int
    lost: int
    interval: tuple[float, float]

    @property
    def mean(self) -> float:
        """The second accuracy minus the first, -1 to 1; 0 without photos."""
        return (self.gained - self.lost) / self.photos if self.photos else 0.0

    def text(self) -> str:
        """Returns it in percentage points, e.g. "+1.2 points (95%: -0.3 to +2.8)"."""
        low, high = self.interval
        return f"{100 * self.mean:+.1f} points (95%: {100 * low:+.1f} to {100 * high:+.1f})"

    def as_dict(self) -> dict[str, Any]:
        """Returns everything for JSON; shares in -1 to 1."""
        return {
            "change": self.mean, "interval_95": list(self.interval), "n": self.photos,
            "gained": self.gained, "lost": self.lost,
        }  # fmt: skip


def paired_change(
    before: np.ndarray, after: np.ndarray, groups: Sequence[int] | np.ndarray | None = None
) -> Change:
    """Returns how an accuracy changed.

    Args:
        before: which photos were labelled correctly the first time, bool, [photos].
        after: the second time, in the same order.
        groups: what each photo belongs to, in the same order; None where each stands alone.
    """
    photos, gained, lost = len(before), int((after & ~before).sum()), int((before & ~after).sum())
    both = int((before & after).sum())
    worth = photos if groups is None or not photos else worth_of(groups)
    counts = (both, lost, gained, photos - both - lost - gained)
    scale = worth / photos if photos else 1.0
    return Change(photos, gained, lost, paired_interval(*(scale * one for one in counts)))


def worth_of(groups: Sequence[int] | np.ndarray) -> float:
    """Returns how many photos that stand alone tell as much as photos that are in groups.

    Photos of one group are right or wrong together, so their number proves less than it says (L.
    Kish, Survey Sampling, 1965).

    Args:
        groups: what each photo belongs to, at least one.
    """
    sizes = np.unique(groups, return_counts=True)[1]
    return float(sizes.sum() ** 2 / np.square(sizes).sum())
