"""What some photos prove of all others: bounds that hold whatever the probabilities are."""

import math

import numpy as np


def missable(photos: int, worth: float, share: float) -> int | None:
    """Returns how many of some photos a threshold may miss, so that few others are missed.

    The conformal quantile (H. Papadopoulos et al., ECML 2002): where at most this many have a score
    below the threshold, a new photo has one with a probability of at most `share`, on average over
    draws of the photos. It counts the new photo as one that is missed.

    Args:
        photos: number of photos.
        worth: what they are worth, `xferlearn.metrics.worth_of`; `photos` where each stands alone.
        share: of the new photos, above 0 and below 1.

    Returns:
        A number below `photos`; None where they are too few, see `enough_for`.
    """
    # Sums such as 20 * 0.05 must not fall below 1 by rounding.
    left = (worth + 1) * share - 1 + 1e-9
    return math.floor(photos * left / worth + 1e-9) if worth and left > 0 else None


def enough_for(share: float) -> int:
    """Returns how many photos that stand alone `missable` needs."""
    return math.ceil((1 - 1e-9) / share - 1)


def worth_along(groups: np.ndarray) -> np.ndarray:
    """Returns what the first photo is worth, the first two, and so on, float64, [photos].

    Args:
        groups: what each photo belongs to, as for `xferlearn.metrics.worth_of`.
    """
    members = np.unique(groups, return_inverse=True)[1]
    order, sizes = np.argsort(members, kind="stable"), np.bincount(members)
    earlier = np.empty(len(members))  # photos of the same group that come before
    earlier[order] = np.arange(len(members)) - np.repeat(sizes.cumsum() - sizes, sizes)
    return np.arange(1, len(members) + 1) ** 2 / np.cumsum(2 * earlier + 1)


def clopper_pearson_upper(errors: float, total: float, confidence: float = 0.95) -> float:
    """Returns the share of errors that is exceeded with a probability of 1 - confidence at most.

    The one-sided bound of Clopper and Pearson (Biometrika 26, 1934), which never promises too much.

    Args:
        errors: number of errors, 0 to `total`; need not be whole, as where photos in groups count
            as `worth_of` says.
        total: number of photos; 0 gives 1.
        confidence: 0 to 1.

    Returns:
        Where the beta distribution of errors + 1 and total - errors has this quantile, 0 to 1.
    """
    low, high = 0.0, 1.0
    for _ in range(40):
        middle = (low + high) / 2
        if is_bounded(errors, total, middle, confidence):
            high = middle
        else:
            low = middle
    return high


def is_bounded(errors: float, total: float, share: float, confidence: float = 0.95) -> bool:
    """Returns whether `clopper_pearson_upper` of the others is at most a share, below 1."""
    return errors < total and _incomplete_beta(errors + 1, total - errors, share) >= confidence


def _incomplete_beta(a: float, b: float, x: float) -> float:
    """Returns the regularised incomplete beta function, by its continued fraction.

    NIST Digital Library of Mathematical Functions, 8.17.22, evaluated by Lentz's method.
    """
    if x <= 0 or x >= 1:
        return float(x >= 1)
    if x > (a + 1) / (a + b + 2):  # where the fraction converges slowly
        return 1 - _incomplete_beta(b, a, 1 - x)
    logs = math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b)
    front = math.exp(logs + a * math.log(x) + b * math.log1p(-x)) / a
    tiny = 1e-300
    c, d = 1.0, 1 / ((1 - (a + b) * x / (a + 1)) or tiny)
    found = d
    for m in range(1, 10_000):
        even = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m))
        odd = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1))
        for term in (even, odd):
            d = 1 / ((1 + term * d) or tiny)
            c = (1 + term / c) or tiny
            found *= c * d
        if abs(c * d - 1) < 1e-14:
            break
    return front * found
